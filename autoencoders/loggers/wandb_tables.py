"""Conversion of the cells of tables to values, images and texts for W&B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

SIDE, GAP = 64, 2
"""Maximum pixels on the longer side of an image, and pixels between two images of a row."""


def convert_column(values: list[Any]) -> list[Any]:
    """Convert the values in a column for a W&B table: arrays to W&B images, values of different types to texts."""
    import numpy as np
    import wandb

    values = [wandb.Image(_thumbnail(value)) if isinstance(value, np.ndarray) else value for value in values]
    kinds = {float if type(value) is int else type(value) for value in values if value is not None}
    return values if len(kinds) < 2 else list(map(str, values))


def _thumbnail(values: np.ndarray) -> Any:
    """Convert an image (C, H, W) in [0, 1] to a Pillow image. Width and height are reduced to at most SIDE pixels."""
    from PIL import Image

    from autoencoders.figures.pixels import to_rgb

    image = Image.fromarray((to_rgb(values) * 255).round().astype("uint8"))
    image.thumbnail((SIDE, SIDE))
    return image


def join_images(images: tuple[np.ndarray, ...]) -> Any:
    """Return a Pillow image of the thumbnails of several images next to each other, with white gaps."""
    from PIL import Image

    thumbnails = [_thumbnail(image) for image in images]
    width, height = sum(image.width + GAP for image in thumbnails) - GAP, max(image.height for image in thumbnails)
    strip, left = Image.new("RGB", (width, height), "white"), 0
    for image in thumbnails:
        strip.paste(image, (left, 0))
        left += image.width + GAP
    return strip


def describe_row(row: Mapping[Any, Any]) -> str:
    """Return the cells of a table row as text, such as `row 3, class 7, mse 0.0123`."""
    return ", ".join(f"{name} {f'{value:.4g}' if isinstance(value, float) else value}" for name, value in row.items())
