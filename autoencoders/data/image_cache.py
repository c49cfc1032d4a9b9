"""Cache of decoded images, uint8 or uint16, on disk. Large caches are memory-mapped."""

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
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoders.types import Shape, UserError
from autoencoders.utils.error_messages import disk_error_message
from autoencoders.utils.names import printable_name

VERSION = 3
"""Version of the cache format. Increase it if the same settings give different pixels or facts.

Older caches are rebuilt.
"""
IMAGES_FILE, LABELS_FILE, METADATA_FILE = "images.npy", "labels.npy", "store.json"
_mapped_files: dict[int, MappedFile] = {}
"""Address in memory of the images -> their memory-mapped file."""
LOADING_ERRORS = (OSError, ValueError, EOFError, KeyError)
"""Exceptions of `load_cache` if a file is missing or truncated, or if the version or the shape does not match."""
NAMES_PER_UPDATE = 1000
"""Number of file names that `file_digest` hashes at once, because one call per name takes longer."""
ABANDONED_SECONDS = 86_400.0
"""Age in seconds after which an unfinished cache is assumed to be left over from a killed process."""


class Contents(NamedTuple):
    """What a cache contains besides the images.

    Attributes:
        unreadable: dict with the index of each image that could not be read and the reason.
        labels: labels of the images, numbers or text, or None if the cache contains no labels.
        facts: further JSON values about the images.
    """

    unreadable: dict[int, str]
    labels: np.ndarray | None = None
    facts: Mapping[str, Any] = MappingProxyType({})


Fill = Callable[[np.ndarray], Contents | None]
"""Function that writes all images into an array (N, C, H, W), uint8 or uint16. It returns None without contents."""
LazyShape = Shape | Callable[[], Shape]
"""Shape (C, H, W) of one image, or a function that returns it and is called only if the cache is built."""


class CachedImages(NamedTuple):
    """Images loaded from a cache.

    Attributes:
        images: images (N, C, H, W), uint8 or uint16, read-only.
        unreadable: dict with the index of each image that could not be read and the reason.
        labels: labels of the images, or None if the cache contains no labels.
        facts: further JSON values about the images.
    """

    images: Tensor
    unreadable: dict[int, str]
    labels: np.ndarray | None
    facts: Mapping[str, Any]


def cached_images(
    name: str,
    settings: Sequence[Any],
    count: int,
    shape: LazyShape,
    fill: Fill,
    *,
    cache: str | Path | None = None,
    memory: float = 2e9,
    depth: int = 8,
) -> CachedImages:
    """Load images from their cache. Build the cache with `fill` if it is missing, damaged or of another version.

    A cache is built in a temporary folder, which is then renamed. An incomplete cache is therefore never loaded. If
    several processes build the same cache at the same time, each process loads its own copy, and one copy is kept.

    Args:
        name: first part of the folder name of this cache. The second part is a digest of `settings`.
        settings: JSON values that determine the pixels: the source of the images, its content and all options.
        count: number of images N.
        shape: shape (C, H, W) of one image, or a function that returns it.
        fill: function that writes the images.
        cache: folder that contains all caches; None for a folder in the user's cache folder.
        memory: maximum size, in bytes, of images in memory. A larger cache is memory-mapped.
        depth: number of bits of a pixel value, 8 or 16.

    Returns:
        The images, and the contents that `fill` returned.

    Raises:
        UserError: if the cache cannot be written, for example because the disk is full. Incomplete files are removed.
    """
    layout = [*settings, *([depth] if depth != 8 else [])]
    folder = cache_folder(cache) / f"{name}-{hashlib.sha256(json.dumps(layout).encode()).hexdigest()[:20]}"
    kind = np.dtype(np.uint8 if depth == 8 else np.uint16)
    expected = (count, *((None, None, None) if callable(shape) else shape))
    if folder.is_dir():
        try:
            return load_cache(folder, expected, kind, memory)
        except LOADING_ERRORS as error:
            print(
                f"autoencoders: the cache {folder} is rebuilt because it cannot be loaded ({error}).", file=sys.stderr
            )
    array_shape = (count, *(shape() if callable(shape) else shape))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
        return build_cache(folder, array_shape, kind, fill, memory)
    except OSError as error:
        needed = f" The cache of decoded images needs {int(np.prod(array_shape)) * kind.itemsize / 1e9:.2g} GB."
        raise UserError(disk_error_message(error, folder.parent, "data.cache") + needed) from error


def load_cache(folder: Path, shape: Sequence[int | None], kind: np.dtype, memory: float) -> CachedImages:
    """Load a cache from its folder.

    Args:
        folder: folder of this cache.
        shape: expected shape (N, C, H, W) of the images. None is any number.
        kind: expected type of the images.
        memory: maximum size, in bytes, of images in memory. Larger images are memory-mapped.

    Raises:
        ValueError, EOFError, OSError: if the cache is damaged, or if its version or its shape does not match.
    """
    metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    if metadata.get("version") != VERSION:
        raise ValueError(f"its version must be {VERSION}, got {metadata.get('version')}")
    shape = tuple(known if side is None else side for side, known in zip(shape, metadata["shape"], strict=True))
    mapped = int(np.prod(metadata["shape"])) * kind.itemsize > memory
    # The memory map is read-only, because Linux refuses a copy-on-write map larger than the machine's memory.
    images = np.load(folder / IMAGES_FILE, mmap_mode="r" if mapped else None, allow_pickle=False)
    if images.shape != shape or images.dtype != kind:
        raise ValueError(f"its images must have shape {shape} and type {kind}, got {images.shape} and {images.dtype}")
    labels = np.load(folder / LABELS_FILE, allow_pickle=False) if metadata["labels"] else None
    with warnings.catch_warnings():  # torch warns about read-only arrays, but nothing writes to the images
        warnings.filterwarnings("ignore", ".*not writable.*")
        tensor = torch.from_numpy(images)
    if mapped:
        _register_mapped_file(tensor, images, folder / IMAGES_FILE)
    unreadable = {int(row): reason for row, reason in metadata["unreadable"].items()}
    return CachedImages(tensor, unreadable, labels, metadata["facts"])


class MappedFile:
    """A memory-mapped file, with a check that it was not truncated.

    The kernel kills a process that reads the missing part of a truncated file (SIGBUS). The removal or replacement of
    the file is harmless, because the memory map keeps the old file.

    Args:
        file: file in the folder of a cache.
    """

    def __init__(self, file: Path) -> None:
        self._caches, self._descriptor = file.parent.parent, os.open(file, os.O_RDONLY)
        self._size = os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close the file. The memory map is not changed."""
        os.close(self._descriptor)

    def check(self) -> None:
        """Raise UserError if the file was truncated."""
        size = os.fstat(self._descriptor).st_size
        if size < self._size:
            raise UserError(
                f"The images of the cache in {self._caches} can no longer be read, because a file was truncated from "
                f"{self._size:,} to {size:,} bytes. Start the run again with resume=<run folder>, which builds the "
                "cache again."
            )


def find_mapped_file(images: Tensor) -> MappedFile | None:
    """Return the memory-mapped file of images from a cache, or of a part of them. Return None for other images."""
    return _mapped_files.get(images.untyped_storage().data_ptr())


def _register_mapped_file(tensor: Tensor, array: np.ndarray, file: Path) -> None:
    """Register the file of a tensor for `find_mapped_file`, for as long as the array exists that is its memory."""
    address, mapped = tensor.untyped_storage().data_ptr(), MappedFile(file)
    _mapped_files[address] = mapped

    def forget() -> None:
        if _mapped_files.get(address) is mapped:
            del _mapped_files[address]
        mapped.close()

    weakref.finalize(array, forget)


def build_cache(folder: Path, shape: tuple[int, ...], kind: np.dtype, fill: Fill, memory: float) -> CachedImages:
    """Build a cache in a temporary folder, load it, and rename the folder to `folder`."""
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        allocate_array(partial / IMAGES_FILE, shape, kind)
        images = np.load(partial / IMAGES_FILE, mmap_mode="r+")
        contents = fill(images) or Contents({})
        images.flush()
        del images
        if contents.labels is not None:
            np.save(partial / LABELS_FILE, contents.labels, allow_pickle=False)
        metadata = {
            "version": VERSION,
            "shape": shape,
            "labels": contents.labels is not None,
            "unreadable": contents.unreadable,
            "facts": dict(contents.facts),
        }
        (partial / METADATA_FILE).write_text(json.dumps(metadata) + "\n", encoding="utf-8")
        os.chmod(partial, 0o755)
        os.chmod(partial / IMAGES_FILE, 0o444)  # truncation would kill all processes that have mapped the file
        # Load it first, because another process may replace the renamed cache.
        loaded = load_cache(partial, shape, kind, memory)
        move_into_place(partial, folder, shape, kind)
        return loaded
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def allocate_array(file: Path, shape: tuple[int, ...], kind: np.dtype) -> None:
    """Create a `.npy` file of zeros and reserve its disk space.

    If the space is not reserved and the disk is full, writing to the memory-mapped file kills the process with SIGBUS.

    Raises:
        OSError: if the disk is full.
    """
    with file.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(stream, header)
        stream.flush()
        end = stream.tell() + int(np.prod(shape)) * kind.itemsize
        if sys.platform == "linux":  # macOS has no posix_fallocate
            os.posix_fallocate(stream.fileno(), 0, end)
        else:
            stream.truncate(end)


def move_into_place(partial: Path, folder: Path, shape: tuple[int, ...], kind: np.dtype) -> None:
    """Rename the finished cache `partial` to `folder`. Keep a valid cache at `folder`, but replace a damaged cache."""
    old = partial.with_name(f"{partial.name}-old")
    for _ in range(10):  # repeated, because another process may rename its cache at the same time
        try:
            partial.rename(folder)
            return
        except OSError:
            if not folder.is_dir():
                raise
        try:
            load_cache(folder, shape, kind, memory=0)
            return
        except LOADING_ERRORS:
            with contextlib.suppress(FileNotFoundError):
                folder.rename(old)
            shutil.rmtree(old, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove unfinished caches for `folder` that are older than `ABANDONED_SECONDS`. Killed processes left them."""
    for partial in folder.parent.glob(f".{folder.name}-*"):
        try:
            newest = max(path.stat().st_mtime for path in (partial, *partial.iterdir()))
        except OSError:  # another process has just renamed or removed it
            continue
        if time.time() - newest > ABANDONED_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)


def file_digest(root: Path, names: Sequence[str]) -> str:
    """Return a digest of the names, sizes and modification times of files. The contents are not read.

    Args:
        root: folder that contains the files.
        names: paths of the files relative to `root`, with `/` as separator.

    Raises:
        UserError: if a file was removed after it was listed.
    """
    digest, prefix = hashlib.sha256(), os.fspath(root)
    for start in range(0, len(names), NAMES_PER_UPDATE):
        lines = []
        for name in names[start : start + NAMES_PER_UPDATE]:
            try:
                status = os.stat(f"{prefix}/{name}")  # text, because Path objects are slow for many files
            except FileNotFoundError as error:
                raise UserError(
                    f"{printable_name(f'{prefix}/{name}')} was removed while the images were read. Restore the file, "
                    "or start the command again."
                ) from error
            lines.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n")
        digest.update(os.fsencode("".join(lines)))
    return digest.hexdigest()


def cache_folder(cache: str | Path | None) -> Path:
    """Return the folder that contains all caches: `cache` if given, else a folder in the user's cache folder."""
    import platformdirs

    return Path(cache or Path(platformdirs.user_cache_dir("autoencoders"), "store")).expanduser()
