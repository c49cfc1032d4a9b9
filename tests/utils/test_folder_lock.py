"""The lock of a run folder: other processes, dead processes, and processes on other hosts."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from autoencoders.types import FolderInUseError
from autoencoders.utils import folder_lock, launchers
from autoencoders.utils.folder_lock import OWNER_FILE, FolderLock, Owner, is_in_use, read_owner

HOLDER = """
import os, sys, time
from autoencoders.utils.folder_lock import FolderLock
FolderLock(sys.argv[1], "").acquire()
child = sys.argv[2] == "fork" and os.fork() == 0
os.write(1, f"{os.getpid() if child else 'locked'}\\n".encode())
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("variables", "trainer", "first"),
    [
        ({}, {}, True),
        ({"RANK": "1", "LOCAL_RANK": "1"}, {}, True),  # left by an earlier job
        ({launchers.STARTED_BY: str(os.getppid()), "RANK": "1"}, {}, False),
        ({"NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, {"num_nodes": 2}, False),
        ({"NODE_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, {"num_nodes": 2}, True),
        ({"SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, {}, True),
        (
            {"RANK": "2"},
            {"plugins": [{"_target_": "lightning.pytorch.plugins.environments.KubeflowEnvironment"}]},
            False,
        ),
        ({"OMPI_COMM_WORLD_RANK": "3"}, {}, False),
    ],
)
def test_only_the_first_process_of_a_run_locks_its_folder(monkeypatch, variables, trainer, first):
    for name in (*launchers.TORCH, *launchers.FOREIGN_RANKS, *launchers.MPI_RANKS, launchers.STARTED_BY):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launchers.is_first_process({"num_nodes": 1, **trainer}) is first


@contextlib.contextmanager
def holder(folder, mode="plain"):
    """A process that holds the lock of a folder, and the lines that it has printed."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder), mode], stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline().strip() for _ in range(1 + (mode == "fork"))]
    try:
        yield process, lines
    finally:
        process.kill()
        process.wait()


def elsewhere(folder, age=0.0):
    """Write the file of an owner on another host, with a heartbeat of this age in seconds."""
    owner = Owner("elsewhere", "another boot", "another namespace", os.getpid(), "1")
    folder.mkdir()
    (folder / OWNER_FILE).write_text(json.dumps(owner._asdict()))
    moment = time.time() - age
    os.utime(folder / OWNER_FILE, (moment, moment))
    return owner


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path):
    with holder(tmp_path / "run") as (process, _):
        assert is_in_use(tmp_path / "run")
        with pytest.raises(FolderInUseError) as refused:
            FolderLock(tmp_path / "run", "Wait.").acquire()
        owner = f"process {process.pid} on host {os.uname().nodename}"
        assert str(refused.value) == f"{tmp_path}/run is in use by {owner}. Wait."
        process.kill()
        while is_in_use(tmp_path / "run"):  # also a process whose parent has not read its exit status is dead
            time.sleep(0.01)
        started = time.monotonic()
        with FolderLock(tmp_path / "run", ""):
            assert time.monotonic() - started < 0.5
            assert read_owner(tmp_path / "run" / OWNER_FILE).pid == os.getpid()
    assert not (tmp_path / "run").exists() or list((tmp_path / "run").iterdir()) == []


def test_a_forked_process_does_not_keep_the_lock_of_its_dead_parent(tmp_path):
    with holder(tmp_path, "fork") as (process, lines):
        process.kill()
        process.wait()
        child = next(int(line) for line in lines if line != "locked")
        try:
            FolderLock(tmp_path, "").acquire().release()
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_process_id_that_another_process_has_now_is_dead(tmp_path):
    (tmp_path / OWNER_FILE).write_text(json.dumps(Owner.current()._replace(started="1")._asdict()))
    assert not is_in_use(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"host": 1}'])
def test_an_incomplete_file_locks_nothing(tmp_path, content):
    (tmp_path / OWNER_FILE).write_text(content)
    assert not is_in_use(tmp_path)
    with FolderLock(tmp_path, ""):
        assert is_in_use(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_heartbeat_of_another_host_counts_by_the_clock_of_the_files(tmp_path, monkeypatch):
    elsewhere(tmp_path / "alive", age=30)
    elsewhere(tmp_path / "dead", age=90)
    monkeypatch.setattr(time, "time", lambda: 0.0)  # as if the clock of this host were wrong
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert is_in_use(tmp_path / "alive")
    assert not is_in_use(tmp_path / "dead")
    FolderLock(tmp_path / "dead", "").acquire().release()


def test_the_owner_on_another_host_is_watched_before_the_folder_is_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(folder_lock, "DEAD_SECONDS", 0.8)
    owner = elsewhere(tmp_path / "alive")
    threading.Timer(0.3, os.utime, [tmp_path / "alive" / OWNER_FILE]).start()
    with pytest.raises(FolderInUseError, match=f"in use by process {owner.pid} on host elsewhere"):
        FolderLock(tmp_path / "alive", "").acquire()
    assert f"for a heartbeat of {owner}" in capsys.readouterr().err
    elsewhere(tmp_path / "dead")
    FolderLock(tmp_path / "dead", "").acquire().release()


def test_the_heartbeat_survives_a_full_disk_and_ends_with_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "BEAT_SECONDS", 0.01)
    plain, calls = os.utime, []

    def full(path, *arguments):
        calls.append(path)
        if len(calls) < 4:
            raise OSError(errno.ENOSPC, "full")
        plain(path, *arguments)

    monkeypatch.setattr(os, "utime", full)
    with FolderLock(tmp_path, ""):
        plain(tmp_path / OWNER_FILE, (1, 1))
        while (tmp_path / OWNER_FILE).stat().st_mtime == 1:
            time.sleep(0.01)
    beats = len(calls)
    time.sleep(0.05)
    assert len(calls) == beats


def test_without_locks_of_the_file_system_the_process_decides(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOSYS, "not implemented")

    with holder(tmp_path) as (process, _):
        monkeypatch.setattr(fcntl, "flock", unsupported)
        with pytest.raises(FolderInUseError, match=f"process {process.pid} on host"):
            FolderLock(tmp_path, "").acquire()
        process.kill()
        process.wait()
        FolderLock(tmp_path, "").acquire().release()
