import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from data_samples import cache_counted

from autoencoders.data import image_cache
from autoencoders.data.image_cache import cached_images, file_digest
from autoencoders.types import UserError


def test_a_cache_is_built_once_per_settings(tmp_path):
    calls = []
    first, same, other = (cache_counted(tmp_path, s, calls=calls) for s in ((1,), (1,), (2,)))
    assert len(calls) == 2
    assert torch.equal(first, same)
    assert first[:, 0, 0, 0].tolist() == other[:, 0, 0, 0].tolist() == list(range(20))


def test_an_interrupted_cache_leaves_no_files(tmp_path):
    def fail(images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_images("x", ["x", 1], 20, (1, 4, 4), fail, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert len(cache_counted(tmp_path)) == 20


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads the list of memory maps of Linux")
def test_a_large_cache_is_mapped_read_only(tmp_path, recwarn):
    """Linux refuses a private writable memory map that is larger than the machine's memory."""
    images = cache_counted(tmp_path, memory=10)
    maps = [line.split()[1] for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert maps == ["r--s"]
    assert images.sum() == 16 * sum(range(20))
    assert not recwarn


def truncate(folder):
    file = folder / "images.npy"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:300])


def set_old_version(folder):
    (folder / "store.json").write_text(json.dumps({"version": image_cache.VERSION - 1, "unreadable": {}}))


DAMAGE = {
    "truncated": (truncate, "."),
    "empty": (lambda folder: (folder / "images.npy").write_bytes(b""), "No data left in file"),
    "no images": (lambda folder: (folder / "images.npy").unlink(), "No such file"),
    "no metadata": (lambda folder: (folder / "store.json").unlink(), "No such file"),
    "truncated metadata": (lambda folder: (folder / "store.json").write_text('{"ver'), "Unterminated"),
    "old version": (set_old_version, f"its version must be {image_cache.VERSION}, got {image_cache.VERSION - 1}"),
    "other shape": (
        lambda folder: np.save(folder / "images.npy", np.zeros((3, 1, 4, 4), np.uint8)),
        "its images must have shape (20,",
    ),
}


@pytest.mark.parametrize("memory", [1e9, 10])
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_or_old_cache_is_reported_and_built_again(tmp_path, capsys, kind, memory):
    calls = []
    cache_counted(tmp_path, calls=calls, memory=memory)
    (folder,) = (tmp_path / "cache").iterdir()
    damage, reason = DAMAGE[kind]
    (folder / "images.npy").chmod(0o644)
    damage(folder)
    assert cache_counted(tmp_path, calls=calls, memory=memory)[:, 0, 0, 0].tolist() == list(range(20))
    message = capsys.readouterr().err
    assert message.startswith(f"autoencoders: the cache {folder} is rebuilt because it cannot be loaded (")
    assert reason in message
    assert message.count("\n") == 1
    cache_counted(tmp_path, calls=calls, memory=memory)
    assert len(calls) == 2
    assert capsys.readouterr().err == ""
    assert list((tmp_path / "cache").iterdir()) == [folder]


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("memory", [1e9, 10])
def test_two_processes_can_build_the_same_cache_at_the_same_time(tmp_path, memory, damaged):
    if damaged:
        cache_counted(tmp_path)
        truncate(next((tmp_path / "cache").iterdir()))
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    def fill(images):
        (meeting / str(os.getpid())).touch()
        while len(list(meeting.iterdir())) < 2:  # until both processes are building the cache
            time.sleep(0.005)
        images[:] = np.arange(20, dtype=np.uint8)[:, None, None, None]

    children = []
    for _ in range(2):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                images = cached_images("x", ["x", 1], 20, (1, 4, 4), fill, cache=tmp_path / "cache", memory=memory)[0]
                time.sleep(0.05)  # meanwhile, the other process may replace or remove this cache
                os._exit(images[:, 0, 0, 0].tolist() != list(range(20)))
            finally:
                os._exit(2)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    calls = []
    assert len(cache_counted(tmp_path, calls=calls)) == 20
    assert calls == []
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_a_file_that_is_removed_after_it_was_listed_is_one_sentence(tmp_path):
    with pytest.raises(
        UserError, match=f"{tmp_path}/gone.png was removed while the images were read. Restore the file"
    ):
        file_digest(tmp_path, ["gone.png"])


def test_old_files_of_killed_processes_are_removed(tmp_path):
    cache_counted(tmp_path)
    (folder,) = (tmp_path / "cache").iterdir()
    abandoned, recent = (folder.with_name(f".{folder.name}-{name}") for name in ("abandoned", "recent"))
    for partial in (abandoned, recent):
        partial.mkdir()
        (partial / "images.npy").write_bytes(b"half")
    for path in (abandoned / "images.npy", abandoned):
        os.utime(path, (0, 0))
    set_old_version(folder)
    cache_counted(tmp_path)
    assert sorted((tmp_path / "cache").iterdir()) == [recent, folder]


def test_a_full_disk_leaves_no_files(tmp_path):
    """Writing to a memory-mapped file on a full disk kills the process, so disk space must be reserved first."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
    try:
        with pytest.raises(UserError) as raised:
            cached_images("x", [], 2000, (1, 8, 8), lambda images: pytest.fail("filled"), cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(raised.value) == (
        f"{tmp_path}/cache could not be written (File too large). Free disk space, or set data.cache to a folder "
        "on another disk. The cache of decoded images needs 0.00013 GB."
    )
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("obstacle", ["a file", "no permission"])
def test_a_cache_that_cannot_be_written_names_the_option(tmp_path, monkeypatch, obstacle):
    cache = tmp_path / "cache"
    if obstacle == "a file":
        cache.write_text("no folder")
    else:

        def refuse(*_, **__):
            raise PermissionError(errno.EACCES, "Permission denied", str(cache))

        monkeypatch.setattr(image_cache.tempfile, "mkdtemp", refuse)
    with pytest.raises(
        UserError, match=r"cache cannot be used \(.*\)\. Set data\.cache to a folder with write permission\."
    ):
        cache_counted(tmp_path)


def test_a_file_digest_changes_with_the_files(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    before = file_digest(tmp_path, ["a.png"])
    assert file_digest(tmp_path, ["a.png"]) == before
    file.write_bytes(b"three")
    assert file_digest(tmp_path, ["a.png"]) != before
