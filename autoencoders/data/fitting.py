"""Give images the requested height and width: crop or pad or stretch, then resize."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from autoencoders.utils.checks import require

BICUBIC = Image.Resampling.BICUBIC
FITS = ("crop", "pad", "stretch")
SMALLEST, LARGEST = 8, 1024
"""Limits of `data.size`, in pixels."""


def parse_size(size: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width for the option `data.size`: one number for squares, or height and width.

    Raises:
        UserError: if the option is not valid.
    """
    sides = [size, size] if isinstance(size, int) else list(size)
    valid = len(sides) == 2 and all(isinstance(side, int) and SMALLEST <= side <= LARGEST for side in sides)
    expected = f"a number of pixels between {SMALLEST} and {LARGEST}, or a list of two of them, height and width"
    require(valid, "data.size", size, expected)
    return sides[0], sides[1]


def fit_picture(
    picture: Image.Image, size: tuple[int, int], fit: str, box: int | None = None, mask: bool = False
) -> Image.Image:
    """Give a Pillow image of any mode (`L`, `RGB`, `F`) the requested size, with bicubic interpolation.

    An image that needs no change is returned itself, because a copy of each image of a folder takes time.

    Args:
        picture: image.
        size: height and width (H, W) of the result, in pixels.
        fit: how the image gets the aspect ratio of `size`. `crop` cuts off equal parts at opposite edges. `pad` adds
            equal borders at opposite edges, in the mean color of the edge pixels of the image. `stretch` changes the
            aspect ratio of the content.
        box: side of a central square to which the image is cropped first; see `image_io.read_image`.
        mask: the picture is a mask: select the nearest pixels instead of interpolating, and pad with 0.
    """
    resample = Image.Resampling.NEAREST if mask else BICUBIC
    width, height = picture.size
    if box is not None:
        width, height = min(width, box), min(height, box)
    if fit == "crop":
        scale = min(width / size[1], height / size[0])
        width, height = round(size[1] * scale), round(size[0] * scale)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    whole = (width, height) == picture.size
    region = picture if whole else picture.crop((left, top, left + width, top + height))
    if fit != "pad":
        return region if region.size == (size[1], size[0]) else region.resize((size[1], size[0]), resample)
    scale = min(size[1] / width, size[0] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    resized = region.resize(inner, resample)
    canvas = Image.new(picture.mode, (size[1], size[0]), 0 if mask else _edge_color(region))
    canvas.paste(resized, ((size[1] - inner[0]) // 2, (size[0] - inner[1]) // 2))
    return canvas


def _edge_color(picture: Image.Image) -> float | int | tuple[int, ...]:
    """Return the mean color of the outermost pixels of an image, in the form that `Image.new` accepts."""
    pixels = np.asarray(picture, dtype=np.float64)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    edges = np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]).mean(0)
    if picture.mode == "F":
        return float(edges[0])
    values = tuple(round(value) for value in edges.tolist())
    return values if len(values) > 1 else values[0]


def fit_array(image: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    """Give an image (C, H, W) the requested size; see `fit_picture`. An image of this size is not changed.

    Args:
        image: uint8, or another type, which becomes float32.
        size: height and width of the result, in pixels.
        fit: `crop`, `pad` or `stretch`.
    """
    if image.shape[1:] == size:
        return image
    plain = image if image.dtype == np.uint8 else image.astype(np.float32)
    return np.stack([np.asarray(fit_picture(Image.fromarray(channel), size, fit)) for channel in plain])
