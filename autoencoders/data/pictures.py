"""One picture file to one small image, the same way whatever it is: grey, colour, palette, 16-bit, rotated."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from autoencoders.faults import reason
from autoencoders.types import UserError

FITS = ("crop", "stretch")
NAMED = 3
"""Files, at most, that a sentence about unreadable ones names."""


class Unreadable(UserError):
    """A file that is no picture, or a damaged one; its `reason` is of few words."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} cannot be read as a picture ({why}). Remove or repair it.")
        self.reason = why


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
        Unreadable: where the file is no readable picture.
        UserError: where the disk or its permissions refuse it, whatever it holds.
    """
    try:
        with Image.open(path) as picture:
            picture = ImageOps.exif_transpose(picture)
            picture = _eight_bit(picture).convert("RGB" if colour else "L")
    except Exception as error:  # whatever a file that is something else makes of it
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise UserError(f"{path} cannot be read ({reason(error)}).") from error
        raise Unreadable(path, _why(error)) from error
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
    except Exception:  # as above; who reads it will say
        return 0, 0


ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


def pictures(folder: Path) -> list[Path]:
    """Every picture under a folder, sorted by its path; a file as it is."""
    if folder.is_file():
        return [folder]
    found = (Path(f) for f in folder.rglob("*"))
    files = sorted((f for f in found if f.suffix.lower() in ENDINGS and f.is_file()), key=lambda f: f.as_posix())
    if not files:
        raise UserError(f"{folder} holds no picture ({', '.join(sorted(ENDINGS))}).")
    return files


def decode_files(
    files: Sequence[Path], decode: Callable[[Path], np.ndarray], what: str
) -> Callable[[np.ndarray], dict[int, str]]:
    """A `fill` that decodes one image per file, (C, H, W) each, in threads, with a progress bar on a terminal.

    It returns the rows of files that are no readable pictures, which stay black, and what is wrong with each.
    """

    def fill(images: np.ndarray) -> dict[int, str]:
        from tqdm import tqdm

        def one(row: int) -> str | None:
            try:
                images[row] = decode(files[row])
            except Unreadable as error:
                return error.reason
            return None

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = pool.map(one, range(len(files)))
            rows = tqdm(rows, what, len(files), unit=" images", disable=not sys.stderr.isatty(), leave=False)
            return {row: why for row, why in enumerate(rows) if why is not None}

    return fill


def read_all(files: Sequence[Path], decode: Callable[[Path], np.ndarray]) -> np.ndarray:
    """Somebody's own pictures, (N, C, H, W) uint8.

    Raises:
        UserError: where some are unreadable; it names the first of them.
    """
    pictures, unreadable = [], {}
    for row, file in enumerate(files):
        try:
            pictures.append(decode(file))
        except Unreadable as error:
            unreadable[row] = error.reason
    if unreadable:
        raise UserError(f"{unreadable_files(files, unreadable)} Remove or repair them.")
    return np.stack(pictures)


def unreadable_files(files: Sequence[Path], unreadable: dict[int, str]) -> str:
    """How many files cannot be read, which are the first, and what is wrong with each: a sentence."""
    named = [f"{files[row]} ({why})" for row, why in list(unreadable.items())[:NAMED]]
    others = len(unreadable) - len(named)
    named += [f"and {others:,} more"] if others else []
    return f"{len(unreadable):,} of {len(files):,} pictures cannot be read: {', '.join(named)}."


def _why(error: Exception) -> str:
    """What Pillow says, without the path that it repeats."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image format that Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        return f"of more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels"
    return str(error).splitlines()[0] if isinstance(error, (OSError, ValueError)) and str(error) else reason(error)


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Deep grey scaled to 8 bits (Pillow would clip it), transparency laid on white, everything else as it is.

    Modes `I` and `F` do not say what is white: 65535 where there is a value above 255, else 255; of decimal numbers
    1 where none is above.
    """
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinity")
        top = 65535 if picture.mode.startswith("I;16") or values.max() > 255 else 255
        top = 1 if picture.mode == "F" and values.max() <= 1 else top
        return Image.fromarray((values * (255 / top)).round().clip(0, 255).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture
