"""Faults of one of two processes: the other one ends in time, with one sentence, and the checkpoint is valid."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch

FAULT = """
import os, signal, time
import lightning.pytorch as pl
from autoencoders.types import UserError

class Fault(pl.Callback):
    def __init__(self, action, stage, rank=1, busy=False):
        self.action, self.stage, self.rank, self.busy = action, stage, rank, busy

    def reach(self, trainer, stage):
        if stage != self.stage:
            return
        if trainer.global_rank != self.rank:
            while self.busy:  # as rank zero when it plots figures
                time.sleep(0.1)
            return
        with open("time", "w") as file:
            file.write(str(time.time()))
        if self.action == "user":
            raise UserError("Row 7 cannot be read. Remove it.")
        if self.action == "bug":
            raise ValueError("row 7")
        if self.action == "late":
            time.sleep(1000)
        if self.action == "exit":
            os._exit(3)
        os.kill(os.getpid(), getattr(signal, self.action))

    def setup(self, trainer, model, stage):
        self.reach(trainer, f"setup {trainer.state.fn.value}")

    def on_train_batch_start(self, trainer, *arguments):
        if trainer.global_step == 6:
            self.reach(trainer, "train")

    def on_validation_batch_start(self, trainer, *arguments):
        if trainer.current_epoch:
            self.reach(trainer, "validate")

    def on_train_epoch_end(self, trainer, model):
        if trainer.current_epoch:
            self.reach(trainer, "figures")

    def on_test_batch_start(self, trainer, *arguments):
        self.reach(trainer, "test")

    def on_test_end(self, trainer, model):
        self.reach(trainer, "end")
"""
WORDS = ["model=vae", "net.widths=[16]", "callbacks=[checkpoint,progress]", "logger=none", "trainer=ddp_cpu"]
WORDS += ["trainer.max_epochs=2", "trainer.limit_train_batches=4", "hydra.run.dir=run", "peer_timeout=6"]
KILLED = "Rank 1 was killed by SIGKILL."
SILENT = "Rank 1 has not answered for 6 s (peer_timeout)."
USER = "Rank 1 has failed: Row 7 cannot be read. Remove it."
SLACK = 25.0
"""Seconds for the end of a process on a busy machine; includes the 10 s of `GRACE_SECONDS`."""


@pytest.fixture
def run(tmp_path, record_property):
    """`run(action, stage, *words)`: the result of the command, and the seconds between the fault and its end.

    With `--junitxml`, pytest writes the seconds to its report, from which the table in docs/faults.md is made.
    """

    def start(action, stage, *words):
        (tmp_path / "faulty.py").write_text(FAULT)
        fault = [f"+callbacks.fault.{k}={v}" for k, v in (("_target_", "faulty.Fault"), ("action", action))]
        command = [sys.executable, "-m", "autoencoders.train", *WORDS, *fault, f"+callbacks.fault.stage='{stage}'"]
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
        done = subprocess.run(
            [*command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
        )
        seconds = time.time() - float((tmp_path / "time").read_text())
        record_property("seconds", round(seconds, 1))
        return done, seconds

    return start


def check(done, sentence, folder, stage):
    """The sentence is printed once and recorded, and the checkpoint of an earlier stage is valid."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.count(f"autoencoders: {sentence}") == 1, done.stderr
    assert "gloo" not in done.stderr
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "failed"
    assert record["error"].startswith(sentence)
    if stage.startswith("setup"):
        return
    assert "Continue the run with resume=run." in done.stderr
    state = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert state["global_step"] == (8 if stage in ("test", "end") else 4)
    assert all(tensor.isfinite().all() for tensor in state["state_dict"].values())


@pytest.mark.slow
def test_a_user_error_of_one_rank_is_printed_once(run, tmp_path):
    done, seconds = run("user", "validate")
    check(done, USER, tmp_path / "run", "validate")
    assert "Traceback" not in done.stderr
    assert seconds < SLACK


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["setup fit", "train", "validate", "figures", "test", "end"])
@pytest.mark.parametrize(
    ("action", "sentence", "timeout"),
    [
        ("SIGKILL", KILLED, 0),
        ("SIGSTOP", SILENT, 6),
        ("bug", "Rank 1 has failed: ValueError: row 7.", 0),
        ("user", USER, 0),
        ("exit", "Rank 1 has ended with exit status 3.", 0),
    ],
)
def test_one_rank_fails_in_each_stage(run, tmp_path, action, sentence, timeout, stage):
    done, seconds = run(action, stage)
    check(done, sentence, tmp_path / "run", stage)
    assert done.stderr.count("Traceback") == (action == "bug")  # of rank one
    assert seconds < timeout + SLACK


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "sentence", "timeout"), [("SIGKILL", KILLED, 0), ("SIGSTOP", SILENT, 6), ("user", USER, 0)]
)
def test_rank_zero_ends_while_it_works_alone(run, tmp_path, action, sentence, timeout):
    done, seconds = run(action, "figures", "+callbacks.fault.busy=true")
    check(done, sentence, tmp_path / "run", "figures")
    assert seconds < timeout + SLACK


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_rank_that_is_late_is_named(run, tmp_path, rank):
    words = ["trainer.devices=3", "data.batch_size=96", "exchange_timeout=30", f"+callbacks.fault.rank={rank}"]
    done, seconds = run("late", "train", *words)
    sentence = f"Rank {rank} is more than 30 s later than the others at an exchange, although it answers."
    check(done, sentence, tmp_path / "run", "train")
    assert seconds < 30 + SLACK


@pytest.mark.slow
def test_the_other_ranks_end_if_rank_zero_is_killed(run, tmp_path):
    done, _ = run("SIGKILL", "train", "+callbacks.fault.rank=0")
    assert done.returncode == -9
    assert done.stderr.count("autoencoders: Rank 0 has ended without a message.") == 1  # the pipe is closed by all


@pytest.mark.slow
def test_a_job_that_continues_after_a_stopped_rank(run, tmp_path):
    """A rank that is stopped for less than the timeout does not end the run."""
    (tmp_path / "waking.py").write_text(
        "import os, signal, subprocess\n"
        "import lightning.pytorch as pl\n"
        "class Wake(pl.Callback):\n"
        "    def on_train_epoch_start(self, trainer, model):\n"
        "        if trainer.global_rank == 1:\n"
        "            subprocess.Popen(['sh', '-c', f'sleep 3; kill -CONT {os.getpid()}'])\n"
        "            os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    (tmp_path / "time").write_text("0")
    done, _ = run("none", "none", "+callbacks.wake._target_=waking.Wake")
    assert done.returncode == 0, done.stderr
