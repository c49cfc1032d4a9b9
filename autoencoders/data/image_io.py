"""Find image files and decode them: gray, color, palette, 16-bit, transparent or rotated."""

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
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
MAX_NAMED_FILES = 3
"""Maximum number of files that a message about unreadable files names."""
FILES_PER_TASK = 32
"""Files that a thread decodes per task. With one file per task, the overhead exceeds the time of a small file."""

File = TypeVar("File", Path, str)


class UnreadableImageError(UserError):
    """A file that is not an image, or is damaged. `reason` says why in a few words."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as an image ({reason}). Remove or repair it.")
        self.reason = reason


def read_image(
    path: Path, size: tuple[int, int], *, color: bool, fit: str = "crop", box: int | None = None
) -> np.ndarray:
    """Decode an image file, rotate it upright, crop it and resize it.

    Args:
        path: the file.
        size: (H, W) of the result, in pixels.
        color: three channels, else one.
        fit: `crop` keeps the aspect ratio and cuts both sides equally; `stretch` does not keep it.
        box: side in pixels of a central square that is cut first; a smaller image is not cut.

    Returns:
        (C, H, W) uint8.

    Raises:
        UnreadableImageError: if the file is not a readable image.
        UserError: if the disk or the permissions do not allow to read the file.
    """
    try:
        with Image.open(path) as opened:
            image = _convert_to_eight_bit(ImageOps.exif_transpose(opened)).convert("RGB" if color else "L")
    except Exception as error:  # Pillow raises many types of errors for files that are not images
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise UserError(f"{path} cannot be read ({short_reason(error)}).") from error
        raise UnreadableImageError(path, _decoding_reason(error)) from error
    width, height = image.size
    if box is not None:
        width, height = min(width, box), min(height, box)
    if fit == "crop":
        scale = min(width / size[1], height / size[0])
        width, height = round(size[1] * scale), round(size[0] * scale)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    region = (left, top, left + width, top + height)
    pixels = np.asarray(image.crop(region).resize((size[1], size[0]), Image.Resampling.BICUBIC))
    return pixels.transpose(2, 0, 1) if color else pixels[None]


def stored_size(path: Path) -> tuple[int, int]:
    """Return (H, W) of an image file in pixels, before any rotation; (0, 0) if it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except Exception:  # `read_image` reports the error
        return 0, 0


def list_images(folder: Path) -> list[Path]:
    """Return every image file under a folder, sorted by its path. A file is returned as it is."""
    return [folder] if folder.is_file() else [folder / name for name in list_image_names(folder)]


def list_image_names(folder: Path) -> list[str]:
    """Return the relative path, with `/`, of every image file under a folder, sorted.

    Directory entries are used, so that files need no `stat` call of their own. Folders that are links, and folders
    without read permission, are skipped.

    Raises:
        UserError: if there is no image file.
    """
    names, remaining = [], [""]
    while remaining:
        inner = remaining.pop()
        with contextlib.suppress(PermissionError), os.scandir(folder / inner) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remaining.append(f"{inner}{entry.name}/")
                elif _is_image_file(entry):
                    names.append(inner + entry.name)
    if not names:
        raise UserError(f"{folder} holds no image file ({', '.join(sorted(SUFFIXES))}).")
    return sorted(names)


def _is_image_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file, or a link to a file, with the suffix of an image format."""
    if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        return False
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path)


def decode_files(
    files: Sequence[File], decode: Callable[[File], np.ndarray], title: str
) -> Callable[[np.ndarray], dict[int, str]]:
    """Return a function that decodes one image (C, H, W) per file in threads, for `cached_images`.

    Rows of unreadable files stay black and are returned with a reason for each.

    Args:
        files: one per row.
        decode: reads one file; it may raise `UnreadableImageError`.
        title: label of the progress bar on a terminal.
    """

    def fill(images: np.ndarray) -> dict[int, str]:
        def decode_rows(start: int) -> tuple[int, dict[int, str]]:
            rows, reasons = range(start, min(start + FILES_PER_TASK, len(files))), {}
            for row in rows:
                try:
                    images[row] = decode(files[row])
                except UnreadableImageError as error:
                    reasons[row] = error.reason
            return len(rows), reasons

        unreadable: dict[int, str] = {}
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            tasks = pool.map(decode_rows, range(0, len(files), FILES_PER_TASK))
            for _, reasons in console.track_progress(tasks, title, len(files), size=operator.itemgetter(0)):
                unreadable |= reasons
        return unreadable

    return fill


def read_all(files: Sequence[Path], decode: Callable[[Path], np.ndarray]) -> np.ndarray:
    """Read all files, (N, C, H, W) uint8.

    Raises:
        UserError: if some files are unreadable. The message names the first of them.
    """
    images, unreadable = [], {}
    for file in files:
        try:
            images.append(decode(file))
        except UnreadableImageError as error:
            unreadable[file] = error.reason
    if unreadable:
        raise UserError(f"{describe_unreadable(unreadable, len(files))} Remove or repair them.")
    return np.stack(images)


def describe_unreadable(reasons: Mapping[Path, str], count: int) -> str:
    """Return a sentence with the number of unreadable files among `count`, and names and reasons of the first."""
    named = [f"{file} ({reason})" for file, reason in itertools.islice(reasons.items(), MAX_NAMED_FILES)]
    remaining = len(reasons) - len(named)
    if remaining:
        named.append(f"and {remaining:,} more")
    return f"{len(reasons):,} of {count:,} image files cannot be read: {', '.join(named)}."


def _decoding_reason(error: Exception) -> str:
    """Return why an image cannot be decoded, without the path that Pillow repeats."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image format that Pillow supports"
    if isinstance(error, Image.DecompressionBombError) and Image.MAX_IMAGE_PIXELS is not None:
        return f"more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, (OSError, ValueError)) and str(error):
        return str(error).splitlines()[0]
    return short_reason(error)


def _convert_to_eight_bit(image: Image.Image) -> Image.Image:
    """Scale deep gray to 8 bits, which Pillow would clip, and put transparent images on white.

    The white level of modes `I` and `F` is not known. It is taken as 65535 if a value exceeds 255, else as 255; for
    mode `F` as 1 if no value exceeds 1.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinity")
        white = 65535 if image.mode.startswith("I;16") or values.max() > 255 else 255
        if image.mode == "F" and values.max() <= 1:
            white = 1
        return Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image
