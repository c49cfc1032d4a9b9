"""A cache of decoded uint8 images, identified by source, content and options, and memory-mapped if large."""

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
"""Raised when the same settings give other pixels. Caches of older versions are built again."""
IMAGES_FILE, METADATA_FILE = "images.npy", "store.json"
LOADING_ERRORS = (OSError, ValueError, EOFError)
"""Errors of loading a cache that lacks a file, is cut short, or has another version or shape."""
ABANDONED_SECONDS = 86_400.0
"""Age after which an unfinished cache counts as left by a killed process."""

Fill = Callable[[np.ndarray], "dict[int, str] | None"]
"""Write all images into an array (N, C, H, W) uint8. It may return rows without an image, with a reason for each."""


class CachedImages(NamedTuple):
    """Images of a cache.

    Attributes:
        images: (N, C, H, W) uint8, read-only.
        unreadable: rows without an image, with what is wrong with their files.
    """

    images: Tensor
    unreadable: dict[int, str]


def cached_images(
    name: str,
    settings: Sequence[Any],
    count: int,
    shape: Shape,
    fill: Fill,
    *,
    cache: str | Path | None = None,
    memory: float = 2e9,
) -> CachedImages:
    """Load images from the cache. They are built by `fill` if they are missing, damaged, or of an older version.

    A cache is built in a temporary folder next to its final place and renamed, so that an interrupted cache is never
    loaded. If several processes build the same cache at the same time, each uses its own, and one of them is kept.

    Args:
        name: start of the name of the cache's folder; a digest of the settings follows.
        settings: plain values that determine the pixels: source, content and every option.
        count: N.
        shape: (C, H, W).
        fill: writes the images.
        cache: folder of caches; None for the user's cache folder.
        memory: maximum number of bytes in memory. A larger store is memory-mapped.

    Returns:
        The images and the rows without an image.

    Raises:
        UserError: if the cache cannot be written, for example because the disk is full; its files are then removed.
    """
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:20]
    folder, array_shape = cache_folder(cache) / f"{name}-{digest}", (count, *shape)
    size = count * int(np.prod(shape))
    if folder.is_dir():
        try:
            return load_cache(folder, array_shape, size > memory)
        except LOADING_ERRORS as error:
            print(f"autoencoders: the cache {folder} is not used ({error}), and is built again.", file=sys.stderr)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
        return build_cache(folder, array_shape, fill, size > memory)
    except OSError as error:
        needed = f" The cache of decoded images takes {size / 1e9:.2g} GB."
        raise UserError(disk_error_message(error, folder.parent, "data.cache") + needed) from error


def load_cache(folder: Path, shape: tuple[int, ...], mapped: bool) -> CachedImages:
    """Load a cache from its folder, memory-mapped or into memory.

    Raises:
        ValueError, EOFError, OSError: if it is damaged or does not match; see `LOADING_ERRORS`.
    """
    metadata = json.loads((folder / METADATA_FILE).read_text())
    if metadata.get("version") != VERSION:
        raise ValueError(f"it has version {metadata.get('version')}, expected {VERSION}")
    # The map is read-only: Linux refuses a copy-on-write map that is larger than the memory of the machine.
    images = np.load(folder / IMAGES_FILE, mmap_mode="r" if mapped else None, allow_pickle=False)
    if images.shape != shape or images.dtype != np.uint8:
        raise ValueError(f"it holds {images.shape} of {images.dtype}, expected {shape} of uint8")
    with warnings.catch_warnings():  # torch warns of read-only arrays, but the images are never written to
        warnings.filterwarnings("ignore", ".*not writable.*")
        tensor = torch.from_numpy(images)
    return CachedImages(tensor, {int(row): reason for row, reason in metadata["unreadable"].items()})


def build_cache(folder: Path, shape: tuple[int, ...], fill: Fill, mapped: bool) -> CachedImages:
    """Build a cache in a temporary folder, load it, and move it into place."""
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        allocate_array(partial / IMAGES_FILE, shape)
        images = np.load(partial / IMAGES_FILE, mmap_mode="r+")
        unreadable = fill(images) or {}
        images.flush()
        del images
        (partial / METADATA_FILE).write_text(json.dumps({"version": VERSION, "unreadable": unreadable}) + "\n")
        os.chmod(partial, 0o755)
        loaded = load_cache(partial, shape, mapped)  # before the move, since another process may replace the cache
        move_into_place(partial, folder, shape)
        return loaded
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def allocate_array(file: Path, shape: tuple[int, ...]) -> None:
    """Create an array file of zeros and reserve its disk space.

    Without the reservation, a process that writes to the mapped file of a full disk is killed by SIGBUS.

    Raises:
        OSError: if the disk is full.
    """
    with file.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(stream, header)
        stream.flush()
        end = stream.tell() + int(np.prod(shape))
        if sys.platform == "linux":  # macOS has no posix_fallocate
            os.posix_fallocate(stream.fileno(), 0, end)
        else:
            stream.truncate(end)


def move_into_place(partial: Path, folder: Path, shape: tuple[int, ...]) -> None:
    """Rename a finished cache to its final folder. A valid cache there is kept; a damaged one is replaced."""
    old = partial.with_name(f"{partial.name}-old")
    for _ in range(10):  # another process may do the same between two of these steps
        try:
            partial.rename(folder)
            return
        except OSError:
            if not folder.is_dir():
                raise
        try:
            load_cache(folder, shape, mapped=True)
            return
        except LOADING_ERRORS:
            with contextlib.suppress(FileNotFoundError):
                folder.rename(old)
            shutil.rmtree(old, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove unfinished caches of this folder that killed processes have left, at least a day ago."""
    for partial in folder.parent.glob(f".{folder.name}-*"):
        try:
            newest = max(path.stat().st_mtime for path in (partial, *partial.iterdir()))
        except OSError:  # another process has just finished it
            continue
        if time.time() - newest > ABANDONED_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)


def file_digest(root: Path, names: Sequence[str]) -> str:
    """Return a digest of the names, sizes and modification times of files. The files are not read.

    Args:
        root: their folder.
        names: their paths relative to the folder, with `/`.
    """
    digest, prefix = hashlib.sha256(), os.fspath(root)
    for name in names:  # plain strings, since path objects are slow for hundreds of thousands of files
        status = os.stat(f"{prefix}/{name}")
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def cache_folder(cache: str | Path | None) -> Path:
    """Return the folder of caches: `cache`, else a folder in the user's cache folder."""
    import platformdirs

    return Path(cache or Path(platformdirs.user_cache_dir("autoencoders"), "store")).expanduser()
