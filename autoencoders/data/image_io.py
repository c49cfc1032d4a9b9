"""Find and decode image files, including palette, 16-bit, transparent and EXIF-rotated images."""

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
from autoencoders.utils.names import printable_name

FITS = ("crop", "stretch")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
MAX_NAMED_FILES = 3
"""Maximum number of unreadable files that an error message names."""
FILES_PER_TASK = 32
"""Number of files that a thread decodes per task. With one small file per task, the overhead would dominate."""

File = TypeVar("File", Path, str)


class UnreadableImageError(UserError):
    """Raised for a file that is damaged or not an image. The attribute `reason` states the cause in a few words."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{printable_name(str(path))} cannot be read as an image ({reason}). Remove or repair the file."
        )
        self.reason = reason


def read_image(
    path: Path, size: tuple[int, int], *, color: bool, fit: str = "crop", box: int | None = None
) -> np.ndarray:
    """Decode an image file, rotate it as its EXIF data requires, crop it and resize it.

    Args:
        path: path of the image file.
        size: height and width (H, W) of the result, in pixels.
        color: return three color channels, else one gray channel.
        fit: how the image gets the aspect ratio of `size`. `crop` cuts off equal parts at opposite edges. `stretch`
            changes the aspect ratio of the content.
        box: side, in pixels, of a central square to which the image is cropped first; None for no such crop. A
            dimension of the image that is smaller than `box` is not cropped.

    Returns:
        Image (C, H, W), uint8.

    Raises:
        UnreadableImageError: if the file is damaged or not an image.
        UserError: if the file cannot be read because of the disk, the permissions or too little memory.
    """
    try:
        with Image.open(path) as opened:
            image = _convert_to_eight_bit(ImageOps.exif_transpose(opened)).convert("RGB" if color else "L")
    except Exception as error:  # Pillow raises many types of exceptions for files that are not images
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise UserError(f"{printable_name(str(path))} cannot be read ({short_reason(error)}).") from error
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
    """Return the height and width (H, W) of an image file, in pixels, before any EXIF rotation.

    Return (0, 0) if the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except Exception:  # `read_image` reports the error
        return 0, 0


def list_images(folder: Path) -> list[Path]:
    """Return the paths of all image files in a folder and its subfolders, sorted.

    If `folder` is the path of a file, return only this path.
    """
    return [folder] if folder.is_file() else [folder / name for name in list_image_names(folder)]


def list_image_names(folder: Path) -> list[str]:
    """Return the relative paths of all image files in a folder and its subfolders, sorted, with `/` as separator.

    The file types are read from the directory entries, which avoids a `stat` call per file. Links to folders and
    folders without read permission are skipped.

    Raises:
        UserError: if the folder contains no image file.
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
        raise UserError(
            f"{folder} must contain at least one image file ({', '.join(sorted(SUFFIXES))}), got none. "
            "Choose a folder with image files."
        )
    return sorted(names)


def _is_image_file(entry: os.DirEntry[str]) -> bool:
    """Return whether a directory entry is a file, or a link to a file, with the suffix of an image format."""
    if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:
        return False
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path)


def decode_files(
    files: Sequence[File], decode: Callable[[File], np.ndarray], title: str
) -> Callable[[np.ndarray], dict[int, str]]:
    """Return a function that decodes image files in threads. It is the argument `fill` of `cached_images`.

    The function writes the decoded images into an array (N, C, H, W). It does not write the images of unreadable files,
    and returns a dict with their indices and the reasons.

    Args:
        files: N image files.
        decode: function that reads one file into an array (C, H, W). It may raise `UnreadableImageError`.
        title: text next to the progress bar in the terminal.
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
    """Read N image files into one uint8 array (N, C, H, W).

    Args:
        files: paths of the files.
        decode: function that reads one file into an array (C, H, W).

    Raises:
        UserError: if one or more files are unreadable. The message names up to `MAX_NAMED_FILES` of these files.
    """
    images, unreadable = [], {}
    for file in files:
        try:
            images.append(decode(file))
        except UnreadableImageError as error:
            unreadable[file] = error.reason
    if unreadable:
        raise UserError(f"{describe_unreadable(unreadable, len(files))} Remove or repair these files.")
    return np.stack(images)


def describe_unreadable(reasons: Mapping[Path, str], count: int) -> str:
    """Return a sentence about unreadable files: their number, and names and reasons for the first of them.

    Args:
        reasons: reason for each unreadable file.
        count: number of all files, readable or not.
    """
    named = [
        f"{printable_name(str(file))} ({reason})" for file, reason in itertools.islice(reasons.items(), MAX_NAMED_FILES)
    ]
    remaining = len(reasons) - len(named)
    if remaining:
        named.append(f"and {remaining:,} more")
    return f"{len(reasons):,} of {count:,} image files cannot be read: {', '.join(named)}."


def _decoding_reason(error: Exception) -> str:
    """Return the reason why an image cannot be decoded, without the file path in the message from Pillow."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image format that Pillow supports"
    if isinstance(error, Image.DecompressionBombError) and Image.MAX_IMAGE_PIXELS is not None:
        return f"more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels"
    if isinstance(error, (OSError, ValueError)) and str(error):
        return str(error).splitlines()[0]
    return short_reason(error)


def _convert_to_eight_bit(image: Image.Image) -> Image.Image:
    """Scale gray images with more than 8 bits to 8 bits, and put transparent images on a white background.

    Pillow alone would clip gray values above 255. For images of the Pillow modes `I` (int32) and `F` (float32), the
    white level is not known. It is set to 65535 if a value exceeds 255, to 1 if the mode is `F` and no value exceeds 1,
    and to 255 otherwise.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("it contains NaN or infinity")
        white = 65535 if image.mode.startswith("I;16") or values.max() > 255 else 255
        if image.mode == "F" and values.max() <= 1:
            white = 1
        return Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image
