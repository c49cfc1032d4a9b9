"""Decoded once: uint8 images in a cache keyed by source, content and settings, memory-mapped when large."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from autoencoders.types import Shape

File = TypeVar("File", Path, str)

AT_ONCE = 32
"""Files that one task of a thread decodes: a task a file would be slower than a small file, and larger in memory."""

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
        (N, C, H, W) uint8; not to be written to.
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
    return _mapped(file) if count * int(np.prod(shape)) > memory else torch.from_numpy(np.load(file))


def _mapped(file: Path) -> Tensor:
    """An array that stays on disk; the pages of it that are in memory can be given back at any time.

    Read-only, since Linux refuses copy-on-write maps of more bytes than the machine has memory. Torch would like to
    write, and warns; nothing of ours ever does.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*not writable.*")
        return torch.from_numpy(np.load(file, mmap_mode="r"))


def decode_files(
    files: Sequence[File], decode: Callable[[File], np.ndarray], what: str
) -> Callable[[np.ndarray], None]:
    """A `fill` that decodes one image per file, (C, H, W) each, in threads, with a progress bar on a terminal."""

    def fill(images: np.ndarray) -> None:
        from tqdm import tqdm

        def some(start: int) -> int:
            rows = range(start, min(start + AT_ONCE, len(files)))
            for row in rows:
                images[row] = decode(files[row])
            return len(rows)

        bar = tqdm(desc=what, total=len(files), unit=" images", disable=not sys.stderr.isatty(), leave=False)
        with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in pool.map(some, range(0, len(files), AT_ONCE)):
                bar.update(done)

    return fill


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
