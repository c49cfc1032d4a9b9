"""Detect images with 16 bits per color channel, which Pillow decodes with 8 bits, and count them for the run record.

Gray images with 16 bits keep them; see `autoencoders.data.white_point`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageFile

BYTE = 255
"""Largest value of 8 bits."""


def loses_bits(image: Any) -> bool:
    """Return whether Pillow decodes the color channels of an image with fewer bits than its file has.

    Args:
        image: opened image whose pixels have not been loaded. For other images and arrays, which do not state the
            number of bits in a file, the result is False.
    """
    if not isinstance(image, ImageFile.ImageFile) or image.mode.startswith("I") or image.mode == "F":
        return False
    for _, _, _, arguments in image.tile:  # the documented description of how the file stores the pixels
        words = arguments if isinstance(arguments, tuple) else (arguments,)
        layout, *others = words or ("",)
        if ";16" in str(layout):  # PNG, TIFF
            return True
        if image.format == "PPM" and others and others[0] > BYTE:  # the largest value in the file
            return True
    return False


def file_loses_bits(path: Path) -> bool:
    """Return whether Pillow decodes the color channels of an image file with fewer bits than the file has."""
    with Image.open(path) as image:
        return loses_bits(image)


def reduced_fact(count: int) -> dict[str, Any]:
    """Return the entry for the number of images that lost bits in `image_cache.Contents.facts`."""
    return {"reduced": count} if count else {}


def reduced_note(count: int) -> str:
    """Return a sentence about the number of images that lost bits, or an empty text if there are none."""
    if not count:
        return ""
    files, verb = ("file", "is") if count == 1 else ("files", "are")
    sentence = f"{count:,} {files} with 16 bits per color channel {verb} read with 8 bits."
    return f"{sentence} data=arrays reads 16 bits from .npy files."
