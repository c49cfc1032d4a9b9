"""Decide which pixel value is white, once for all images of a dataset, and convert pixels to 8 or 16 bits.

The white point of 8-bit images is 255, and that of boolean images is 1. Other types do not determine it:

- Integers with more than 8 bits: the white point is the smallest of 255, 1023, 4095, 16383 and 65535 that no pixel
  value of the dataset exceeds, because cameras have 8, 10, 12, 14 or 16 bits.
- Floats: the white point is 1 if no pixel value exceeds 1, else the largest pixel value of the dataset.

`data.white` replaces this rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from autoencoders.data.bit_depth import reduced_note
from autoencoders.data.image_cache import CachedImages
from autoencoders.types import UserError
from autoencoders.utils.checks import require

BITS = (8, 10, 12, 14, 16)
"""Numbers of bits of cameras and image formats."""
DEPTHS = (8, 16)
"""Valid numbers of bits of a stored pixel value."""
NOT_FINITE = "it contains NaN or infinity"
"""Reason why an image cannot be used."""


class Levels(NamedTuple):
    """Type and range of pixel values.

    Attributes:
        kind: `byte` for uint8, `integer` for other integers, or `float`.
        minimum: smallest pixel value.
        maximum: largest pixel value.
    """

    kind: str
    minimum: float
    maximum: float


class UnknownWhiteError(Exception):
    """Raised for an image with more than 8 bits if the white point of its dataset is not yet known.

    Args:
        levels: type and range of the pixel values of the image.
    """

    def __init__(self, levels: Levels) -> None:
        super().__init__(levels)
        self.levels = levels


def check_white(white: float | None, depth: int) -> None:
    """Raise UserError if the options `data.white` and `data.depth` are not valid."""
    valid = white is None or (math.isfinite(white) and white > 0)
    require(valid, "data.white", white, "null or the pixel value of white, a finite number > 0")
    require(depth in DEPTHS, "data.depth", depth, f"one of {list(DEPTHS)}")


def measure_levels(values: np.ndarray) -> Levels:
    """Return the type and range of the pixel values of one or more images.

    Raises:
        ValueError: if a value is NaN or infinite.
    """
    minimum, maximum = float(values.min()), float(values.max())
    if not (math.isfinite(minimum) and math.isfinite(maximum)):  # NaN propagates to the minimum
        raise ValueError(NOT_FINITE)
    if values.dtype == np.uint8:
        return Levels("byte", minimum, maximum)
    return Levels("float" if values.dtype.kind == "f" else "integer", minimum, maximum)


def merge_levels(levels: Iterable[Levels]) -> Levels | None:
    """Return the common range of all levels, or None if there are none. Their kinds must be equal.

    Raises:
        UserError: if the kinds differ.
    """
    levels = list(levels)
    if not levels:
        return None
    kinds = sorted({one.kind for one in levels})
    if len(kinds) > 1:
        raise UserError(
            f"The pixels of all images must have the same type, got images of the types {' and '.join(kinds)}, whose "
            "white points differ. Convert the images to one type."
        )
    return Levels(kinds[0], min(one.minimum for one in levels), max(one.maximum for one in levels))


def choose_white(levels: Levels, given: float | None) -> float:
    """Return the white point of a dataset, by the rule at the top of this module.

    Args:
        levels: type and range of all pixel values of the dataset.
        given: value of `data.white`.

    Raises:
        UserError: if the white point is ambiguous.
    """
    if given is not None:
        return given
    if levels.minimum < 0:
        raise UserError(
            f"Pixel values must be >= 0, because 0 is black, got {levels.minimum:g}. Convert the images, or set "
            "data.white to the pixel value of white, so that values below 0 become black."
        )
    if levels.kind == "byte":
        if levels.maximum <= 1:
            raise UserError(
                f"The largest value of all 8-bit pixels is {levels.maximum:g}, so that white may be 1 or 255. Set "
                "data.white=1 or data.white=255."
            )
        return 255
    if levels.kind == "float":
        return 1 if levels.maximum <= 1 else levels.maximum
    return next((2**bits - 1 for bits in BITS if levels.maximum < 2**bits), levels.maximum)


def white_note(levels: Levels, given: float | None, depth: int) -> str:
    """Return a sentence about the white point for the run record, or an empty string if 8-bit images have none given.

    Args:
        levels: type and range of all pixel values of the dataset.
        given: value of `data.white`.
        depth: number of bits of a stored pixel value.
    """
    if levels.kind == "byte" and given in (None, 255):
        return ""
    white = choose_white(levels, given)
    source = "set by data.white" if given is not None else "for all images; data.white sets another value"
    note = f"Pixel values are between {levels.minimum:g} and {levels.maximum:g}. White is {white:g} ({source})."
    if levels.maximum > white or levels.minimum < 0:
        note += f" Values below 0 and above {white:g} are clipped."
    if depth == 8 and (levels.kind == "float" or white > 255):
        note += " The images are stored with 8 bits; data.depth=16 stores 16 bits."
    return note


def scale_pixels(values: np.ndarray, white: float, depth: int) -> np.ndarray:
    """Convert pixel values from 0 (black) to `white` to integers of 8 bits (uint8) or 16 bits (uint16)."""
    full, kind = 2**depth - 1, np.uint8 if depth == 8 else np.uint16
    if values.dtype == kind and white == full:
        return values
    return (values * np.float64(full / white)).round().clip(0, full).astype(kind)


def read_parts(
    parts: Iterable[str], read: Callable[[str, float | None], CachedImages], given: float | None, depth: int
) -> tuple[dict[str, CachedImages], float | None, list[str]]:
    """Read all parts of a dataset with the same white point.

    A part is read again only if its own images need another white point than those of the complete dataset. This is
    never the case for 8-bit images.

    Args:
        parts: names of the parts.
        read: function that reads a part with a white point, or, for None, with the white point of the part.
        given: value of `data.white`.
        depth: number of bits of a stored pixel value.

    Returns:
        Part -> its images, the white point (None if all images determine it), and notes for the run record.
    """
    stored = {part: read(part, given) for part in parts}
    own = {part: Levels(*images.facts["levels"]) for part, images in stored.items() if "levels" in images.facts}
    levels = merge_levels(own.values())
    reduced = reduced_note(sum(images.facts.get("reduced", 0) for images in stored.values()))
    notes = [reduced] if reduced else []
    if levels is None:
        unused = "data.white is not used, because all images are read with 8 bits or fewer."
        return stored, given, notes + ([unused] if given is not None else [])
    white = choose_white(levels, given)
    for part, part_levels in own.items():
        if levels.kind != "byte" and choose_white(part_levels, given) != white:
            stored[part] = read(part, white)
    note = white_note(levels, given, depth)
    return stored, white, notes + ([note] if note else [])


def levels_fact(levels: Levels | None) -> dict[str, Any]:
    """Return the entry for the levels in `image_cache.Contents.facts`."""
    return {} if levels is None else {"levels": list(levels)}
