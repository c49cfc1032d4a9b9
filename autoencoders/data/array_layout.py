"""Find the order of the dimensions of images, and convert arrays, tensors and Pillow images to arrays (C, H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autoencoders.data.fitting import LARGEST, SMALLEST
from autoencoders.types import UserError
from autoencoders.utils.checks import require

LAYOUTS = ("NHW", "NCHW", "NHWC")
"""Orders of the dimensions of an array of images: N images, C channels, H height, W width."""
CHANNELS = (1, 2, 3, 4)
"""Numbers of channels that are recognized without `data.layout`."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray (ITU-R BT.601), as in Pillow."""


def check_layout(layout: str | None) -> None:
    """Raise UserError if the option `data.layout` is not valid."""
    require(layout is None or layout in LAYOUTS, "data.layout", layout, f"null or one of {list(LAYOUTS)}")


def find_layout(shape: Sequence[int], layout: str | None = None) -> str:
    """Return the order of the dimensions, one of `LAYOUTS`, of an array of images.

    Args:
        shape: shape of the array, with the number of images first.
        layout: value of `data.layout`.

    Raises:
        UserError: if the order is ambiguous, or `layout` does not match the shape.
    """
    if layout is not None:
        expected = f"a layout of {len(shape)} dimensions, because the images are {_sides(shape)}"
        require(len(layout) == len(shape), "data.layout", layout, expected)
        return layout
    if len(shape) == 3:
        return "NHW"
    if len(shape) == 4:
        found = [name for name, side in (("NCHW", shape[1]), ("NHWC", shape[3])) if side in CHANNELS]
        if len(found) == 1:
            return found[0]
        reason = "both the second and the last dimension" if found else "neither the second nor the last dimension"
        raise UserError(
            f"The order of the dimensions of {_sides(shape)} images is ambiguous, because {reason} may be the "
            "channels. Set data.layout=NCHW or data.layout=NHWC."
        )
    raise UserError(
        f"Images must be an array with 3 or 4 dimensions, such as N x H x W or N x C x H x W, got {_sides(shape)}. "
        "Reshape the array."
    )


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def check_sides(height: int, width: int) -> None:
    """Raise UserError if images of this size cannot be used without resizing them."""
    if not (min(height, width) >= SMALLEST and max(height, width) <= LARGEST):
        raise UserError(
            f"The sides of images must be between {SMALLEST} and {LARGEST} pixels, got {height} x {width} (height x "
            "width). Set data.size to resize the images, or data.layout=NHW, NCHW or NHWC if this is not their size."
        )


def to_array(image: Any, color: bool | None = None, layout: str | None = None) -> np.ndarray:
    """Convert an image to an array (C, H, W) of type bool, uint8, another integer, or float.

    Args:
        image: Pillow image of any mode, or array or tensor (H, W), (C, H, W) or (H, W, C).
        color: True for three channels, False for one, None for the channels of the image.
        layout: order of the dimensions; see `find_layout`.

    Raises:
        ValueError: if the image is not an image.
        UserError: if the order of the dimensions is ambiguous, or the channels cannot be converted.
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        image, layout = _picture_array(image, color), None
    array = np.asarray(image)
    if array.dtype.kind not in "buif":
        raise ValueError(f"it must be a picture or an array of numbers, got {type(image).__name__}")
    found = find_layout((1, *array.shape), layout)
    if found == "NHW":
        array = array[None]
    elif found == "NHWC":
        array = array.transpose(2, 0, 1)
    return array if color is None else _convert_channels(array, color)


def _picture_array(image: Any, color: bool | None) -> np.ndarray:
    """Convert a Pillow image to an array (H, W) or (H, W, 3). A transparent image gets a white background."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(image)
    has_color = image.mode not in ("1", "L", "LA", "La")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB" if (has_color if color is None else color) else "L"))


def _convert_channels(array: np.ndarray, color: bool) -> np.ndarray:
    """Convert an image (C, H, W) to three color channels or one gray channel."""
    channels, wanted = len(array), 3 if color else 1
    if channels == wanted:
        return array
    if channels not in (1, 3):
        raise UserError(
            f"data.color must be null for images with {channels} channels, got {str(color).lower()}. Remove data.color."
        )
    if color:
        return np.repeat(array, 3, axis=0)
    gray = np.tensordot(LUMA, array.astype(np.float64), 1)[None]
    return gray.astype(array.dtype) if array.dtype.kind == "f" else gray.round().astype(array.dtype)
