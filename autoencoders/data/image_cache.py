"""Decoded once: uint8 images in a cache keyed by source, content and settings, memory-mapped when large."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoders.types import Shape, UserError
from autoencoders.utils.error_messages import disk_error_message

VERSION = 1
"""Raised when the same settings would give other pixels: older caches are then built again."""
IMAGES, CARD = "images.npy", "store.json"
DAMAGED = (OSError, ValueError, EOFError)
"""What opening a cache raises that is missing a file, cut short, or of another version or shape."""
FORGOTTEN = 86_400.0
"""Seconds after which a cache that is still being built is taken for one whose process was killed."""


class Store(NamedTuple):
    """Images (N, C, H, W) uint8, and the rows that hold none: what was wrong with their files."""

    images: Tensor
    unreadable: dict[int, str]


def cached_images(
    name: str,
    settings: Sequence[Any],
    count: int,
    shape: Shape,
    fill: Callable[[np.ndarray], dict[int, str] | None],
    *,
    cache: str | Path | None = None,
    memory: float = 2e9,
) -> Store:
    """Images from the cache, made by `fill` where they are not there yet, damaged, or of an older version.

    A cache is built in a folder beside its place and moved there whole: one that was interrupted is never seen. Of
    several processes that build the same one at a time each uses its own, and one of them stays.

    Args:
        name: what the cache's folder is called, before the digest.
        settings: plain values that decide the pixels: source, content and every option.
        count: N.
        shape: (C, H, W).
        fill: writes all images into an array (N, C, H, W) of uint8; may return rows it has none for, and why.
        cache: folder of caches; None for the user's cache folder.
        memory: a store of more bytes stays on disk, memory-mapped.

    Returns:
        The images, not to be written to, and the rows that hold none.

    Raises:
        UserError: where the cache cannot be written, or its disk is full; nothing of it stays then.
    """
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:20]
    folder, wanted = cache_root(cache) / f"{name}-{digest}", (count, *shape)
    large = count * int(np.prod(shape)) > memory
    if folder.is_dir():
        try:
            return opened(folder, wanted, large)
        except DAMAGED as error:
            print(f"autoencoders: the cache {folder} is not used ({error}), and is built again.", file=sys.stderr)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        clear_forgotten(folder)
        return built(folder, wanted, fill, large)
    except OSError as error:
        needed = f" The cache of decoded images takes {count * int(np.prod(shape)) / 1e9:.2g} GB."
        raise UserError(disk_error_message(error, folder.parent, "data.cache") + needed) from error


def opened(folder: Path, wanted: tuple[int, ...], large: bool) -> Store:
    """A cache as it was left.

    Raises:
        ValueError, EOFError, OSError: where it is damaged; see DAMAGED.
    """
    metadata = json.loads((folder / CARD).read_text())
    if metadata.get("version") != VERSION:
        raise ValueError(f"it is of version {metadata.get('version')}, and this is version {VERSION}")
    # Read-only, since Linux refuses copy-on-write maps of more bytes than the machine has memory.
    images = np.load(folder / IMAGES, mmap_mode="r" if large else None, allow_pickle=False)
    if images.shape != wanted or images.dtype != np.uint8:
        raise ValueError(f"it holds {images.shape} of {images.dtype}, and {wanted} of uint8 was expected")
    with warnings.catch_warnings():  # torch would like to write; nothing of ours ever does
        warnings.filterwarnings("ignore", ".*not writable.*")
        tensor = torch.from_numpy(images)
    return Store(tensor, {int(row): why for row, why in metadata["unreadable"].items()})


def built(folder: Path, shape: tuple[int, ...], fill: Callable, large: bool) -> Store:
    """Make a cache, open it, and put it into its place."""
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        allocate(partial / IMAGES, shape)
        images = np.load(partial / IMAGES, mmap_mode="r+")
        unreadable = fill(images) or {}
        images.flush()
        del images
        (partial / CARD).write_text(json.dumps({"version": VERSION, "unreadable": unreadable}) + "\n")
        os.chmod(partial, 0o755)
        store = opened(partial, shape, large)  # before the move: another process may put its own there
        place(partial, folder, shape)
        return store
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def allocate(file: Path, shape: tuple[int, ...]) -> None:
    """An array file of zeros with all its blocks: where a mapped file has none left, the process is killed by SIGBUS.

    Raises:
        OSError: where the disk has no room for it.
    """
    with file.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(stream, header)
        stream.flush()
        end = stream.tell() + int(np.prod(shape))
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(stream.fileno(), 0, end)
        else:
            stream.truncate(end)


def place(partial: Path, folder: Path, wanted: tuple[int, ...]) -> None:
    """Move a finished cache into its place, unless another process was first; a damaged one there goes."""
    old = partial.with_name(f"{partial.name}-old")
    for _ in range(10):  # another process may do the same between two lines
        try:
            partial.rename(folder)
            return
        except OSError:
            if not folder.is_dir():
                raise
        try:
            opened(folder, wanted, large=True)
            return
        except DAMAGED:
            with contextlib.suppress(FileNotFoundError):
                folder.rename(old)
            shutil.rmtree(old, ignore_errors=True)


def clear_forgotten(folder: Path) -> None:
    """Remove what processes that were killed have left of this cache, a day ago or earlier."""
    for partial in folder.parent.glob(f".{folder.name}-*"):
        try:
            newest = max(path.stat().st_mtime for path in (partial, *partial.iterdir()))
        except OSError:  # another process has just finished it
            continue
        if time.time() - newest > FORGOTTEN:
            shutil.rmtree(partial, ignore_errors=True)


def listing(root: Path, names: Sequence[str]) -> str:
    """A digest of names, sizes and times of files: what changes when their content does, without reading it.

    Args:
        root: their folder.
        names: their paths under it, with `/`.
    """
    digest, prefix = hashlib.sha256(), os.fspath(root)
    for name in names:  # plain strings: of hundreds of thousands of files, path objects would take most of the time
        status = os.stat(f"{prefix}/{name}")
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def cache_root(cache: str | Path | None) -> Path:
    """The folder of caches: the one given, else in the user's cache folder."""
    import platformdirs

    return Path(cache or Path(platformdirs.user_cache_dir("autoencoders"), "store")).expanduser()
