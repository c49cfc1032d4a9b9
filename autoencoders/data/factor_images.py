"""Base class of datasets whose images are drawn from a grid of generating factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.image_cache import cached_images
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Annotations, Context, Factors, Shape, UserError
from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require


class FactorGrid(NamedTuple):
    """The M images of a grid of factors, which have not been read or drawn.

    Attributes:
        factors: names and values of the F factors.
        indices: index of the value of each factor, (M, F) int64.
        shape: shape (C, H, W) of an image.
        key: JSON values that determine the pixels.
        fill: writes the images with the given indices (N,), in ascending order, into an array (N, C, H, W) uint8.
    """

    factors: Factors
    indices: Tensor
    shape: Shape
    key: list[Any]
    fill: Callable[[np.ndarray, Tensor], None]


class FactorImagesDataModule(ImageDataModule):
    """Base class of datasets with known factors. All images or a random share of them are used.

    A subclass overrides `open_grid` and sets `factor_names`.

    Args:
        root: not used, because no file is downloaded.
        count: maximum number of images in all splits, chosen at random with `split_seed`; None for all images.
        label: name of the factor whose values are the classes of the images; None for no labels.
        cache: folder for the cache of the images; None for a folder in the user's cache folder.
        validation: size of the validation split, as for `ImageDataModule`.
        test: size of the test split. Published scores are computed from 10,000 codes.
        **common: options of `ImageDataModule`.
    """

    factor_names: ClassVar[tuple[str, ...]]
    """Names of the factors, which are known before the images are read."""

    def __init__(
        self,
        root: str | None = None,
        *,
        count: int | None = None,
        label: str | None = "shape",
        cache: str | None = None,
        validation: float = 2_000,
        test: float = 10_000,
        **common: Any,
    ) -> None:
        super().__init__(root, validation=validation, test=test, **common)
        require(count is None or count >= 10, "data.count", count, "a number of images >= 10, or null for all images")
        if label is not None and label not in self.factor_names:
            raise UserError(
                f"data.label must be the name of a factor, or null for no labels, got {label!r}. "
                f"Choose from: {', '.join(self.factor_names)}."
            )
        self.count, self.label, self.cache = count, label, cache
        self._factors: Factors | None = None
        self._indices = torch.zeros(0, 0, dtype=torch.long)

    def open_grid(self) -> FactorGrid:
        """Return the grid of the dataset, without reading or drawing its images."""
        raise NotImplementedError

    @property
    def has_labels(self) -> bool:
        """Whether the images have labels, which is true if `label` is the name of a factor."""
        return self.label is not None

    @property
    def factors(self) -> Factors | None:
        """Generating factors of the images. They are known after `setup`."""
        return self._factors

    def read(self) -> Source:
        """Load the chosen images from the cache, or read or draw them."""
        grid = self.open_grid()
        rows = choose_rows(len(grid.indices), self.count, self.split_options.split_seed)
        images = cached_images(
            self.default_name,
            [self.default_name, *grid.key, len(rows), self.split_options.split_seed],
            len(rows),
            grid.shape,
            lambda store: grid.fill(store, rows),
            cache=self.cache,
            memory=self.memory,
        ).images
        self._factors, self._indices = grid.factors, grid.indices[rows]
        if self.label is None:
            return Source(Split(images, None), None, None)
        column = grid.factors.names.index(self.label)
        names = tuple(_value_name(value) for value in grid.factors.values[column])
        return Source(Split(images, self._indices[:, column].clone()), None, Context("classes", names))

    def annotate(self, part: str) -> Annotations:
        """Return the classes and the factors of all images. There is no official split, so `part` is not used."""
        known = super().annotate(part)
        known.factors, known.factor_names = self._indices, self.factors.names if self.factors else ()
        return known


def choose_rows(total: int, count: int | None, seed: int) -> Tensor:
    """Return `count` distinct indices from 0 to `total` - 1 in ascending order, chosen at random.

    Args:
        total: number of images in the grid.
        count: number of indices; None, or a number above `total`, for all.
        seed: seed of the choice.
    """
    if count is None or count >= total:
        return torch.arange(total)
    generator = torch.Generator().manual_seed(counter_rng.derive_seed(seed, "factor grid"))
    return torch.randperm(total, generator=generator)[:count].sort().values


def grid_indices(sizes: tuple[int, ...]) -> Tensor:
    """Return all combinations (M, F) of factor indices for factors with the given F sizes. The last varies fastest."""
    return torch.cartesian_prod(*(torch.arange(size) for size in sizes)).reshape(-1, len(sizes))


def _value_name(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
