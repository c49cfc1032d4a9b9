"""Runs that start at once, in one folder, or whose folder or data change during the training."""

import csv
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders import report
from autoencoders import train as train_module
from autoencoders.config import output_dir
from autoencoders.models.execution import StepCallback
from autoencoders.reports.live_progress import StepHistory, describe_progress
from autoencoders.reports.run_cards import collect_metadata
from autoencoders.reports.run_folder import read_run_folder
from autoencoders.train import train
from autoencoders.types import UserError

TINY = ["model=vae", "net.widths=[16]", "trainer=cpu", "logger=none", "callbacks=checkpoint", "data.batch_size=64",
        "schedule=constant", "beta=constant"]  # fmt: skip
"""19 steps per epoch."""

HOLDER = "import sys, time; from autoencoders.utils.folder_lock import FolderLock\n"
HOLDER += "FolderLock(sys.argv[1], '').acquire(); print('locked', flush=True); time.sleep(60)"


def record(folder):
    return json.loads((folder / "run.json").read_text())


@pytest.fixture
def hold():
    """`hold(folder)`: another process that locks a folder; returns its process id."""
    processes = []

    def start(folder):
        words = [sys.executable, "-c", HOLDER, str(folder)]
        processes.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "locked\n"
        return processes[-1].pid

    yield start
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def starts(monkeypatch):
    """The steps that trainings start from."""
    seen, plain = [], pl.Trainer.fit

    def fit(self, *args, **keywords):
        seen.append(torch.load(self.ckpt_path, weights_only=True)["global_step"] if self.ckpt_path else 0)
        return plain(self, *args, **keywords)

    monkeypatch.setattr(pl.Trainer, "fit", fit)
    return seen


class Act(StepCallback):
    """Call `Act.action(trainer)` once, after an optimizer step."""

    action = None

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer, model, batch, number, loss):
        if trainer.global_step == self.step and Act.action is not None:
            action, Act.action = Act.action, None
            action(trainer)


class Slow(StepCallback):
    """Wait after every optimizer step and in every validation."""

    def __init__(self, step, validation):
        self.step, self.validation = step, validation

    def on_step_end(self, trainer, model, batch, number, loss):
        time.sleep(self.step)

    def on_validation_epoch_end(self, trainer, pl_module):
        time.sleep(self.validation)


# Folders --------------------------------------------------------------------------------------------------------


def test_folders_that_are_chosen_at_once_differ(tmp_path):
    names, meeting = [], threading.Barrier(8)

    def choose():
        meeting.wait()
        names.append(output_dir.new_folder(f"{tmp_path}/runs/a"))

    with output_dir.claim_new_folders():
        threads = [threading.Thread(target=choose) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert sorted(names) == [f"{tmp_path}/runs/a", *(f"{tmp_path}/runs/a-{i}" for i in range(2, 9))]
    assert output_dir.new_folder(f"{tmp_path}/runs/a") == f"{tmp_path}/runs/a"  # as for --cfg job
    assert len(list((tmp_path / "runs").iterdir())) == 8


@pytest.fixture
def frozen(monkeypatch):
    """Hydra starts every run and sweep in the same second."""

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, 3, 4, 5)

    monkeypatch.setattr("hydra.core.utils.datetime", Frozen)


@pytest.mark.slow
def test_runs_and_sweeps_of_one_second_have_folders_of_their_own(frozen, run_command, tmp_path):
    words = [*(word for word in TINY if "beta" not in word), "trainer.max_epochs=1", "callbacks=none", "test=false"]
    words.append("trainer.limit_train_batches=2")
    for beta in (1, 2):
        assert run_command(train_module, *words, f"beta={beta}", "name=a", cwd=tmp_path).returncode == 0
    for beta in (3, 5):
        done = run_command(train_module, "-m", *words, f"beta={beta}", "name=a", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    start = "2026-01-02_03-04-05"
    found = {f.parent.relative_to(tmp_path / "runs").as_posix(): record(f.parent)["overrides"][-2]
             for f in (tmp_path / "runs").rglob("run.json")}  # fmt: skip
    assert found == {
        f"{start}_a": "beta=1", f"{start}_a-2": "beta=2", f"{start}_sweep/0_a-seed0": "beta=3",
        f"{start}_sweep-2/0_a-seed0": "beta=5",
    }  # fmt: skip
    before = sorted((tmp_path / "runs").iterdir())
    for flags in (["--cfg", "job"], ["--help"]):
        assert run_command(train_module, *words, *flags, cwd=tmp_path).returncode == 0
    assert sorted((tmp_path / "runs").iterdir()) == before


@pytest.mark.slow
def test_processes_that_start_in_one_second_have_folders_of_their_own(tmp_path):
    """Also the second process of a run gets the folder of the first, and the jobs of joblib that of their sweep."""
    (tmp_path / "frozen.py").write_text(
        "import datetime, sys\n"
        "import hydra.core.utils\n"
        "class Frozen(datetime.datetime):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None):\n"
        "        return cls(2026, 1, 2, 3, 4, 5)\n"
        "hydra.core.utils.datetime = Frozen\n"
        "from autoencoders import train\n"
        "train.main()\n"
    )
    quick = [*TINY, "trainer.max_epochs=1", "trainer.limit_train_batches=2", "callbacks=none", "name=a"]
    commands = [[*quick, "trainer=ddp_cpu"], [*quick, "trainer=ddp_cpu"]]
    commands += [["-m", *quick, f"beta.value={beta}", "hydra/launcher=joblib"] for beta in ("1,2", "3,4")]
    processes = [
        subprocess.Popen(
            [sys.executable, tmp_path / "frozen.py", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        for words in commands
    ]
    for process in processes:
        error = process.communicate(timeout=300)[1]
        assert process.returncode == 0, error
    found = sorted(
        f.parent.relative_to(tmp_path / "runs").as_posix() for f in (tmp_path / "runs").rglob("metrics.json")
    )
    start = "2026-01-02_03-04-05"
    sweeps = [f"{start}_sweep{suffix}/{number}_a" for suffix in ("-2", "") for number in (0, 1)]
    assert found == [f"{start}_a", f"{start}_a-2", *sweeps]
    for suffix in ("", "-2"):
        with (tmp_path / f"runs/{start}_sweep{suffix}/sweep.csv").open() as file:
            values = [row["overrides"].removeprefix("beta=") for row in csv.DictReader(file)]
        assert values in (["1", "2"], ["3", "4"])


# Locks ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_folder_in_use_is_refused_and_a_dead_run_is_continued(run_command, tmp_path):
    """Only the run that is killed needs a process of its own."""
    words = [*TINY, "test=false", "callbacks.last_checkpoint.every_n_steps=5"]
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "autoencoders.train", *words, "trainer.max_epochs=100000", "hydra.run.dir=run"],
        cwd=tmp_path, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not (tmp_path / "run/checkpoints/best.ckpt").is_file():
            assert process.poll() is None
            time.sleep(0.05)
        ways = (["hydra.run.dir=run"], ["resume=run"], ["resume=auto", "hydra.run.dir=run"])
        refused = [run_command(train_module, *words, *more, cwd=tmp_path) for more in ways]
        alive = run_command(report, "runs=run", cwd=tmp_path)
    finally:
        process.kill()
        process.wait()
    lived = time.monotonic() - started
    message = f"autoencoders: {tmp_path}/run is in use by process {process.pid} on host {os.uname().nodename}. "
    for done in refused:
        assert done.returncode == 2
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1
    assert "problem  run: unfinished: still running" in alive.stdout
    assert record(tmp_path / "run")["status"] == "running"
    dead = run_command(report, "runs=run", cwd=tmp_path)
    assert "problem  run: interrupted: its process ended without writing a status" in dead.stdout
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    epochs = state["epoch"] + 2
    began = time.monotonic()
    again = run_command(train_module, *words, "resume=run", f"trainer.max_epochs={epochs}", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    result = record(tmp_path / "run")
    assert (result["status"], result["epochs"]) == ("done", epochs)
    assert result["training_seconds"] < result["seconds"] < lived + time.monotonic() - began
    assert result["images_per_second"] * result["training_seconds"] == pytest.approx(epochs * 19 * 64)
    assert not (tmp_path / "run/owner.json").exists()


def test_a_sweep_leaves_a_job_to_the_process_that_runs_it(run_command, tmp_path, hold):
    words = [
        "-m",
        *TINY,
        "beta.value=1,2",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=2",
        "name=a",
        "test=false",
    ]
    words.append("hydra.sweep.dir=sweep")
    job = tmp_path / "sweep/0_a-seed0"
    pid = hold(job)
    (job / "run.json").write_text('{"format": 2, "status": "running"}')
    done = run_command(train_module, *words, cwd=tmp_path)
    assert done.returncode == 1
    assert f"sweep/0_a-seed0 is in use by process {pid}" in done.stderr
    assert (job / "run.json").read_text() == '{"format": 2, "status": "running"}'
    with (tmp_path / "sweep/sweep.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["running", "done"]
    assert not (tmp_path / "sweep/owner.json").exists()
    hold(tmp_path / "sweep")
    done = run_command(train_module, *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "autoencoders: sweep is in use by process" in done.stderr


@pytest.mark.slow
def test_a_killed_job_is_interrupted_in_the_table_and_a_repeated_sweep_continues_it(run_command, tmp_path, starts):
    words = ["-m", *TINY, "beta.value=1,2", "trainer.max_epochs=2", "name=a", "test=false", "hydra.sweep.dir=sweep"]
    assert run_command(train_module, *words, cwd=tmp_path).returncode == 0
    killed = tmp_path / "sweep/1_a-seed0"
    (killed / "run.json").write_text(json.dumps(record(killed) | {"status": "running"}))
    (killed / "metrics.json").unlink()
    shutil.copy(killed / "checkpoints/previous.ckpt", killed / "checkpoints/last.ckpt")
    from autoencoders.training.sweep_table import gather

    assert [row["status"] for row in gather(tmp_path / "sweep")] == ["done", "interrupted"]
    assert run_command(train_module, *words, cwd=tmp_path).returncode == 0
    assert [row["status"] for row in gather(tmp_path / "sweep")] == ["done", "done"]
    assert starts == [0, 0, 19]


# Seconds --------------------------------------------------------------------------------------------------------


def with_callbacks(config, **nodes):
    """Add the callbacks `Act` and `Slow` of this module to a configuration."""
    for name, options in nodes.items():
        config["callbacks"][name] = {"_target_": f"{__name__}.{name.capitalize()}", **options}
    return config


def seconds_of(function, *arguments):
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


@pytest.fixture(scope="module")
def warm(tmp_path_factory, compose_into):
    """What only the first training of a process waits for is over."""
    train(compose_into(*TINY, "trainer.max_epochs=1", folder=tmp_path_factory.mktemp("warm") / "run"))


@pytest.mark.slow
def test_seconds_and_images_are_those_of_a_clock_outside(compose, tmp_path, capsys, warm):
    words = [*TINY, "callbacks=default", "trainer.max_epochs=2", "+trainer.val_check_interval=10"]
    config = with_callbacks(compose(*words), slow={"step": 0.02, "validation": 0.3})
    wall = seconds_of(train, config)
    found = record(tmp_path / "run")
    assert wall - 0.5 < found["seconds"] < wall
    assert 38 * 0.02 < found["training_seconds"] < wall - 2 * 0.3
    assert found["images_per_second"] == pytest.approx(2 * 19 * 64 / found["training_seconds"])
    output = capsys.readouterr().out
    training = f"{found['images_per_second']:,.0f} images/s in {found['training_seconds']:.1f} s of training"
    assert f"2 epochs in {found['seconds']:.{int(found['seconds'] < 10)}f} s, {training}\n" in output
    run = read_run_folder(tmp_path / "run", "run")
    facts = collect_metadata(run).facts
    assert facts["duration"] == f"{found['seconds']:.0f} s, 2 epochs"
    speed = f"{found['images_per_second']:,.0f} images/s in {found['training_seconds']:.0f} s of training"
    assert facts["speed"] == speed
    assert describe_progress(run, StepHistory(), time.time())["facts"][-1] == speed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_resume_within_an_epoch_counts_its_seconds_and_images_once(compose, tmp_path, capsys, warm, number):
    words = [
        *TINY,
        "callbacks=[checkpoint,progress]",
        "trainer.max_epochs=3",
        "callbacks.last_checkpoint.every_n_steps=5",
    ]
    first, second = (with_callbacks(compose(*words, *more), slow={"step": 0.01, "validation": 0.0}, act={"step": 28})
                     for more in ([], ["resume=auto"]))  # fmt: skip

    def interrupted():
        Act.action = lambda trainer: os.kill(os.getpid(), number)
        if (child := os.fork()) == 0:
            try:
                train(first)
            finally:
                os._exit(0)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]) == (number == signal.SIGKILL)
        Act.action = None

    wall = seconds_of(interrupted)
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == {signal.SIGKILL: 25}.get(number, state["global_step"])
    assert state["global_step"] < 31
    assert state["callbacks"]["Throughput"]["images"] == 64 * state["global_step"]
    capsys.readouterr()
    wall += seconds_of(train, second)
    found = record(tmp_path / "run")
    assert 57 * 0.01 < found["training_seconds"] < found["seconds"] < wall
    assert found["images_per_second"] == pytest.approx(3 * 19 * 64 / found["training_seconds"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    rates = [float(line.split()[-2].replace(",", "")) for line in lines]
    assert len(rates) == 2
    assert all(300 < rate < 64 / 0.01 for rate in rates)


@pytest.mark.slow
def test_seconds_of_two_processes(tmp_path):
    words = [*TINY, "trainer=ddp_cpu", "trainer.max_epochs=2", "hydra.run.dir=run"]
    wall = seconds_of(lambda: subprocess.run(
        [sys.executable, "-m", "autoencoders.train", *words], cwd=tmp_path, check=True, capture_output=True
    ))  # fmt: skip
    found = record(tmp_path / "run")
    assert 0 < found["training_seconds"] < found["seconds"] < wall
    assert found["images_per_second"] == pytest.approx(2 * 19 * 64 / found["training_seconds"])


# Data and folders that change during the training ---------------------------------------------------------------


@pytest.fixture
def pictures(compose, tmp_path):
    """A function that composes a run on a folder of 60 images, whose cache is memory-mapped."""
    rng = np.random.default_rng(0)
    for i in range(60):
        file = tmp_path / f"pictures/{'ab'[i % 2]}/{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(file)
    words = [*TINY, "data=folder", f"data.path={tmp_path}/pictures", f"data.cache={tmp_path}/cache", "data.size=8"]
    words += [
        "data.color=false",
        "data.batch_size=8",
        "data.memory=0",
        "trainer.max_epochs=3",
        "net=mlp",
        "latent_dim=2",
    ]

    def make(*more, name="run"):
        return with_callbacks(compose(*words, *more, folder=tmp_path / name), act={"step": 8})

    return make


def test_data_that_are_removed_during_the_training_are_not_needed(pictures, tmp_path):
    train(pictures(name="whole"))

    def remove(trainer):
        shutil.rmtree(tmp_path / "pictures")
        shutil.rmtree(tmp_path / "cache")

    Act.action = remove
    train(pictures())
    assert not (tmp_path / "pictures").exists()
    assert record(tmp_path / "run")["status"] == "done"
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "run")]
    assert metrics[0] == metrics[1]


def test_a_truncated_cache_ends_the_run_with_one_sentence_and_a_resume_builds_it_again(pictures, tmp_path, capsys):
    def truncate(trainer):
        (file,) = (tmp_path / "cache").glob("*/images.npy")
        assert file.stat().st_mode & 0o222 == 0  # only root can do this
        file.chmod(0o644)
        os.truncate(file, 100)

    train(pictures(name="whole"))
    Act.action = truncate
    message = f"The images of the cache in {tmp_path}/cache can no longer be read, because a file was truncated from"
    with pytest.raises(UserError, match=message):
        train(pictures())
    assert record(tmp_path / "run")["status"] == "failed"
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert 0 < state["global_step"] <= 8
    capsys.readouterr()
    train(pictures("resume=auto"))
    assert "is rebuilt because it cannot be loaded" in capsys.readouterr().err
    metrics = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "run")]
    assert metrics[0] == metrics[1]


@pytest.mark.parametrize("how", ["removed", "moved", "taken"])
def test_a_run_whose_folder_is_gone_ends_with_one_sentence_and_its_last_weights(compose, tmp_path, hold, capsys, how):
    folder, holders = tmp_path / "run", []

    def act(trainer):
        if how == "moved":
            folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(folder)
        if how == "taken":
            holders.append(hold(folder))

    Act.action = act
    config = with_callbacks(compose(*TINY, "trainer.max_epochs=3", "test=false"), act={"step": 25})
    with pytest.raises(UserError) as stopped:
        train(config)
    if how == "taken":
        assert f"{folder} was taken by process {holders[0]}" in str(stopped.value)
        assert not (folder / "run.json").exists()
        return
    assert f"{folder} was removed or moved during training. The weights after step 38 are saved in" in str(
        stopped.value
    )
    assert record(folder)["status"] == "failed"
    assert torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 38
    if how == "moved":
        assert (tmp_path / "elsewhere/metrics.csv").is_file()
    train(compose(*TINY, "trainer.max_epochs=3", "test=false", "resume=auto"))
    assert record(folder)["status"] == "done"
