"""Base class of datasets whose images are arrays, tensors or Pillow images, and which are read once into the cache."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from autoencoders.data import array_labels
from autoencoders.data.array_layout import check_layout, check_sides, to_array
from autoencoders.data.bit_depth import loses_bits, reduced_fact
from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.fitting import FITS, fit_array, parse_size
from autoencoders.data.image_cache import CachedImages, Contents, cached_images
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.data.white_point import (
    Levels,
    check_white,
    choose_white,
    levels_fact,
    measure_levels,
    merge_levels,
    read_parts,
    scale_pixels,
)
from autoencoders.types import Annotations, Context, Shape, UserError
from autoencoders.utils import console
from autoencoders.utils.checks import require

Items = Sequence[Any] | np.ndarray
"""Images or labels: a sequence, or the rows of an array."""
ROWS = 256
"""Number of images that are read at a time."""


class Part(Protocol):
    """One part of a dataset: `train`, `val` or `test`.

    Attributes:
        count: number of images N.
        key: JSON values that determine the content of the part. If they change, the images are read again.
    """

    count: int
    key: list[Any]

    def read(self, rows: range) -> tuple[Items, Items | None]:
        """Return the images and the labels with the given indices.

        An image is a Pillow image, or an array or tensor (H, W), (C, H, W) or (H, W, C). A label is a number, a text,
        or an array of numbers. Without labels, None is returned instead of the labels.
        """


class Opened(NamedTuple):
    """A dataset whose images have not been read.

    Attributes:
        parts: `train`, and possibly `val` and `test` -> part.
        names: names of the classes or attributes, or None if they are not known.
        notes: sentences on how the dataset was understood.
        separate_classes: whether equal class indices in two parts mean different classes.
    """

    parts: dict[str, Part]
    names: Sequence[str] | None = None
    notes: Sequence[str] = ()
    separate_classes: bool = False


@dataclass(frozen=True)
class PixelOptions:
    """Options for storing images; `ArrayImagesDataModule` describes each option."""

    size: tuple[int, int] | None
    fit: str
    color: bool | None
    depth: int
    white: float | None
    layout: str | None

    def __post_init__(self) -> None:
        require(self.fit in FITS, "data.fit", self.fit, f"one of {list(FITS)}")
        check_white(self.white, self.depth)
        check_layout(self.layout)


class ArrayImagesDataModule(ImageDataModule):
    """Base class of datasets whose images are read once into the cache. A subclass overrides `open`.

    Args:
        root: folder for downloaded files; see `ImageDataModule`.
        size: side of square images, or height and width, in pixels. None keeps the size, if all images have the same.
        fit: how an image gets the aspect ratio of `size`: `crop`, `pad` or `stretch`; see `ImageFolderDataModule`.
        color: True for three color channels, False for one gray channel, None for the channels of the first image.
        depth: number of bits of a stored pixel value: 8, or 16 for images with more than 8 bits.
        white: pixel value of white in arrays, tensors, and pictures with more than 8 bits; None for the rule in
            `autoencoders.data.white_point`.
        layout: order of the dimensions of arrays: `NHW`, `NCHW` or `NHWC`. None if it is found from their shape.
        attributes: attributes that a conditional model or a classifier uses as labels; `all` for every attribute.
        cache: folder for the cache of the images; None for a folder in the user's cache folder.
        test: see `ImageDataModule`.
        **common: options of `ImageDataModule`.
    """

    def __init__(
        self,
        root: str | None = None,
        *,
        size: int | Sequence[int] | None = None,
        fit: str = "crop",
        color: bool | None = None,
        depth: int = 8,
        white: float | None = None,
        layout: str | None = None,
        attributes: Sequence[str] | str = "all",
        cache: str | None = None,
        test: float = 0.1,
        **common: Any,
    ) -> None:
        super().__init__(root, test=test, **common)
        self.pixels = PixelOptions(None if size is None else parse_size(size), fit, color, depth, white, layout)
        self.attributes = "all" if attributes == "all" else tuple(attributes)
        self.cache = cache
        self._known: dict[str, Annotations] = {}

    def open(self) -> Opened:
        """Open the dataset without reading its images."""
        raise NotImplementedError

    def read(self) -> Source:
        """Read all images and labels, from the cache if they have been read before."""
        opened = self.open()
        parts = opened.parts
        shape = functools.cache(lambda: self._first_shape(parts["train"]))
        stored, self.white_point, notes = read_parts(
            parts, lambda part, white: self._read_part(part, parts[part], shape, white), self.pixels.white,
            self.pixels.depth,
        )  # fmt: skip
        self.notes = [*opened.notes, *notes]  # not extended, because a data module may be set up again
        _check_equal_shapes(stored)
        raw = {part: images.labels for part, images in stored.items()}
        labels = array_labels.interpret(raw, opened.names, opened.separate_classes)
        self.notes += labels.notes
        self._known = {part: _annotations(labels.context, values) for part, values in labels.values.items()}
        chosen = array_labels.select(labels, self.attributes)
        splits = {part: Split(images.images, chosen.values[part]) for part, images in stored.items()}
        return Source(splits["train"], splits.get("test"), chosen.context, splits.get("val"))

    def annotate(self, part: str) -> Annotations:
        """Return the classes or all attributes of the images, also those that are not labels of a model."""
        return self._known[part]

    def _first_shape(self, part: Part) -> Shape:
        """Return the shape (C, H, W) of the first image after it is resized."""
        image = self._to_array(part.read(range(1))[0][0], 0)
        channels, height, width = image.shape
        if self.pixels.size is not None:
            return channels, *self.pixels.size
        check_sides(height, width)
        return channels, height, width

    def _to_array(self, image: Any, row: int) -> np.ndarray:
        try:
            return to_array(image, self.pixels.color, self.pixels.layout)
        except ValueError as error:
            raise UserError(f"Image {row:,} of data={self.name} cannot be used ({error}).") from error

    def _read_part(self, name: str, part: Part, shape: Any, white: float | None) -> CachedImages:
        pixels = self.pixels
        settings = [self.name, part.key, pixels.size, pixels.fit, pixels.color, white, pixels.layout]

        def fill(images: np.ndarray) -> Contents:
            return self._fill(images, part, white, f"reading {name}")

        return cached_images(
            self.default_name, settings, part.count, shape, fill,
            cache=self.cache, memory=self.memory, depth=pixels.depth,
        )  # fmt: skip

    def _fill(self, images: np.ndarray, part: Part, white: float | None, title: str) -> Contents:
        """Write the images of a part into an array (N, C, H, W), and return the labels and the levels.

        Images whose white point is not yet known are read again after the other images.
        """
        labels: list[Any] = []
        levels: list[Levels] = []
        later: list[int] = []
        reduced = 0
        for row, image, label in console.track_progress(_items(part), title, part.count):
            reduced += loses_bits(image)
            array = self._fit(image, row, images.shape[1:])
            if not np.issubdtype(array.dtype, np.bool_) and not _is_picture(image):
                levels.append(self._levels(array, row))
            if label is not None:
                labels.append(label)
            known = _known_white(array, image, white)
            if known is None:
                later.append(row)
            else:
                images[row] = scale_pixels(array, known, self.pixels.depth)
        merged = merge_levels(levels)
        if later and merged is not None:
            chosen, waiting = choose_white(merged, white), set(later)
            for row, image, _ in console.track_progress(_items(part), title, part.count):
                if row in waiting:
                    images[row] = scale_pixels(self._fit(image, row, images.shape[1:]), chosen, self.pixels.depth)
        return Contents({}, array_labels.pack(labels, part.count), levels_fact(merged) | reduced_fact(reduced))

    def _levels(self, array: np.ndarray, row: int) -> Levels:
        try:
            return measure_levels(array)
        except ValueError as error:
            raise UserError(
                f"Each pixel value of data={self.name} must be a finite number, but image {row:,} contains NaN or "
                "infinity. Repair or remove the image."
            ) from error

    def _fit(self, image: Any, row: int, shape: tuple[int, ...]) -> np.ndarray:
        """Return an image as an array with the shape (C, H, W) of the stored images."""
        array = self._to_array(image, row)
        if array.shape[0] != shape[0]:
            raise UserError(
                f"All images of data={self.name} must have {shape[0]} channels like the first one, but image {row:,} "
                f"has {array.shape[0]}. Set data.color=true or data.color=false."
            )
        if self.pixels.size is None and array.shape != shape:
            raise UserError(
                f"All images of data={self.name} must have {shape[1]} x {shape[2]} pixels like the first one, but "
                f"image {row:,} has {array.shape[1]} x {array.shape[2]}. Set data.size, such as data.size=64."
            )
        return fit_array(array, (shape[1], shape[2]), self.pixels.fit)


def _items(part: Part) -> Iterator[tuple[int, Any, Any]]:
    """Yield the index, the image and the label of each image of a part."""
    for start in range(0, part.count, ROWS):
        rows = range(start, min(start + ROWS, part.count))
        images, labels = part.read(rows)
        yield from zip(rows, images, [None] * len(rows) if labels is None else labels, strict=True)


def _is_picture(image: Any) -> bool:
    """Return whether an image is a Pillow image with at most 8 bits, whose white point is 255."""
    from PIL import Image

    return isinstance(image, Image.Image) and not (image.mode.startswith("I") or image.mode == "F")


def _known_white(array: np.ndarray, image: Any, white: float | None) -> float | None:
    """Return the white point of an image, or None if it depends on the other images."""
    if array.dtype == np.bool_:
        return 1
    if _is_picture(image):
        return 255
    return 255 if white is None and array.dtype == np.uint8 else white


def _check_equal_shapes(stored: dict[str, CachedImages]) -> None:
    shapes = {part: tuple(images.images.shape[1:]) for part, images in stored.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{part} {' x '.join(map(str, shape))}" for part, shape in shapes.items())
        raise UserError(
            f"The images of all splits must have the same shape, got {listed}. Set data.size and data.color."
        )


def _annotations(context: Context | None, values: torch.Tensor | None) -> Annotations:
    if context is None:
        return Annotations()
    if context.kind == "classes":
        return Annotations(classes=values, class_names=context.names)
    return Annotations(attributes=values, attribute_names=context.names)
