"""Files with latent codes in the formats CSV, Parquet, NumPy (npz) and safetensors.

All formats contain the same columns: `file`, `split`, `index`, labels, the codes `z0`, `z1`, ..., and for a model with
a Gaussian posterior its standard deviations `std0`, `std1`, ... In npz and safetensors files, `z` and `std` are arrays
(N, Z), and every other column is an array (N,); safetensors has no text, so that columns with text are JSON lists in
the metadata.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError

from autoencoders.applications.image_set import TEXT_COLUMNS
from autoencoders.types import UserError
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.error_messages import short_reason
from autoencoders.utils.extras import import_extra

ARRAYS = ("z", "std")
"""Names of the arrays (N, Z) of codes and standard deviations."""


def write_codes(file: Path, table: pd.DataFrame) -> None:
    """Write a table with one row per image in the format that the suffix of the file names, atomically.

    Raises:
        UserError: if a package for the format is not installed.
    """
    with atomic_write(file) as partial:
        WRITERS[file.suffix[1:]](partial, table)


def read_codes(file: Path) -> pd.DataFrame:
    """Read a file that `write_codes` has written, or a file of the user with the same columns. No code is executed.

    Raises:
        UserError: if the file does not exist, has another suffix or cannot be read.
    """
    if not file.is_file():
        raise UserError(f"codes must be an existing file with latent codes, got {file}. Correct the path.")
    kind = file.suffix[1:].lower()
    if kind not in READERS:
        raise UserError(f"codes must be a file with the suffix {', '.join(READERS)}, got {file.name}.")
    try:
        return READERS[kind](file)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        raise UserError(f"{file} cannot be read as a {kind} file with codes ({short_reason(error)}).") from error


def code_columns(table: pd.DataFrame, prefix: str = "z") -> list[str]:
    """Return the columns with the latents (prefix `z`) or their standard deviations (`std`), by the latents."""
    found = [name for name in map(str, table.columns) if re.fullmatch(rf"{prefix}\d+", name)]
    return sorted(found, key=lambda name: int(name[len(prefix) :]))


def numbered(prefix: str, values: np.ndarray) -> pd.DataFrame:
    """Return an array (N, Z) as a table with the columns `<prefix>0`, `<prefix>1`, ..."""
    return pd.DataFrame(values, columns=[f"{prefix}{i}" for i in range(values.shape[1])])


def _to_arrays(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the table as arrays: `z` and `std` (N, Z), and every other column (N,)."""
    arrays, used = {}, set()
    for prefix in ARRAYS:
        if columns := code_columns(table, prefix):
            arrays[prefix] = np.ascontiguousarray(table[columns].to_numpy(np.float32))
            used |= set(columns)
    for name in table.columns:
        if name not in used:
            values = table[name].to_numpy()
            arrays[name] = values.astype(str) if values.dtype == object or name in TEXT_COLUMNS else values
    return arrays


def _to_table(arrays: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the table of arrays; see `_to_arrays`.

    Raises:
        UserError: if there is no array `z` (N, Z), or another array does not have N rows.
    """
    z = arrays.get("z")
    if z is None or z.ndim != 2:
        shape = "none" if z is None else f"the shape {z.shape}"
        raise UserError(f"A file with codes must contain an array z with one row per image and Z columns, got {shape}.")
    wrong = [name for name, values in arrays.items() if len(np.atleast_1d(values)) != len(z)]
    if wrong:
        raise UserError(f"The array {wrong[0]} must have {len(z):,} rows, as the array z, got another number.")
    others = {name: values for name, values in arrays.items() if name not in ARRAYS and values.ndim == 1}
    tables = [pd.DataFrame(others, index=range(len(z)))]
    tables += [numbered(name, arrays[name]) for name in ARRAYS if name in arrays and arrays[name].ndim == 2]
    return pd.concat(tables, axis=1)


def _write_csv(file: Path, table: pd.DataFrame) -> None:
    table.to_csv(file, index=False)


def _read_csv(file: Path) -> pd.DataFrame:
    text = dict.fromkeys(TEXT_COLUMNS, str)
    return pd.read_csv(file, dtype=text, keep_default_na=False)


def _write_parquet(file: Path, table: pd.DataFrame) -> None:
    import_extra("pyarrow", "parquet", "format=parquet")
    table.to_parquet(file, engine="pyarrow", index=False)


def _read_parquet(file: Path) -> pd.DataFrame:
    import_extra("pyarrow", "parquet", "A Parquet file")
    return pd.read_parquet(file, engine="pyarrow")


def _write_npz(file: Path, table: pd.DataFrame) -> None:
    with zipfile.ZipFile(file, "w") as archive:  # np.savez has an argument `file`, so that no array can have this name
        for name, values in _to_arrays(table).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, values, allow_pickle=False)


def _read_npz(file: Path) -> pd.DataFrame:
    with np.load(file, allow_pickle=False) as saved:
        return _to_table(dict(saved.items()))


def _write_safetensors(file: Path, table: pd.DataFrame) -> None:
    from safetensors.numpy import save_file

    arrays = _to_arrays(table)
    texts = {name: json.dumps(values.tolist()) for name, values in arrays.items() if values.dtype.kind == "U"}
    save_file({name: values for name, values in arrays.items() if name not in texts}, file, metadata=texts)


def _read_safetensors(file: Path) -> pd.DataFrame:
    from safetensors import safe_open

    with safe_open(file, framework="np") as saved:
        arrays = {name: saved.get_tensor(name) for name in saved.keys()}  # noqa: SIM118  # not a mapping
        for name, text in (saved.metadata() or {}).items():
            if text.startswith("["):
                arrays[name] = np.array(json.loads(text), dtype=str)
    return _to_table(arrays)


WRITERS: dict[str, Callable[[Path, pd.DataFrame], None]] = {
    "csv": _write_csv, "parquet": _write_parquet, "npz": _write_npz, "safetensors": _write_safetensors,
}  # fmt: skip
READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    "csv": _read_csv, "parquet": _read_parquet, "npz": _read_npz, "safetensors": _read_safetensors,
}  # fmt: skip
"""Format, which is the suffix of the file -> functions that write and read it."""
