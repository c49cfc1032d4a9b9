"""Faults of the machine: a full disk, a read-only file system, limits of memory and files, a clock that jumps."""

import json
import os
import random
import resource
import subprocess
import time
from pathlib import Path

import pytest
from injection import Point, run_command
from test_kills import WORDS, assert_equal_runs, loaded  # noqa: F401

from autoencoders import train
from autoencoders.models.vae import VAE

pytestmark = pytest.mark.slow

QUICK = [*WORDS, "logger=none", "callbacks=checkpoint", "resume=auto"]


def mount(*arguments):
    return subprocess.run(["mount", *arguments], capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path):
    """A file system in memory with 20 MiB. The test is skipped if it cannot be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = mount("-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder))
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def whole(tmp_path):
    """The folder of a run without faults."""
    words = words_of(tmp_path / "whole")
    assert run_command(train, words, tmp_path, tmp_path / "log") == 0, (tmp_path / "log").read_text()
    return tmp_path / "whole"


def words_of(folder):
    callbacks = [word for word in QUICK if "callbacks." not in word or "last_checkpoint" in word]
    return [*callbacks, f"hydra.run.dir={folder}"]


def assert_one_sentence(log, expected):
    """The command has printed one error message, which contains a text, and no traceback."""
    text = log.read_text()
    assert "Traceback" not in text, text
    errors = [line for line in text.splitlines() if line.startswith("autoencoders: ") and "warning" not in line]
    assert len(errors) == 1, text
    assert expected in errors[0]


def test_a_full_disk(disk, whole, tmp_path, report_fault):
    """The disk is filled at random steps. Later, there is space again."""
    chance, times = random.Random(0), 4
    for i in range(times):
        folder, filler, log, number = disk / str(i), disk / "filler", tmp_path / f"{i}.log", chance.randint(8, 50)

        def fill(n=number, filler=filler):
            Point(VAE, "training_step").install(lambda call, _: write_all(filler) if call == n else None)

        code = run_command(train, words_of(folder), tmp_path, log, fill)
        assert code == 2, log.read_text()
        assert_one_sentence(log, "No space left on device")
        filler.unlink()
        assert run_command(train, words_of(folder), tmp_path, log) == 0, log.read_text()
        assert_equal_runs(whole, folder)
    report_fault("a full disk during training", times, f"exit 2 and one sentence; {times} equal endings after resume")


def write_all(file):
    """Fill a disk."""
    try:
        with file.open("wb", buffering=0) as stream:
            while True:
                stream.write(b"0" * 1024)
    except OSError:
        pass


def test_a_file_system_that_becomes_read_only(disk, whole, tmp_path, report_fault):
    folder, log = disk / "run", tmp_path / "read-only.log"

    def prepare():
        Point(VAE, "training_step").install(
            lambda call, _: mount("-o", "remount,ro", str(disk)) if call == 30 else None
        )

    assert run_command(train, words_of(folder), tmp_path, log, prepare) == 2, log.read_text()
    assert_one_sentence(log, "Read-only file system")
    assert run_command(train, words_of(disk / "new"), tmp_path, tmp_path / "new.log") == 2
    assert_one_sentence(tmp_path / "new.log", "Read-only file system")
    assert mount("-o", "remount,rw", str(disk)).returncode == 0
    assert run_command(train, words_of(folder), tmp_path, log) == 0, log.read_text()
    assert_equal_runs(whole, folder)
    report_fault("a file system that becomes read-only", 2, "exit 2 and one sentence; an equal ending after resume")


def test_limited_memory(whole, tmp_path, report_fault):
    folder, log = tmp_path / "run", tmp_path / "memory.log"

    def limit():
        def lower(call, _):
            if call == 1:
                used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
                resource.setrlimit(resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))

        Point(VAE, "training_step").install(lower)

    big = [word for word in words_of(folder) if not word.startswith("net.widths")]
    big += ["net.widths=[8192]"]  # the first step allocates the gradients and the moments of Adam
    code = run_command(train, big, tmp_path, log, limit)
    text = log.read_text()
    assert code == 2, text
    assert_one_sentence(log, "memory")
    report_fault("a memory limit during training", 1, "exit 2 and one sentence")


def test_few_file_descriptors(whole, tmp_path, report_fault):
    folder, log = tmp_path / "run", tmp_path / "files.log"

    def limit():
        def lower(call, _):
            if call == 20:
                used = os.dup(0)  # the lowest free number
                os.close(used)
                resource.setrlimit(resource.RLIMIT_NOFILE, (used, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

        Point(VAE, "training_step").install(lower)

    code = run_command(train, words_of(folder), tmp_path, log, limit)
    assert code in (0, 2), log.read_text()
    if code == 2:
        assert_one_sentence(log, "Too many open files")
        assert run_command(train, words_of(folder), tmp_path, log) == 0, log.read_text()
    assert_equal_runs(whole, folder)
    report_fault("no free file descriptors", 1, f"exit {code}; an equal ending")


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_clock_that_jumps(jump, whole, tmp_path, report_fault):
    folder, log = tmp_path / "run", tmp_path / "clock.log"

    def prepare():
        plain = time.time
        Point(VAE, "training_step").install(
            lambda call, _: setattr(time, "time", lambda: plain() + jump) if call == 20 else None
        )

    assert run_command(train, words_of(folder), tmp_path, log, prepare) == 0, log.read_text()
    assert_equal_runs(whole, folder)
    assert 0 < json.loads((folder / "run.json").read_text())["seconds"] < 600
    report_fault(f"a clock that jumps by {jump:+,} s", 1, "an equal ending, true seconds")


def test_a_wandb_server_that_cannot_be_reached(tmp_path, report_fault):
    """The server refuses connections: the run continues offline."""
    words = [*WORDS, "logger.wandb.init_timeout=3", "hydra.run.dir=run", "callbacks=checkpoint"]
    words = [word for word in words if "callbacks." not in word or "last_checkpoint" in word]

    def prepare():
        os.environ.update(WANDB_MODE="online", WANDB_BASE_URL="http://127.0.0.1:9", WANDB_API_KEY="0" * 40)

    assert run_command(train, words, tmp_path, tmp_path / "log", prepare) == 0, (tmp_path / "log").read_text()
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "done"
    report_fault("a W&B server that cannot be reached", 1, "the run is complete, W&B is offline")
