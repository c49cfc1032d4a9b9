"""The dSprites dataset in its published `.npz` file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.array_files import READING_ERRORS, iterate_rows, read_array
from autoencoders.data.factor_images import FactorGrid, FactorImagesDataModule
from autoencoders.data.image_cache import file_digest
from autoencoders.types import Factors, UserError
from autoencoders.utils.error_messages import short_reason

SHAPE_NAMES = {1.0: "square", 2.0: "ellipse", 3.0: "heart"}
"""Value of the factor shape in the file -> name of the shape."""
ARRAYS = ("imgs", "latents_classes", "latents_values")
"""Arrays of the file that are read."""


class DSpritesDataModule(FactorImagesDataModule):
    """The 737,280 binary images of dSprites, 64 x 64 pixels, with the factors color, shape, scale, orientation, x, y.

    The factor color has one value. The first and the last of the 40 orientations are the same angle, and rotated
    squares and ellipses repeat; see `SpritesDataModule`. The file is read in chunks. Only the arrays `imgs`,
    `latents_classes` and `latents_values` are read, and no pickled object.

    Source: Matthey, Higgins, Hassabis and Lerchner, "dSprites: Disentanglement testing Sprites dataset", 2017,
    https://github.com/google-deepmind/dsprites-dataset.

    Args:
        path: the file dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz.
        **options: options of `FactorImagesDataModule`.
    """

    default_name: ClassVar[str] = "dsprites"
    factor_names: ClassVar[tuple[str, ...]] = ("color", "shape", "scale", "orientation", "x", "y")

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(**options)
        self.path = Path(path).expanduser()

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return str(self.path.absolute())

    def prepare_data(self) -> None:
        """Check that the file exists.

        Raises:
            UserError: if it does not exist.
        """
        if not self.is_loaded and not self.path.is_file():
            raise UserError(
                f"data.path must be the .npz file of dSprites, got {self.path}, which is not a file. Download "
                "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz from github.com/google-deepmind/dsprites-dataset."
            )

    def open_grid(self) -> FactorGrid:
        """Read the factors of all images. The images are read by the `fill` of the grid."""
        self.prepare_data()
        try:
            with zipfile.ZipFile(self.path) as archive:
                missing = [name for name in ARRAYS if f"{name}.npy" not in archive.namelist()]
            if missing:
                raise UserError(f"{self.path} must contain the arrays {', '.join(ARRAYS)}, but has no {missing[0]}.")
            indices, values = (read_array(self.path, name) for name in ARRAYS[1:])
            first = next(iterate_rows(self.path, ARRAYS[0]))
        except READING_ERRORS as error:
            raise UserError(f"{self.path} cannot be read ({short_reason(error)}). Download the file again.") from error
        if indices.shape != values.shape or indices.ndim != 2 or indices.shape[1] != len(self.factor_names):
            raise UserError(
                f"latents_classes and latents_values in {self.path} must have {len(self.factor_names)} columns and the "
                f"same shape, got {indices.shape} and {values.shape}. Download the file again."
            )

        def fill(store: np.ndarray, rows: Tensor) -> None:
            fill_from_chunks(store, rows.numpy(), self.path)

        key = [str(self.path.resolve()), file_digest(self.path.parent, [self.path.name])]
        shape = (1, first.shape[1], first.shape[2])
        return FactorGrid(self._factors_of(indices, values), torch.from_numpy(indices).long(), shape, key, fill)

    def _factors_of(self, indices: np.ndarray, values: np.ndarray) -> Factors:
        """Return the factors, whose values are those of the first image with each index."""
        columns: list[tuple[float, ...] | tuple[str, ...]] = []
        for column, name in enumerate(self.factor_names):
            rows = np.unique(indices[:, column], return_index=True)[1]
            numbers = tuple(values[rows, column].tolist())
            named = name == "shape" and set(numbers) <= SHAPE_NAMES.keys()
            columns.append(tuple(SHAPE_NAMES[number] for number in numbers) if named else numbers)
        return Factors(self.factor_names, tuple(columns))


def fill_from_chunks(store: np.ndarray, rows: np.ndarray, path: Path) -> None:
    """Write images of a dSprites file into an array (N, 1, H, W) uint8. The pixels 0 and 1 become 0 and 255.

    Args:
        store: array for the images.
        rows: indices (N,) of the images in the file, in ascending order.
        path: the file.
    """
    start = 0
    for chunk in iterate_rows(path, ARRAYS[0]):
        first, last = np.searchsorted(rows, (start, start + len(chunk)))
        store[first:last, 0] = (chunk[rows[first:last] - start] > 0).astype(np.uint8) * 255
        start += len(chunk)
