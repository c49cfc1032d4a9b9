"""List the arrays in NumPy files and read them when they are needed. No pickled object is read."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autoencoders.data.image_cache import file_digest
from autoencoders.types import UserError
from autoencoders.utils.error_messages import short_reason

SUFFIXES = (".npz", ".npy")
"""Suffixes of NumPy files."""
READING_ERRORS = (OSError, ValueError, EOFError, zipfile.BadZipFile)
"""Exceptions for a damaged file."""
ROW_BYTES = 2**24
"""Default size in bytes of the rows that `iterate_rows` yields together."""
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
"""Version of the npy format -> function that reads the header of an array."""


class StoredArray:
    """An array in a file, which is read when `values` is used for the first time.

    Args:
        name: name of the array.
        file: file that contains the array.
        shape: shape of the array.
        load: function that reads the array.
    """

    def __init__(self, name: str, file: Path, shape: tuple[int, ...], load: Callable[[], np.ndarray]) -> None:
        self.name, self.file, self.shape, self._load = name, file, shape, load

    @property
    def key(self) -> list[Any]:
        """JSON values that determine the content of the array."""
        return [str(self.file.resolve()), file_digest(self.file.parent, [self.file.name]), self.name]

    @functools.cached_property
    def values(self) -> np.ndarray:
        """The array. It is memory-mapped if it is in a `.npy` file."""
        try:
            return self._load()
        except READING_ERRORS as error:
            raise UserError(_damage_message(self.file, error)) from error


def list_arrays(path: Path) -> dict[str, StoredArray]:
    """Return all arrays in a file or a folder: name -> array.

    The name of an array in a `.npy` file is the name of the file without its suffix. In a folder, the arrays of a
    `.npz` file such as `train.npz` have names such as `train_images`.

    Raises:
        UserError: if there is no NumPy file, a file is damaged, an array contains Python objects, or two arrays have
            the same name.
    """
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not files or any(file.suffix not in SUFFIXES for file in files):
        raise UserError(f"data.path must be a .npz or .npy file or a folder of them, got {path}. Correct data.path.")
    arrays: dict[str, StoredArray] = {}
    for file in files:
        try:
            found = _open_file(file, "" if path.is_file() else f"{file.stem}_")
        except READING_ERRORS as error:
            raise UserError(_damage_message(file, error)) from error
        for array in found:
            if array.name in arrays:
                raise UserError(
                    f"The names of arrays in {path} must differ, got {array.name} in "
                    f"{arrays[array.name].file.name} and in {file.name}. Rename a file."
                )
            arrays[array.name] = array
    return arrays


def _open_file(file: Path, prefix: str) -> list[StoredArray]:
    """Return the arrays of a file. The names of arrays in a `.npz` file get the given prefix."""
    if file.suffix == ".npy":
        with file.open("rb") as stream:
            shape = _read_shape(stream, file, file.stem)
        return [StoredArray(file.stem, file, shape, functools.partial(np.load, file, mmap_mode="r"))]
    arrays = []
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy"):
                continue
            name = member.removesuffix(".npy")
            with archive.open(member) as stream:
                shape = _read_shape(stream, file, name)
            arrays.append(StoredArray(prefix + name, file, shape, functools.partial(read_array, file, name)))
    return arrays


def iterate_rows(file: Path, name: str, size: int = ROW_BYTES) -> Iterator[np.ndarray]:
    """Yield consecutive rows of an array in a `.npz` file, so that the array is never in memory as a whole.

    Args:
        file: the `.npz` file.
        name: name of an array with at least one dimension.
        size: maximum size, in bytes, of the rows that are yielded together, which are at least one row.

    Raises:
        ValueError: if the array is stored column by column, or the file is truncated.
    """
    with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        if version not in HEADERS:
            raise ValueError(f"npy format {version}")
        shape, by_column, dtype = HEADERS[version](stream)
        if by_column or dtype.hasobject:
            raise ValueError(f"the array {name} must be stored row by row and must not contain Python objects")
        row = int(np.prod(shape[1:])) * dtype.itemsize
        step = max(1, size // row)
        for start in range(0, shape[0], step):
            rows = min(step, shape[0] - start)
            content = stream.read(rows * row)
            if len(content) < rows * row:
                raise ValueError(f"the array {name} is truncated")
            yield np.frombuffer(content, dtype).reshape(rows, *shape[1:])


def read_array(file: Path, name: str) -> np.ndarray:
    """Return an array of a `.npz` file. Its other arrays are not read, and no pickled object is."""
    with np.load(file, allow_pickle=False) as archive:
        return archive[name]


def _read_shape(stream: Any, file: Path, name: str) -> tuple[int, ...]:
    """Read the header of an array, and return the shape of the array.

    Raises:
        UserError: if the array contains Python objects.
        ValueError: if the header is damaged.
    """
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:  # names of fields in Unicode, which arrays of numbers or text do not have
        raise ValueError(f"npy format {version}")
    shape, _, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise UserError(
            f"The array {name} of {file} must contain numbers or text, but contains Python objects, which are not "
            "read because loading them may execute code. Save an array of numbers, such as array.astype(float)."
        )
    return shape


def _damage_message(file: Path, error: Exception) -> str:
    return f"{file} cannot be read as a NumPy file ({short_reason(error)}). Correct or replace the file."
