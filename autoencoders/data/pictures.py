"""One picture file to one small image, the same way whatever it is: grey, colour, palette, 16-bit, rotated."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from autoencoders.types import UserError

FITS = ("crop", "stretch")


def read_picture(
    path: Path, size: tuple[int, int], *, colour: bool, fit: str = "crop", box: int | None = None
) -> np.ndarray:
    """Decode, turn upright, crop and resize.

    Args:
        path: the file.
        size: (H, W) of the result, in pixels.
        colour: three channels, else one.
        fit: `crop` keeps proportions and cuts what is over, evenly on both sides; `stretch` does not.
        box: first cut the central square of this many pixels a side (less where the picture has less).

    Returns:
        (C, H, W) uint8.

    Raises:
        UserError: where the file is no readable picture.
    """
    try:
        with Image.open(path) as picture:
            picture = ImageOps.exif_transpose(picture)
            picture = _eight_bit(picture).convert("RGB" if colour else "L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as a picture ({error}). Remove or repair it.") from error
    width, height = picture.size
    if box is not None:
        width, height = min(width, box), min(height, box)
    if fit == "crop":
        scale = min(width / size[1], height / size[0])
        width, height = round(size[1] * scale), round(size[0] * scale)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    region = (left, top, left + width, top + height)
    pixels = np.asarray(picture.crop(region).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return pixels.transpose(2, 0, 1) if colour else pixels[None]


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) of a picture file, in pixels, as it is stored; (0, 0) where it cannot be read."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, SyntaxError, ValueError):
        return 0, 0


ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


def pictures(folder: Path) -> list[Path]:
    """Every picture under a folder, sorted by its path; a file as it is."""
    return [folder] if folder.is_file() else [folder / name for name in picture_names(folder)]


def picture_names(folder: Path) -> list[str]:
    """The path under a folder of every picture in it, with `/`, sorted.

    What is a file the folders themselves say, so that none is asked. Folders that are links are not entered, and
    those that may not be read are passed over.
    """
    found, waiting = [], [""]
    while waiting:
        inner = waiting.pop()
        with contextlib.suppress(PermissionError), os.scandir(folder / inner) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{inner}{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in ENDINGS and (
                    entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path)
                ):
                    found.append(inner + entry.name)
    if not found:
        raise UserError(f"{folder} holds no picture ({', '.join(sorted(ENDINGS))}).")
    return sorted(found)


def _eight_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits (Pillow would clip it), transparency laid on white, everything else as it is."""
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float64)
        top = 65535 if values.max() > 255 else 255
        return Image.fromarray((values * (255 / top)).round().clip(0, 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture
