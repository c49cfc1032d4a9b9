"""Decode latent codes from a file to PNG files."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import (
    check_count,
    comparison_table,
    flatten_table,
    mean_and_error,
    output_folder,
    spread_rows,
)
from autoencoders.applications.code_files import code_columns, read_codes
from autoencoders.applications.image_set import attribute_column
from autoencoders.runs.run import Run
from autoencoders.types import MAX_LISTED, ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pixels import to_stored
from autoencoders.utils.texts import list_names

MEASURED = 500
"""Maximum number of codes, evenly spaced in the file or the split, in the table `consistency`."""


def decode(
    run: Run, *, codes: str | None = None, split: str = "test", count: int = 40, folder: str | None = None
) -> ApplicationResult:
    """Write one 8-bit PNG file per code to `<folder>/decode/`.

    The files have the names in the column `file`, else the split and the index, else the number of the row.

    Args:
        run: run whose model decodes the codes.
        codes: file with the codes, as `application=encode` writes it: Parquet, CSV, npz or safetensors with the columns
            `z0`, `z1`, ...; for a conditional model also with its labels, the column `class` or one column per
            attribute.
        split: split whose codes are the reference in the table `consistency`.
        count: maximum number of images in the figure.
        folder: folder in which `decode/` is created; None for the run folder.

    Returns:
        Figure `images`. Table `images`: the name of the PNG file of each row. Table `consistency`: root mean squared
        difference between the codes and the codes of their decoded images. A code far from those of real images
        usually has a large difference. The reference is the same difference for the codes of a split, the baseline
        the difference between the codes of two rows of the file.

    Raises:
        UserError: if the file cannot be read, or the codes or labels do not fit the model.
    """
    from autoencoders.figures.grids import image_grid

    if codes is None:
        raise UserError(
            "application=decode needs a file with codes. Set application.decode.codes to a file of application=encode."
        )
    check_count(count, "count")
    if run.model.shape[0] not in (1, 3):
        raise UserError(f"PNG files must have 1 or 3 channels, but the images of the model have {run.model.shape[0]}.")
    table = read_codes(Path(codes).expanduser())
    z, y = read_latents(run, table), read_labels(run, table)
    target = output_folder(run, folder, "decode")
    names = png_names(table)
    for rows in torch.arange(len(z)).split(ROWS_PER_CHUNK):
        images = to_stored(run.decode(z[rows], None if y is None else y[rows]), torch.uint8)
        for i, image in zip(rows.tolist(), images.numpy(), strict=True):
            save_png(target / names[i], image)
    few = spread_rows(count, len(z))
    grid = tile(to_numpy(run.decode(z[few], None if y is None else y[few])))
    consistency = consistency_table(run, z, y, split)
    caption = f"{len(z):,} codes" + (f", {len(few)} of them evenly spaced in the file" if len(few) < len(z) else "")
    written = pd.DataFrame({"row": range(len(z)), "png": names})
    return ApplicationResult(
        flatten_table(consistency),
        {"images": image_grid(grid, f"{run.title}; images decoded from codes", caption=caption)},
        {"consistency": consistency, "images": written},
        files=[target],
    )


def read_latents(run: Run, table: pd.DataFrame) -> Tensor:
    """Return the codes (N, Z) float32 of a table with the columns `z0`, `z1`, ...

    Raises:
        UserError: if a column is missing or the model has fewer latents, a value is not a finite number, or there is no
            row.
    """
    size, found = run.model.latent_dim, code_columns(table)
    expected = [f"z{i}" for i in range(size)]
    if found != expected:
        difference = sorted(set(expected) ^ set(found), key=lambda name: int(name[1:]))
        what = "missing" if set(difference) <= set(expected) else "not expected"
        raise UserError(
            f"The codes must have the {size} columns z0 to z{size - 1}, one for each latent of the model, got "
            f"{len(found)} columns; {what}: {list_names(difference[:MAX_LISTED])}. Use the codes of the same run."
        )
    if not len(table):
        raise UserError("The file must contain at least one code, got none.")
    numbers = table[expected].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    wrong = np.flatnonzero(~np.isfinite(numbers).all(1))
    if len(wrong):
        raise UserError(
            f"All codes must be finite numbers, but {len(wrong):,} of {len(table):,} rows contain other values; the "
            f"first is row {wrong[0] + 1}. Remove or correct these rows."
        )
    return torch.tensor(numbers)


def read_labels(run: Run, table: pd.DataFrame) -> Tensor | None:
    """Return the labels that the model is conditioned on: classes (N,) int64 or attributes (N, A) float32, or None.

    Raises:
        UserError: if a column is missing, or a value is not a class of the model or not a finite number.
    """
    labels = run.model.labels
    if labels is None or not run.model.context_size:
        return None
    columns = ["class"] if labels.kind == "classes" else [attribute_column(name) for name in labels.names]
    if missing := [name for name in columns if name not in table]:
        raise UserError(
            f"The file must contain the labels that {run.model.name} is conditioned on, but has no column "
            f"{missing[0]!r}. Its labels are: {list_names(labels.names)}."
        )
    if labels.kind == "classes":
        names = table["class"].astype(str)
        if unknown := sorted(set(names) - set(labels.names)):
            raise UserError(
                f"The column 'class' must contain classes of the model, got {unknown[0]!r}. The classes are: "
                f"{list_names(labels.names)}."
            )
        return torch.tensor([labels.names.index(name) for name in names])
    values = table[columns].apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    wrong = np.flatnonzero(~np.isfinite(values).all(0))
    if len(wrong):
        raise UserError(f"The column {columns[wrong[0]]!r} must contain finite numbers only. Correct the file.")
    return torch.tensor(values)


def png_names(table: pd.DataFrame) -> list[str]:
    """Return a different relative path with the suffix `.png` for each row.

    Raises:
        UserError: if a value in the column `file` is not a path inside of a folder.
    """
    digits = len(str(len(table)))
    if "file" in table:
        names = [str(name) for name in table["file"]]
    elif {"split", "index"} <= set(table.columns):
        names = [f"{split}-{index}" for split, index in zip(table["split"], table["index"], strict=True)]
    else:
        names = [f"{i:0{digits}d}" for i in range(len(table))]
    for name in names:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or name.startswith("/") or "\0" in name:
            raise UserError(
                f"The column 'file' must contain paths relative to a folder, got {name!r}. Correct the file, or remove "
                "this column."
            )
    used: set[str] = set()
    for i, name in enumerate(names):
        stem = PurePosixPath(name).with_suffix("").as_posix() if "file" in table else name
        # `a.png` and `a.jpg` are `a.png` and `a.jpg.png`; the second row with `a.png` has its number in the name
        choices = (f"{stem}.png", f"{name}.png", f"{stem}-{i:0{digits}d}.png")
        names[i] = next((choice for choice in choices if choice not in used), f"{name}-row-{i}.png")
        used.add(names[i])
    return names


def save_png(file: Path, image: np.ndarray) -> None:
    """Save an image (C, H, W) uint8 with 1 or 3 channels as a PNG file, atomically."""
    from PIL import Image

    picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    with atomic_write(file) as partial:
        picture.save(partial, format="PNG")


def tile(images: np.ndarray) -> np.ndarray:
    """Arrange images (N, C, H, W) in rows of at most 10, and fill the last row with white: (rows, columns, C, H, W)."""
    columns = min(10, len(images))
    rows = -(-len(images) // columns)
    filled = np.ones((rows * columns, *images.shape[1:]), dtype=np.float32)
    filled[: len(images)] = images
    return filled.reshape(rows, columns, *images.shape[1:])


def consistency_table(run: Run, z: Tensor, y: Tensor | None, split: str) -> pd.DataFrame:
    """Return the table `consistency`; see `decode`.

    Args:
        run: run whose model decodes and encodes.
        z: (N, Z) codes of the file.
        y: labels of the codes, or None.
        split: split of the reference.
    """

    def difference(codes: Tensor, labels: Tensor | None) -> Tensor:
        again = run.encode(run.decode(codes, labels).clamp(0, 1), labels)
        return (again - codes).square().mean(1).sqrt()

    rows = spread_rows(MEASURED, len(z))
    z, y = z[rows], None if y is None else y[rows]
    known = run.codes(split)
    picked = spread_rows(MEASURED, len(known.z))
    labels = known.y[picked] if known.y is not None and run.model.context_size else None
    other = (z - z.roll(1, 0)).square().mean(1).sqrt() if len(z) > 1 else torch.tensor([torch.nan])
    methods = {
        "codes of the file": difference(z, y),
        f"codes of {split} images": difference(known.z[picked], labels),
        "two codes of the file": other,
    }
    return comparison_table({k: {"difference": mean_and_error(v), "codes": len(v)} for k, v in methods.items()})
