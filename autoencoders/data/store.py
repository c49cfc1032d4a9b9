"""Decoded once: uint8 images in a cache keyed by source, content and settings, memory-mapped when large."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoencoders import terminal
from autoencoders.types import Shape

VERSION = 1
"""Raised when the same settings would give other pixels: older caches are then not used."""


def cached_images(
    name: str,
    settings: Sequence[Any],
    count: int,
    shape: Shape,
    fill: Callable[[np.ndarray], None],
    *,
    cache: str | Path | None = None,
    memory: float = 2e9,
) -> Tensor:
    """Images from the cache, made by `fill` where they are not there yet.

    A cache is built in a folder beside its place and moved there whole: one that was interrupted is never seen,
    and of two processes that build the same one the later result is thrown away.

    Args:
        name: what the cache's folder is called, before the digest.
        settings: plain values that decide the pixels: source, content and every option.
        count: N.
        shape: (C, H, W).
        fill: writes all images into an array (N, C, H, W) of uint8.
        cache: folder of caches; None for the user's cache folder.
        memory: a store of more bytes stays on disk, memory-mapped.

    Returns:
        (N, C, H, W) uint8.
    """
    digest = hashlib.sha256(json.dumps([VERSION, *settings]).encode()).hexdigest()[:20]
    folder = cache_root(cache) / f"{name}-{digest}"
    file = folder / "images.npy"
    if not file.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            images = np.lib.format.open_memmap(partial / file.name, "w+", np.uint8, (count, *shape))
            fill(images)
            images.flush()
            os.chmod(partial, 0o755)
            try:
                partial.rename(folder)
            except OSError:
                if not file.is_file():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    large = count * int(np.prod(shape)) > memory
    # Copy-on-write: torch wants writable arrays, and nothing is ever written.
    return torch.from_numpy(np.load(file, mmap_mode="c" if large else None, allow_pickle=False))


def decode_files(
    files: Sequence[Path], decode: Callable[[Path], np.ndarray], what: str
) -> Callable[[np.ndarray], None]:
    """A `fill` that decodes one image per file, (C, H, W) each, in threads, with a progress bar on a terminal."""

    def fill(images: np.ndarray) -> None:
        def one(row: int) -> None:
            images[row] = decode(files[row])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = pool.map(one, range(len(files)))
            for _ in terminal.counted(rows, what, len(files)):
                pass

    return fill


def listing(root: Path, files: Sequence[Path]) -> str:
    """A digest of names, sizes and times of files: what changes when their content does, without reading it."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.relative_to(root).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def cache_root(cache: str | Path | None) -> Path:
    """The folder of caches: the one given, else in the user's cache folder."""
    import platformdirs

    return Path(cache or Path(platformdirs.user_cache_dir("autoencoders"), "store")).expanduser()
