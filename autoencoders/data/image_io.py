"""One picture file to one small image, the same way whatever it is: gray, color, palette, 16-bit, rotated."""

from __future__ import annotations

import contextlib
import itertools
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from autoencoders.types import UserError
from autoencoders.utils import console
from autoencoders.utils.error_messages import short_reason

FITS = ("crop", "stretch")
NAMED = 3
"""Files, at most, that a sentence about unreadable ones names."""


class Unreadable(UserError):
    """A file that is no picture, or a damaged one; its `reason` is of few words."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} cannot be read as a picture ({why}). Remove or repair it.")
        self.reason = why


def read_picture(
    path: Path, size: tuple[int, int], *, color: bool, fit: str = "crop", box: int | None = None
) -> np.ndarray:
    """Decode, turn upright, crop and resize.

    Args:
        path: the file.
        size: (H, W) of the result, in pixels.
        color: three channels, else one.
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
            picture = _eight_bit(picture).convert("RGB" if color else "L")
    except Exception as error:  # whatever a file that is something else makes of it
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise UserError(f"{path} cannot be read ({short_reason(error)}).") from error
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
    return pixels.transpose(2, 0, 1) if color else pixels[None]


def picture_size(path: Path) -> tuple[int, int]:
    """(H, W) of a picture file, in pixels, as it is stored; (0, 0) where it cannot be read."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except Exception:  # as above; who reads it will say
        return 0, 0


ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}


File = TypeVar("File", Path, str)

AT_ONCE = 32
"""Files that one task of a thread decodes: a task a file would be slower than a small file, and larger in memory."""


def list_images(folder: Path) -> list[Path]:
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


def decode_files(
    files: Sequence[File], decode: Callable[[File], np.ndarray], what: str
) -> Callable[[np.ndarray], dict[int, str]]:
    """A `fill` that decodes one image per file, (C, H, W) each, in threads, with a progress bar on a terminal.

    It returns the rows of files that are no readable pictures, which stay black, and what is wrong with each.
    """

    def fill(images: np.ndarray) -> dict[int, str]:
        def some(start: int) -> tuple[int, dict[int, str]]:
            rows, unreadable = range(start, min(start + AT_ONCE, len(files))), {}
            for row in rows:
                try:
                    images[row] = decode(files[row])
                except Unreadable as error:
                    unreadable[row] = error.reason
            return len(rows), unreadable

        unreadable: dict[int, str] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            parts = pool.map(some, range(0, len(files), AT_ONCE))
            for _, found in console.track_progress(parts, what, len(files), size=operator.itemgetter(0)):
                unreadable |= found
        return unreadable

    return fill


def read_all(files: Sequence[Path], decode: Callable[[Path], np.ndarray]) -> np.ndarray:
    """Somebody's own pictures, (N, C, H, W) uint8.

    Raises:
        UserError: where some are unreadable; it names the first of them.
    """
    pictures, unreadable = [], {}
    for file in files:
        try:
            pictures.append(decode(file))
        except Unreadable as error:
            unreadable[file] = error.reason
    if unreadable:
        raise UserError(f"{unreadable_files(unreadable, len(files))} Remove or repair them.")
    return np.stack(pictures)


def unreadable_files(reasons: Mapping[Path, str], count: int) -> str:
    """How many of `count` files cannot be read, which are the first, and what is wrong with each: a sentence."""
    named = [f"{file} ({why})" for file, why in itertools.islice(reasons.items(), NAMED)]
    others = len(reasons) - len(named)
    named += [f"and {others:,} more"] if others else []
    return f"{len(reasons):,} of {count:,} pictures cannot be read: {', '.join(named)}."


def _why(error: Exception) -> str:
    """What Pillow says, without the path that it repeats."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image format that Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        return f"of more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels"
    return (
        str(error).splitlines()[0] if isinstance(error, (OSError, ValueError)) and str(error) else short_reason(error)
    )


def _eight_bit(picture: Image.Image) -> Image.Image:
    """Deep gray scaled to 8 bits (Pillow would clip it), transparency laid on white, everything else as it is.

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
