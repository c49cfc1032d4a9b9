"""The 3D Shapes dataset in its published `.h5` file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.factor_images import FactorGrid, FactorImagesDataModule
from autoencoders.data.image_cache import file_digest
from autoencoders.types import Factors, UserError
from autoencoders.utils.error_messages import short_reason
from autoencoders.utils.extras import import_extra

CHUNK_IMAGES = 1024
"""Number of images that are read at a time."""


class Shapes3DDataModule(FactorImagesDataModule):
    """The 480,000 color images of 3D Shapes, 64 x 64 pixels: an object in a room.

    The factors are the hues of floor, wall and object, and the scale, shape and orientation of the object. The file is
    read in chunks.

    Source: Burgess and Kim, "3D Shapes Dataset", 2018, https://github.com/google-deepmind/3d-shapes.

    Args:
        path: the file 3dshapes.h5.
        **options: options of `FactorImagesDataModule`.
    """

    default_name: ClassVar[str] = "shapes3d"
    factor_names: ClassVar[tuple[str, ...]] = (
        "floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation",
    )  # fmt: skip

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(**options)
        self.path = Path(path).expanduser()

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return str(self.path.absolute())

    def prepare_data(self) -> None:
        """Check that the file exists and that h5py is installed.

        Raises:
            UserError: if one of them is missing.
        """
        if self.is_loaded:
            return
        if not self.path.is_file():
            raise UserError(
                f"data.path must be the .h5 file of 3D Shapes, got {self.path}, which is not a file. Download "
                "3dshapes.h5; github.com/google-deepmind/3d-shapes has the address."
            )
        import_extra("h5py", "shapes3d", "data=shapes3d")

    def open_grid(self) -> FactorGrid:
        """Read the factors of all images. The images are read by the `fill` of the grid."""
        self.prepare_data()
        h5py = import_extra("h5py", "shapes3d", "data=shapes3d")
        try:
            with h5py.File(self.path, "r") as file:
                values, shape = np.asarray(file["labels"]), file["images"].shape
        except (OSError, KeyError) as error:
            raise UserError(
                f"{self.path} cannot be read as the file of 3D Shapes, with the datasets images and labels "
                f"({short_reason(error)}). Download the file again."
            ) from error
        if len(shape) != 4 or values.shape != (shape[0], len(self.factor_names)):
            raise UserError(
                f"images and labels in {self.path} must have the shapes N x H x W x C and N x "
                f"{len(self.factor_names)}, got {shape} and {values.shape}. Download the file again."
            )

        def fill(store: np.ndarray, rows: Tensor) -> None:
            with h5py.File(self.path, "r") as file:
                fill_from_chunks(store, rows.numpy(), file["images"])

        factors, indices = index_values(self.factor_names, values)
        key = [str(self.path.resolve()), file_digest(self.path.parent, [self.path.name])]
        return FactorGrid(factors, indices, (shape[3], shape[1], shape[2]), key, fill)


def index_values(names: tuple[str, ...], values: np.ndarray) -> tuple[Factors, Tensor]:
    """Return the factors and the indices (M, F) of factor values (M, F). The shapes are categories without names."""
    columns: list[tuple[float, ...] | tuple[str, ...]] = []
    indices = np.empty(values.shape, dtype=np.int64)
    for column, name in enumerate(names):
        distinct, indices[:, column] = np.unique(values[:, column], return_inverse=True)
        numbers = tuple(distinct.tolist())
        columns.append(tuple(f"{number:g}" for number in numbers) if name == "shape" else numbers)
    return Factors(names, tuple(columns)), torch.from_numpy(indices)


def fill_from_chunks(store: np.ndarray, rows: np.ndarray, images: Any) -> None:
    """Write images of the file into an array (N, C, H, W) uint8.

    Args:
        store: array for the images.
        rows: indices (N,) of the images in the file, in ascending order.
        images: dataset of the file with M images (M, H, W, C). Consecutive images are read together, because h5py is
            slow for lists of indices.
    """
    for start in range(0, images.shape[0], CHUNK_IMAGES):
        first, last = np.searchsorted(rows, (start, start + CHUNK_IMAGES))
        if first < last:
            chunk = images[start : start + CHUNK_IMAGES]
            store[first:last] = chunk[rows[first:last] - start].transpose(0, 3, 1, 2)
