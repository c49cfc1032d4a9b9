"""A run that was killed, stopped or damaged goes on from its last checkpoint, and ends as if nothing had been."""

import json
import math
import os
import random
import shutil
import signal
import time

import lightning.pytorch as pl
import pytest
import torch

from autoencoders import train as train_module
from autoencoders.loggers import csv
from autoencoders.runs import loading
from autoencoders.train import train
from autoencoders.training import pipeline
from autoencoders.types import RunStopped, UserError
from autoencoders.utils import signals

WORDS = ["model=vae", "net.widths=[32]", "trainer=cpu", "logger=none", "callbacks=checkpoint", "data.batch_size=64"]
WORDS += ["trainer.max_epochs=4", "beta=warmup", "callbacks.last_checkpoint.every_n_steps=4"]


def weights(folder, name="last"):
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def as_if_nothing_had_been(whole, resumed):
    for name in ("last", "best"):
        assert same(weights(whole, name), weights(resumed, name)), name
    assert (whole / "metrics.csv").read_text() == (resumed / "metrics.csv").read_text()
    assert json.loads((whole / "metrics.json").read_text()) == json.loads((resumed / "metrics.json").read_text())


@pytest.fixture
def whole(compose, tmp_path):
    """The folder of a run that nothing interrupted, and the seconds it took."""
    train(compose(*WORDS, "trainer.max_epochs=1", folder=tmp_path / "warm"))  # what only the first run waits for
    started = time.perf_counter()
    train(compose(*WORDS, folder=tmp_path / "whole"))
    return tmp_path / "whole", time.perf_counter() - started


@pytest.fixture
def starts(monkeypatch):
    """The steps that trainings start from."""
    seen, plain = [], pl.Trainer.fit

    def fit(self, *args, **keywords):
        seen.append(torch.load(self.ckpt_path, weights_only=True)["global_step"] if self.ckpt_path else 0)
        return plain(self, *args, **keywords)

    monkeypatch.setattr(pl.Trainer, "fit", fit)
    return seen


def killed(config, seconds):
    """Train in a child process, and kill it after so many seconds, wherever it is."""
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            train(config)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_continues_from_its_last_checkpoint(compose, tmp_path, whole, starts, times):
    folder, seconds = whole
    moments = random.Random(1)
    found, deaths = [], 0
    for i in range(times):
        config = compose(*WORDS, "resume=auto", folder=tmp_path / str(i))
        deaths += killed(config, moments.uniform(0.1, 0.8) * seconds)
        last = tmp_path / str(i) / "checkpoints/last.ckpt"
        kept = torch.load(last, weights_only=True)["global_step"] if last.is_file() else 0
        train(config)
        found.append(kept)
        assert starts[-1] == kept
        as_if_nothing_had_been(folder, tmp_path / str(i))
    print(f"\nresumed from steps {found} of 76; {deaths} of {times} died")
    assert deaths
    assert max(found) > 0


@pytest.mark.parametrize("moment", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_a_run_killed_at_the_last_line_of_an_epoch_loses_no_metrics(compose, tmp_path, whole, starts, moment):
    def log(self, metrics, step=None, plain=csv.MetricsCSVLogger.log_metrics):
        is_last_line = step == 56 and "train/loss" in metrics
        for now in ("before", "after"):
            if is_last_line and now == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            if now == "before":
                plain(self, metrics, step)

    if (child := os.fork()) == 0:
        try:
            csv.MetricsCSVLogger.log_metrics = log
            train(compose(*WORDS))
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    train(compose(*WORDS, "resume=auto"))
    assert starts[-1] == 56  # the checkpoint of the epoch is written after its last line
    as_if_nothing_had_been(whole[0], tmp_path / "run")


@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGINT, 7), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((15, 19), (2, 76)))],
)
def test_a_signal_saves_a_checkpoint_and_prints_how_to_continue(compose, tmp_path, whole, monkeypatch, number, step):
    from autoencoders.models.vae import VAE

    plain = VAE.training_step

    def signalled(self, batch, batch_idx):
        if self.trainer.global_step == step - 1 and not (tmp_path / "sent").exists():
            (tmp_path / "sent").touch()
            os.kill(os.getpid(), number)
        return plain(self, batch, batch_idx)

    before = signal.getsignal(number)
    monkeypatch.setattr(VAE, "training_step", signalled)
    with pytest.raises(RunStopped, match=str(128 + number)) as stopped:
        train(compose(*WORDS, folder=tmp_path / "run"))
    kept = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert kept == step  # 19 is the last of an epoch, and 76 of the run
    assert f"after step {step}, which" in stopped.value.where
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "stopped"
    assert signal.getsignal(number) is before
    train(compose(*WORDS, f"resume='{tmp_path}/run'", folder=tmp_path / "run"))
    as_if_nothing_had_been(whole[0], tmp_path / "run")


@pytest.fixture(autouse=True)
def quiet_before(monkeypatch):
    """No signal of another test is the first of one here."""
    monkeypatch.setattr(signals, "_latest", -math.inf)


def test_a_signal_sent_twice_at_once_is_one(compose, tmp_path, monkeypatch):
    from autoencoders.models.vae import VAE

    plain = VAE.training_step

    def signalled(self, batch, batch_idx):
        if self.trainer.global_step == 6:  # as `timeout` does: to the process, and to its group
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return plain(self, batch, batch_idx)

    monkeypatch.setattr(VAE, "training_step", signalled)
    with pytest.raises(RunStopped) as stopped:
        train(compose(*WORDS))
    assert stopped.value.where.startswith("after step 7, which ")
    monkeypatch.setattr(signals, "REPEAT_SECONDS", 0)
    with pytest.raises(RunStopped) as stopped:
        train(compose(*WORDS, folder=tmp_path / "impatient"))
    assert stopped.value.where.startswith("immediately by a second signal")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_training_is_recorded_too(compose, tmp_path, monkeypatch, number):
    before, words = signal.getsignal(number), (*WORDS, "trainer.max_epochs=1")
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "run_test", lambda *_: [signal.raise_signal(number) for _ in range(2)])
        with pytest.raises(RunStopped, match=str(128 + number)) as stopped:
            train(compose(*words))
    assert stopped.value.where == f"after training, which is saved in {tmp_path}/run/checkpoints/last.ckpt"
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "stopped"
    assert signal.getsignal(number) is before
    assert "test/neg_elbo" in train(compose(*words, f"resume='{tmp_path}/run'"))


def test_a_refused_resume_leaves_the_run_as_it_was(compose, tmp_path):
    train(compose(*WORDS, "trainer.max_epochs=1"))
    before = {file: file.read_bytes() for file in (tmp_path / "run").glob("*.*")}
    with pytest.raises(UserError, match="steps must be 19, as in the checkpoint"):
        train(compose(*WORDS, "trainer.max_epochs=2", "resume=auto"))
    assert {file: file.read_bytes() for file in (tmp_path / "run").glob("*.*")} == before


def test_a_resumed_run_adds_its_time_up(compose, tmp_path):
    words, last = [*WORDS, "schedule=constant", "beta=constant", "test=false"], tmp_path / "run/checkpoints/last.ckpt"

    def record(epochs):
        train(compose(*words, f"trainer.max_epochs={epochs}", "resume=auto"))
        return json.loads((tmp_path / "run/run.json").read_text())

    first, again = record(2), record(2)
    assert again["images_per_second"] == pytest.approx(first["images_per_second"])
    assert again["started"] == first["started"]
    state = torch.load(last, weights_only=True)
    state["callbacks"]["Throughput"]["age"] += 1000  # as if it had taken so long
    torch.save(state, last)
    more = record(3)
    assert 1000 < more["seconds"] < 2000
    assert more["epochs"] == 3


def test_a_drawn_seed_is_kept_by_a_resume_and_by_a_sweep(compose, run_command, tmp_path, starts):
    words = [*WORDS, "schedule=constant", "beta=constant", "seed=null"]
    train(compose(*words, "trainer.max_epochs=1"))
    last = tmp_path / "run/checkpoints/last.ckpt"
    seed = loading.load_checkpoint(last)["hyper_parameters"]["seed"]
    train(compose(*words, "trainer.max_epochs=2", "resume=auto"))
    assert loading.load_checkpoint(last)["hyper_parameters"]["seed"] == seed
    sweep = ["-m", "seed=null", "beta=1", *(w for w in WORDS if "beta" not in w), "hydra.sweep.dir=sweep"]
    for _ in range(2):
        done = run_command(train_module, *sweep, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert "skipped because it was already finished" in done.stdout
    assert starts == [0, 19, 0]


def test_the_terminal_shows_the_command_to_continue(run_command, tmp_path, monkeypatch):
    from autoencoders.models.vae import VAE

    monkeypatch.setattr(VAE, "on_train_epoch_end", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    done = run_command(train_module, *WORDS, "hydra.run.dir=a run", cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr.startswith("autoencoders: stopped after step 19, which ")
    assert f"Continue with: python -m autoencoders.train {WORDS[0]}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(compose, tmp_path, whole, capsys, starts):
    folder = whole[0]
    last = folder / "checkpoints/last.ckpt"
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    content = last.read_bytes()
    (damaged / "checkpoints/last.ckpt").write_bytes(content[: len(content) // 2])
    train(compose(*WORDS, "resume=auto", folder=damaged))
    assert f"{damaged}/checkpoints/last.ckpt is not a checkpoint" in (told := capsys.readouterr().err)
    assert f"Resuming from the previous checkpoint {damaged}/checkpoints/previous.ckpt" in told
    assert starts[-1] == 72
    as_if_nothing_had_been(folder, damaged)
    for name in ("last", "previous", "best"):
        (damaged / f"checkpoints/{name}.ckpt").write_bytes(b"")
    with pytest.raises(UserError, match="There is no other checkpoint"):
        train(compose(*WORDS, "resume=auto", folder=damaged))


def test_auto_starts_a_new_run_without_a_checkpoint(compose, tmp_path, starts):
    train(compose(*WORDS, "resume=auto", "trainer.max_epochs=1", folder=tmp_path / "new"))
    assert starts == [0]
    with pytest.raises(UserError, match="must be a checkpoint or a run folder"):
        loading.newest_checkpoint(tmp_path / "nowhere")


@pytest.mark.slow
def test_a_repeated_sweep_runs_the_unfinished_jobs(run_command, tmp_path, starts):
    words = ["-m", "beta=1,2", *(w for w in WORDS if "beta" not in w), "hydra.sweep.dir=sweep"]
    assert run_command(train_module, *words, cwd=tmp_path).returncode == 0
    second = next((tmp_path / "sweep").glob("1_*"))
    for name in ("run.json", "metrics.json"):
        (second / name).unlink()
    shutil.copy(second / "checkpoints/previous.ckpt", second / "checkpoints/last.ckpt")
    done = run_command(train_module, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert starts == [0, 0, 72]
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line[:1] in ("0", "1")}
    assert "done" in lines["0"]
    assert "0_vae-digits-z10-beta1-seed0: skipped because it was already finished" in done.stdout
    assert "1_vae-digits-z10-beta2-seed0: skipped" not in done.stdout
    other = run_command(train_module, *words, "data.shift=1", cwd=tmp_path)
    assert other.returncode == 2
    assert "contains a finished run with another configuration: data.shift is 1 instead of 0" in other.stderr
    assert [json.loads(f.read_text())["status"] for f in (tmp_path / "sweep").glob("*/run.json")] == ["done", "done"]
