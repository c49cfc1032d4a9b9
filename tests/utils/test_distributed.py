"""Comparison of two processes on the CPU with one."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from PIL import Image

QUICK = ["model=vae", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "callbacks=[checkpoint,progress]"]


def run(*words, cwd, launcher=("-m",), **environment):
    return subprocess.run(
        [sys.executable, *launcher, "autoencoders.train", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


def table(folder):
    with (folder / "sweep.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same run of a net without normalization, with one process and with two."""
    cwd = tmp_path_factory.mktemp("processes")
    words = ["model=vae", "net.norm=none", "optimizer.lr=1e-3", "trainer.max_epochs=2", "logger=none"]
    words += ["trainer.limit_train_batches=8"]  # few steps, because rounding errors grow with every step
    words += ["data.batch_size=34", "corruption=gaussian_noise", "callbacks=[checkpoint,progress,baselines]"]
    for name, trainer in (("one", "cpu"), ("two", "ddp_cpu")):
        done = run(*words, f"trainer={trainer}", f"hydra.run.dir={name}", cwd=cwd)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("epoch   2/2") == 1  # only rank zero prints
    return cwd / "one", cwd / "two"


@pytest.mark.slow
def test_weights_are_equal_within_rounding(folders):
    one, two = (torch.load(f / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for f in folders)
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=2e-5, msg=name)


@pytest.mark.slow
def test_metrics_are_equal_for_splits_of_odd_size(folders):
    one, two = (json.loads((f / "metrics.json").read_text()) for f in folders)
    assert one.keys() == two.keys()
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-4), name


@pytest.mark.slow
def test_evaluation_of_a_checkpoint_does_not_depend_on_the_number_of_processes(folders, tmp_path):
    (tmp_path / "measure.py").write_text(
        "import json, sys\n"
        "import lightning.pytorch as pl\n"
        "from autoencoders.runs.loading import open_run\n"
        "run, count = open_run(sys.argv[1]), int(sys.argv[2])\n"
        "options = dict(accelerator='cpu', devices=count, strategy='ddp' if count > 1 else 'auto', logger=False)\n"
        "trainer = pl.Trainer(**options, enable_checkpointing=False, enable_progress_bar=False)\n"
        "measured = trainer.validate(run.model, run.data, verbose=False)[0]\n"
        "if trainer.is_global_zero:\n"
        "    print(json.dumps(measured))\n"
    )
    measured = []
    for count in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "measure.py", str(folders[0]), count], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        measured.append(json.loads(done.stdout.splitlines()[-1]))
    assert measured[0].keys() == measured[1].keys()
    for name in measured[0]:
        assert measured[1][name] == pytest.approx(measured[0][name], rel=1e-5, abs=1e-6), name


@pytest.mark.slow
def test_every_step_is_recorded_once(folders):
    steps = []
    for folder in folders:
        with (folder / "metrics.csv").open() as file:
            steps.append([row["step"] for row in csv.DictReader(file)])
    assert steps[0] == steps[1]


@pytest.mark.slow
def test_torchrun_needs_a_folder_and_gives_the_results_of_lightnings_launcher(tmp_path):
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    words = [*QUICK, "trainer=ddp_cpu", "logger=none"]
    refused = run(*words, launcher=launcher, cwd=tmp_path)
    assert refused.returncode != 0
    assert "Set hydra.run.dir" in refused.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
    done = run(*words, "hydra.run.dir=outside", launcher=launcher, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run(*words, "hydra.run.dir=inside", cwd=tmp_path).returncode == 0
    outside, inside = (json.loads((tmp_path / f / "metrics.json").read_text()) for f in ("outside", "inside"))
    assert outside == inside


@pytest.mark.slow
def test_fewer_validation_images_than_processes_are_refused_with_one_sentence(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(tmp_path / f"in/{i}.png")
    words = [*QUICK, "trainer=ddp_cpu", "logger=none", "net=mlp", "latent_dim=2", "data=folder", "data.path=in"]
    words += ["data.size=8", "data.batch_size=4", "data.test=2", "hydra.run.dir=run"]
    done = run(*words, "data.validation=1", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr.count("The val split of data=folder must have at least 2 images, one for each process, got 1") == 1
    )
    assert "Traceback" not in done.stderr
    done = run(*words, "data.validation=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_processes_share_a_drawn_seed(tmp_path):
    done = run(*QUICK, "trainer=ddp_cpu", "logger=none", "seed=null", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seed = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["seed"]
    again = run(*QUICK, "trainer=cpu", "logger=none", f"seed={seed}", "hydra.run.dir=again", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    metrics = [json.loads((tmp_path / f / "metrics.json").read_text()) for f in ("run", "again")]
    # Each process normalizes half a batch, so the results differ slightly. Another seed differs by 0.1 or more.
    assert metrics[0]["val/mse"] == pytest.approx(metrics[1]["val/mse"], rel=0.02)


@pytest.mark.slow
def test_an_error_in_one_process_stops_both_with_one_sentence(tmp_path):
    (tmp_path / "wrong.py").write_text(
        "from autoencoders.models.vae import VAE\n"
        "class Wrong(VAE):\n"
        "    def terms(self, batch, eps):\n"
        "        terms = super().terms(batch, eps)\n"
        "        wrong = self.training and self.global_rank == 1 and self.trainer.global_step == 41\n"
        "        return terms._replace(rate=terms.rate * float('nan')) if wrong else terms\n"
    )
    words = ["model=vae", "model._target_=wrong.Wrong", "trainer=ddp_cpu", "logger=none", "trainer.max_epochs=2"]
    words += ["callbacks=[checkpoint,health]", "hydra.run.dir=run"]
    done = run(*words, cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 2
    assert done.stderr.count("autoencoders: Training has stopped at optimizer step 42 (batch 3 of epoch 2)") == 1
    assert "the rate is not finite" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(torch.load(tmp_path / "run/nan/batch.pt", weights_only=True)["index"]) == 32  # of both processes
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == 39
    assert all(tensor.isfinite().all() for tensor in state["state_dict"].values())


@pytest.mark.slow
def test_a_sweep_continues_after_a_killed_job_of_two_processes(tmp_path):
    (tmp_path / "deadly.py").write_text(
        "import os, signal\n"
        "import lightning.pytorch as pl\n"
        "class Kill(pl.Callback):\n"
        "    def __init__(self, beta):\n"
        "        self.beta = beta\n"
        "    def on_train_epoch_start(self, trainer, model):\n"
        "        if self.beta == 0.5 and trainer.global_rank == 1:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    kill = ["+callbacks.kill._target_=deadly.Kill", "+callbacks.kill.beta=${beta.value}"]
    words = ["-m", *QUICK, *kill, "trainer=ddp_cpu", "beta=0.5,4", "hydra.sweep.dir=sweep"]
    done = run(*words, cwd=tmp_path, PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 1
    assert [row["status"] for row in table(tmp_path / "sweep")] == ["failed", "done"]
    assert table(tmp_path / "sweep")[0]["reason"]


@pytest.mark.slow
def test_parallel_jobs_give_the_same_table(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ["-m", *QUICK, "logger=none", "beta=0.5,4", "latent_dim=5", "model=vae,pca"]
    done = run(*words, "hydra/launcher=joblib", "hydra.sweep.dir=joblib", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert run(*words, "hydra.sweep.dir=basic", cwd=tmp_path).returncode == 0
    for one, other in zip(table(tmp_path / "joblib"), table(tmp_path / "basic"), strict=True):
        assert one["overrides"] == other["overrides"]
        assert float(one["test/distortion"]) == pytest.approx(float(other["test/distortion"]), rel=1e-4)


def test_slurm_without_slurm_is_one_sentence(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    done = run("-m", "beta=0.5,4", "hydra/launcher=submitit_slurm", cwd=tmp_path, PATH="")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "srun is not on the PATH" in done.stderr


def test_pca_with_several_processes_is_an_error(tmp_path):
    done = run("model=pca", "trainer=ddp_cpu", "logger=none", "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode != 0
    assert "trainer.devices=1" in done.stderr
    assert "Traceback" not in done.stderr
