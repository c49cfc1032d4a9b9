"""A Slurm cluster of two nodes on this machine (see slurm.sh): srun, signals, preemption, and sweeps."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MISSING = [name for name in ("slurmctld", "slurmd", "srun", "munged") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed (apt-get install slurm-wlm)"),
    pytest.mark.skipif(os.geteuid() != 0, reason="slurm.sh needs root"),
]
QUICK = "model=vae net.widths=[32] callbacks=[checkpoint,progress] logger=none trainer.limit_train_batches=4"
SLEEPING = """
import time
import lightning.pytorch as pl
class Sleep(pl.Callback):
    def on_train_epoch_start(self, trainer, model):
        time.sleep(0.2)
"""
SLOW = f"{QUICK} trainer.max_epochs=100 +callbacks.sleep._target_=sleeping.Sleep"  # at least 20 s


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run(["bash", HERE / "slurm.sh", "start", folder], check=True, timeout=120)
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield
    subprocess.run(["scancel", "--user=root"], timeout=60)
    subprocess.run(["bash", HERE / "slurm.sh", "stop", folder], timeout=60)
    os.environ.pop("SLURM_CONF")
    if before is not None:
        os.environ["SLURM_CONF"] = before


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    (tmp_path / "sleeping.py").write_text(SLEEPING)
    return tmp_path


def submit(options, *lines, wait=False):
    """Submit a batch script, and return the job ID. Its output is `out`."""
    train = f'train() {{ {sys.executable} -m autoencoders.train "$@"; }}'
    Path("job.sh").write_text("\n".join(["#!/bin/bash", train, *lines, ""]))
    words = ["sbatch", "--parsable", "--output=out", "--open-mode=append", *(["--wait"] if wait else []), *options]
    done = subprocess.run([*words, "job.sh"], capture_output=True, text=True, timeout=300)
    return done.stdout.strip()


def srun(options, words):
    return f"srun {options} {sys.executable} -m autoencoders.train {words}"


def wait_for(condition, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, Path("out").read_text()
        time.sleep(0.5)


def status(folder):
    return json.loads(Path(folder, "run.json").read_text())["status"]


def has_trained(folder):
    return Path(folder, "checkpoints/last.ckpt").is_file()


def start_again(job):
    """Start a requeued job, for which Slurm would wait for two minutes."""
    wait_for(
        lambda: (
            "PENDING" in subprocess.run(["squeue", "-h", "-o", "%T", "-j", job], capture_output=True, text=True).stdout
        )
    )
    subprocess.run(["scontrol", "update", f"jobid={job}", "starttime=now"], check=True)


def test_srun_on_two_nodes_gives_the_metrics_of_one_machine():
    words = f"{QUICK} trainer.max_epochs=2 trainer=ddp_cpu"
    submit(
        ["--nodes=2", "--ntasks-per-node=1"],
        srun("--kill-on-bad-exit=1", f"{words} trainer.devices=1 trainer.num_nodes=2 hydra.run.dir=nodes"),
        srun("--nodes=1 --ntasks=1", f"{words} trainer=cpu hydra.run.dir=one"),
        f"train {words} hydra.run.dir=started",  # without srun, although the job has two tasks
        wait=True,
    )
    nodes, started = (json.loads(Path(f, "metrics.json").read_text()) for f in ("nodes", "started"))
    assert nodes == pytest.approx(started, rel=1e-4)
    assert status("one") == "done"
    assert "warning" not in Path("out").read_text()


def test_another_number_of_tasks_is_one_sentence_per_task():
    submit(["--ntasks=2"], srun("", f"{QUICK} trainer=cpu hydra.run.dir=run"), wait=True)
    text = Path("out").read_text()
    assert text.count("autoencoders: The number of processes must be 1, got 2 from srun.") == 2
    assert "Traceback" not in text


def test_a_killed_task_ends_the_job():
    words = f"{SLOW} trainer=ddp_cpu trainer.devices=1 trainer.num_nodes=2 hydra.run.dir=run"
    submit(["--nodes=2", "--ntasks-per-node=1"], srun("--kill-on-bad-exit=1", words))
    wait_for(lambda: has_trained("run"))
    processes = subprocess.run(
        ["pgrep", "-f", "autoencoders.train.*trainer.num_nodes=2"], capture_output=True, text=True
    )
    ranks = {}
    for pid in processes.stdout.split():
        variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
        ranks |= {v.partition("=")[2]: pid for v in variables if v.startswith("SLURM_PROCID=")}
    os.kill(int(ranks["1"]), 9)
    start = time.monotonic()
    wait_for(lambda: status("run") == "failed", 30)
    assert time.monotonic() - start < 20
    assert "autoencoders: Rank 1 has ended without a message. checkpoints/last.ckpt" in Path("out").read_text()


def test_the_signal_before_the_time_limit_requeues_the_job_which_continues():
    words = f"{SLOW} trainer=ddp_cpu trainer.devices=1 trainer.num_nodes=2 hydra.run.dir=run resume=auto"
    job = submit(["--nodes=2", "--ntasks-per-node=1", "--requeue", "--signal=USR1@120"], srun("", words))
    wait_for(lambda: has_trained("run"))
    subprocess.run(["scancel", "--signal=USR1", job], check=True)  # what Slurm does 120 s before the time limit
    wait_for(lambda: status("run") == "stopped")
    start_again(job)
    wait_for(lambda: status("run") == "done")
    text = Path("out").read_text()
    assert text.count(f"The Slurm job {job} is requeued to continue.") == 1
    assert text.count("epoch   1/100") == 1  # not started again
    assert text.count("epoch 100/100") == 1


@pytest.mark.parametrize("grace", [0, 30])
def test_a_preempted_job_is_requeued_and_continues(grace):
    """Without a grace time, Slurm requeues the job. In the grace time, the job ends, and must requeue itself."""
    subprocess.run(["scontrol", "update", "partitionname=low", f"gracetime={grace}"], check=True)
    job = submit(
        ["--nodelist=node1", "--exclusive", "--requeue"], srun("", f"{SLOW} trainer=cpu hydra.run.dir=run resume=auto")
    )
    wait_for(lambda: has_trained("run"))
    subprocess.run(
        ["sbatch", "--wait", "--partition=high", "--nodelist=node1", "--exclusive", "--output=high", "--wrap=true"]
    )
    wait_for(lambda: status("run") == "stopped")
    start_again(job)
    wait_for(lambda: status("run") == "done")
    assert Path("out").read_text().count("epoch   1/100") == 1


def test_a_job_array_trains_one_run_per_value():
    words = f"{QUICK} trainer.max_epochs=1 trainer=cpu resume=auto"
    line = f"train {words} beta=${{beta[$SLURM_ARRAY_TASK_ID]}} hydra.run.dir=run$SLURM_ARRAY_TASK_ID"
    submit(["--array=0-1"], "beta=(0.5 4)", line, wait=True)
    assert [status(f"run{i}") for i in range(2)] == ["done", "done"]


def test_a_sweep_on_slurm_reports_its_jobs_and_skips_finished_ones():
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = [
        *QUICK.split(),
        "trainer=cpu",
        "trainer.max_epochs=1",
        "latent_dim=2,5000000000000",
        "hydra/launcher=submitit_slurm",
    ]
    words += ["hydra.launcher.partition=low", "hydra.launcher.timeout_min=10", "hydra.sweep.dir=sweep"]
    for expected in ("", "skipped because it was already finished"):
        done = subprocess.run(
            [sys.executable, "-m", "autoencoders.train", "-m", *words], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 1
        assert "1 of the 2 jobs that were started did not finish" in done.stderr
        assert expected in done.stdout
        assert "latent_dim.size must be an integer" in done.stdout
