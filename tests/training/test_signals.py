"""Signals that end a command: checkpoint, status, exit status 128 + number, and one sentence.

Most tests run a command in this process, which sends the signal to itself at a certain point.
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.plugins.environments import SLURMEnvironment

from autoencoders import apply, report, train
from autoencoders.applications import browse
from autoencoders.callbacks.samples import Samples
from autoencoders.models.vae import VAE
from autoencoders.reports import content, server
from autoencoders.training import sweep_signals, sweeps
from autoencoders.types import RunStopped
from autoencoders.utils import signals, slurm

WORDS = ["model=vae", "net.widths=[16]", "trainer=cpu", "logger=none", "data.batch_size=64", "trainer.max_epochs=2",
         "trainer.limit_train_batches=3", "callbacks=checkpoint", "steps_per_execution=1"]  # fmt: skip
RUN = [*WORDS, "hydra.run.dir=run"]
SLURM = {"SLURM_NTASKS": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0",
         "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NAME": "job"}  # fmt: skip


@pytest.fixture(autouse=True)
def no_earlier_signal(monkeypatch):
    """No signal of another test is the first of one here, and an unexpected signal does not end the tests."""
    monkeypatch.setattr(signals, "_latest", -math.inf)
    monkeypatch.setattr(sweep_signals, "_worker_signals", [])
    before = {number: signal.signal(number, signal.SIG_DFL) for number in signals.SIGNALS}
    yield
    for number, handler in before.items():
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(number, handler)


def send_in(monkeypatch, kind, name, *numbers, when=lambda *_, **__: True):
    """Send signals to this process in the first call of a method for which `when` is true."""
    plain, sent = getattr(kind, name), []

    def method(*arguments, **keywords):
        if not sent and when(*arguments, **keywords):
            sent.extend(numbers)
            for number in numbers:
                signals._latest = -math.inf  # as if some time had passed
                os.kill(os.getpid(), number)
        return plain(*arguments, **keywords)

    monkeypatch.setattr(kind, name, method)
    return sent


def record(folder):
    return json.loads((folder / "run.json").read_text())


def saved_step(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"]


# Training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGALRM"])
def test_every_signal_saves_a_checkpoint_during_training(run_command, tmp_path, monkeypatch, name):
    number = signal.Signals[name]
    send_in(monkeypatch, VAE, "training_step", number, when=lambda self, *_: self.trainer.global_step == 1)
    done = run_command(train, *RUN, cwd=tmp_path)
    assert done.returncode == 128 + number
    assert done.stderr.startswith(f"autoencoders: stopped after step 2, which is saved in {tmp_path}/run/checkpoints/")
    assert f"Continue with: python -m autoencoders.train {WORDS[0]}" in done.stderr
    assert done.stderr.count("\n") == 1
    assert record(tmp_path / "run")["status"] == "stopped"
    assert saved_step(tmp_path / "run") == 2


@pytest.mark.parametrize(
    ("kind", "name", "number", "where", "step"),
    [
        (VAE, "setup", signal.SIGHUP, "before training", None),
        (VAE, "validation_step", signal.SIGUSR2, "after step 3, which is saved in", 3),
        (Samples, "draw", signal.SIGQUIT, "after step 6, which is saved in", 6),
        (VAE, "test_step", signal.SIGXCPU, "after training, which is saved in", 6),
    ],
)
def test_a_signal_outside_of_the_training_steps(run_command, tmp_path, monkeypatch, kind, name, number, where, step):
    send_in(monkeypatch, kind, name, number)
    figure = "+callbacks.samples={_target_: autoencoders.callbacks.samples.Samples}"
    done = run_command(train, *RUN, figure, cwd=tmp_path)
    assert done.returncode == 128 + number
    assert done.stderr.startswith(f"autoencoders: stopped {where}")
    assert done.stderr.count("\n") == 1
    assert record(tmp_path / "run")["status"] == "stopped"
    assert step is None or saved_step(tmp_path / "run") == step


def test_only_a_second_signal_of_a_user_ends_a_step(run_command, tmp_path, monkeypatch):
    """The system repeats SIGXCPU every second."""
    with monkeypatch.context() as patch:
        send_in(patch, VAE, "training_step", *[signal.SIGXCPU] * 3)
        done = run_command(train, *RUN, cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGXCPU
    assert saved_step(tmp_path / "run") == 1
    send_in(monkeypatch, VAE, "training_step", signal.SIGUSR1, signal.SIGINT)
    done = run_command(train, *WORDS, "hydra.run.dir=impatient", cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr == "autoencoders: stopped immediately by a second signal, without a checkpoint.\n"
    assert record(tmp_path / "impatient")["status"] == "stopped"


def test_a_second_signal_while_the_run_ends_keeps_status_and_message(run_command, tmp_path, monkeypatch):
    from autoencoders.loggers import media
    from autoencoders.runs.record import Record

    send_in(monkeypatch, VAE, "training_step", signal.SIGINT)
    written = send_in(
        monkeypatch, Record, "_write", signal.SIGINT, when=lambda *_, **fields: fields["status"] == "stopped"
    )
    closed = send_in(monkeypatch, media, "close_loggers", signal.SIGINT)  # as if W&B were still uploading
    done = run_command(train, *RUN, cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr.startswith("autoencoders: stopped after step 1, which is saved in ")
    assert done.stderr.count("\n") == 1
    assert record(tmp_path / "run")["status"] == "stopped"
    assert written
    assert closed


def test_a_signal_that_arrives_while_the_status_is_written_is_handled_afterwards():
    events = []

    @signals.stop_on_signals()
    def write():
        with signals.delay_signals():
            os.kill(os.getpid(), signal.SIGUSR1)
            events.append("written")
        events.append("afterwards")

    with pytest.raises(RunStopped, match="138"):
        write()
    assert events == ["written"]


def test_an_ignored_signal_and_a_handler_of_another_library_remain():
    def other(number, frame):
        raise AssertionError

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, other)
    try:
        with signals.stop_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGUSR2) is other
        with pytest.raises(RunStopped, match="130"), signals.stop_on_signals():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)


# Other commands and sweeps ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory, compose_into):
    folder = tmp_path_factory.mktemp("signals") / "run"
    train.train(compose_into(*WORDS[:-1], "test=false", folder=folder))
    return folder


def test_a_signal_ends_apply_and_report_with_one_sentence(run_command, trained, tmp_path, monkeypatch):
    words = [f"run={trained}", "application=[browse,reconstruct]", f"folder={tmp_path}/out"]
    with monkeypatch.context() as patch:
        send_in(patch, browse, "browse", signal.SIGTERM)
        done = run_command(apply, *words, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (143, "autoencoders: stopped by SIGTERM.\n")
    assert not (tmp_path / "out").exists()
    send_in(monkeypatch, content, "build_report", signal.SIGHUP)
    done = run_command(report, f"runs={trained}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (129, "autoencoders: stopped by SIGHUP.\n")
    assert not (tmp_path / "report.html").exists()


def test_the_live_report_ends_normally_after_ctrl_c(run_command, trained, tmp_path, monkeypatch):
    for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 143)):
        with monkeypatch.context() as patch:
            send_in(patch, server.Server, "serve_forever", number)
            done = run_command(report, f"runs={trained}", "live=true", "port=0", cwd=tmp_path)
        assert done.returncode == code
        assert ("live     stopped" in done.stdout) == (code == 0)
        assert done.stderr == ("" if code == 0 else "autoencoders: stopped by SIGTERM.\n")


def test_a_signal_in_a_sweep_and_after_its_last_job(run_command, tmp_path, monkeypatch):
    sweep = ["-m", *WORDS, "test=false", "trainer.max_epochs=1", "beta=1,2", "hydra.sweep.dir=sweep"]
    with monkeypatch.context() as patch:
        send_in(patch, VAE, "training_step", signal.SIGUSR1)
        done = run_command(train, *sweep, cwd=tmp_path)
    assert done.returncode == 138
    assert done.stderr.splitlines()[0].endswith(sweeps.HINT)
    assert "stopped after step 1" in done.stdout  # in the table of the jobs
    send_in(monkeypatch, sweeps, "load_finished_job", signal.SIGINT)
    done = run_command(train, *sweep, cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr.splitlines()[0] == f"autoencoders: stopped by SIGINT.{sweeps.HINT}"


def test_a_job_with_several_processes_receives_the_signal_of_its_sweep(tmp_path):
    """The command of the job is replaced by a script that saves its status after the signal."""
    (tmp_path / "autoencoders").mkdir()
    (tmp_path / "autoencoders/__init__.py").touch()
    (tmp_path / "autoencoders/train.py").write_text(
        "import json, os, pathlib, signal, sys, time\n"
        "def stop(*_):\n"
        "    time.sleep(.5)\n"
        "    pathlib.Path('run.json').write_text(json.dumps({'error': 'stopped after step 3'}))\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(60)\n"
    )
    began = time.monotonic()
    with pytest.raises(RunStopped) as stopped:
        sweeps.run_in_subprocess([], tmp_path, str(tmp_path))
    assert (stopped.value.number, stopped.value.where) == (signal.SIGTERM, "after step 3")
    assert time.monotonic() - began < 30


def test_a_worker_process_ends_its_job_and_starts_no_other(monkeypatch):
    monkeypatch.setattr(signals, "is_worker", lambda: True)

    def job():
        os.kill(os.getpid(), signal.SIGTERM)

    def next_job():
        sweep_signals.check_worker()
        raise AssertionError

    try:
        assert sweep_signals.run_job(lambda: 1.5) == 1.5
        assert sweep_signals.run_job(job) is None
        assert sweep_signals.run_job(next_job) is None
        signals._latest = -math.inf
        os.kill(os.getpid(), signal.SIGUSR1)  # between two jobs
    finally:
        for number in signals.SIGNALS:
            signal.signal(number, signal.SIG_DFL)


# Slurm ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """Set the environment of a Slurm job, and replace `scontrol` by a script that writes its arguments to a file."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/scontrol"
    show = '[ "$1" = show ] && echo "$JOB" && exit 0'
    script.write_text(f'#!/bin/sh\n{show}\necho "$@" >> {tmp_path}/calls\necho "$MESSAGE" >&2\nexit ${{CODE:-0}}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "calls"


def test_a_slurm_job_is_requeued_if_its_command_continues_the_run(run_command, scontrol, tmp_path, monkeypatch):
    send_in(monkeypatch, VAE, "training_step", signal.SIGUSR1)
    done = run_command(train, *RUN, "resume=auto", cwd=tmp_path)
    assert done.returncode == 138
    assert done.stderr.endswith("last.ckpt. The Slurm job 7 is requeued to continue.\n")
    assert scontrol.read_text() == "requeue 7\n"
    assert not list(tmp_path.glob("**/hpc*"))  # Lightning's own handler has saved nothing
    done = run_command(train, *RUN, "resume=auto", cwd=tmp_path)  # Slurm starts the same command again
    assert done.returncode == 0, done.stderr
    assert saved_step(tmp_path / "run") == 6


def test_a_slurm_job_is_not_requeued_without_resume_or_after_another_signal(
    run_command, scontrol, tmp_path, monkeypatch
):
    for number, words in ((signal.SIGUSR1, []), (signal.SIGTERM, ["resume=auto"])):
        with monkeypatch.context() as patch:
            send_in(patch, VAE, "training_step", number)
            done = run_command(train, *WORDS, *words, f"hydra.run.dir={number}", cwd=tmp_path)
        assert done.returncode == 128 + number
        assert "Continue with: " in done.stderr
    assert not scontrol.exists()


def test_a_preempted_job_is_requeued_and_a_cancelled_job_is_not(scontrol, monkeypatch):
    """The texts are those of Slurm 22.05 during the grace time after a preemption, and after `scancel`."""
    for state, preempted, expected in (
        ("RUNNING", "2026-11-27T01:38:29", "7"),
        ("RUNNING", "None", None),
        ("COMPLETING", "2026-11-27T01:38:29", None),
    ):
        text = f"   JobState={state} Reason=None\n   PreemptEligibleTime=2026-11-27T01:38:24 PreemptTime={preempted}"
        monkeypatch.setenv("JOB", text)
        assert slurm.job_to_requeue(signal.SIGTERM) == expected
    monkeypatch.setenv("PATH", "")
    assert slurm.job_to_requeue(signal.SIGTERM) is None


def test_the_answer_of_slurm_is_reported(scontrol, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert slurm.job_to_requeue(signal.SIGUSR2) == "9_3"
    assert slurm.job_to_requeue(signal.SIGINT) is None
    monkeypatch.setenv("CODE", "1")
    monkeypatch.setenv("MESSAGE", "disabled")
    slurm.requeue("9_3")
    assert capsys.readouterr().err == "autoencoders: warning: Slurm did not requeue the job 9_3 (disabled).\n"
    monkeypatch.setenv("PATH", "")
    slurm.requeue("9_3")
    assert "(No such file or directory: 'scontrol')" in capsys.readouterr().err.replace("[Errno 2] ", "")
    for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"):
        monkeypatch.setenv(name, "1")
    for name in ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.setenv(name, "2")
    slurm.requeue("9_3")  # only the first process requeues the job
    assert capsys.readouterr().err == ""


def test_lightning_keeps_its_slurm_handler_without_the_command(compose, scontrol, tmp_path):
    """In a training with the Python API, the callback leaves SIGUSR1 to Lightning, as the user has configured it."""
    import lightning.pytorch as pl
    from lightning.pytorch.demos.boring_classes import BoringModel

    from autoencoders.callbacks.last_checkpoint import LastCheckpoint

    callback, handlers = LastCheckpoint(str(tmp_path)), []
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, max_epochs=1, plugins=SLURMEnvironment(), logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip

    class Model(BoringModel):
        def on_train_start(self):
            callback.on_train_start(trainer, self)
            handlers.extend(signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGUSR2))
            callback.on_exception(trainer, self, ValueError())

    trainer.fit(Model())
    lightnings, ours = handlers
    assert not isinstance(lightnings, signals.SignalHandler)
    assert isinstance(ours, signals.SignalHandler)


# Real processes ---------------------------------------------------------------------------------------------------


def start(*arguments, cwd, launcher=()):
    return subprocess.Popen(
        [*launcher, sys.executable, "-m", *arguments],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def handles(process, number):
    """Return whether a process has a handler for a signal."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"SigCgt:\s*(\w+)", text)[1], 16) >> (number - 1) & 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_signal_during_the_imports_is_one_sentence_and_leaves_no_folder(tmp_path):
    processes = [start("autoencoders.train", *RUN, cwd=tmp_path) for _ in range(2)]
    for process, number in zip(processes, (signal.SIGINT, signal.SIGUSR2), strict=True):
        while not handles(process, signal.SIGUSR2):
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (128 + number, f"autoencoders: stopped by {number.name}.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_nohup_ignores_a_closed_terminal(tmp_path):
    words = [*RUN, "trainer.max_epochs=10", "callbacks=[checkpoint,progress]", "test=false"]
    process = start("autoencoders.train", *words, cwd=tmp_path, launcher=("nohup",))
    for line in process.stdout:
        if line.startswith("epoch"):
            process.send_signal(signal.SIGHUP)
            break
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert record(tmp_path / "run")["status"] == "done"
