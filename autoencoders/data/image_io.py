"""Find and decode image files, including palette, 16-bit, transparent and EXIF-rotated images."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from autoencoders.data.bit_depth import file_loses_bits, loses_bits, reduced_fact, reduced_note
from autoencoders.data.fitting import fit_picture
from autoencoders.data.image_cache import Contents
from autoencoders.data.white_point import (
    Levels,
    UnknownWhiteError,
    choose_white,
    levels_fact,
    measure_levels,
    merge_levels,
    scale_pixels,
)
from autoencoders.types import UserError
from autoencoders.utils import console
from autoencoders.utils.error_messages import short_reason
from autoencoders.utils.names import printable_name

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MAX_NAMED_FILES = 3
"""Maximum number of unreadable files that an error message names."""
FILES_PER_TASK = 32
"""Number of files that a thread decodes per task. With one small file per task, the overhead would dominate."""

File = TypeVar("File", Path, str)


class UnreadableImageError(UserError):
    """Raised for a file that is damaged or not an image. The attribute `reason` states the cause in a few words."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(
            f"{printable_name(str(path))} cannot be read as an image ({reason}). Remove or repair the file."
        )
        self.reason = reason


def read_image(
    path: Path | str,
    size: tuple[int, int],
    *,
    color: bool,
    fit: str = "crop",
    box: int | None = None,
    white: float | None = None,
    depth: int = 8,
    reduced: set[Path | str] | None = None,
) -> np.ndarray:
    """Decode an image file, rotate it as its EXIF data requires, crop it and resize it.

    Args:
        path: path of the image file. Text is faster than a Path object.
        size: height and width (H, W) of the result, in pixels.
        color: return three color channels, else one gray channel.
        fit: how the image gets the aspect ratio of `size`: `crop`, `pad` or `stretch`; see `fitting.fit_picture`.
        box: side, in pixels, of a central square to which the image is cropped first; None for no such crop. A
            dimension of the image that is smaller than `box` is not cropped.
        white: pixel value of white in images with more than 8 bits, or None if it is not known.
        depth: number of bits of a pixel value of the result, 8 or 16.
        reduced: set to which `path` is added if the file has 16 bits per color channel, because they are read with 8.

    Returns:
        Image (C, H, W), uint8 or uint16.

    Raises:
        UnknownWhiteError: if the image has more than 8 bits and `white` is None.
        UnreadableImageError: if the file is damaged or not an image.
        UserError: if the file cannot be read because of the disk, the permissions or too little memory.
    """
    try:
        with Image.open(path) as opened:
            if reduced is not None and loses_bits(opened):
                reduced.add(path)
            ImageOps.exif_transpose(opened, in_place=True)  # else it copies an image that needs no rotation
            image = _flatten(opened, color, white)
    except UnknownWhiteError:
        raise
    except Exception as error:  # Pillow raises many types of exceptions for files that are not images
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise UserError(f"{printable_name(str(path))} cannot be read ({short_reason(error)}).") from error
        raise UnreadableImageError(path, _decoding_reason(error)) from error
    pixels = np.asarray(fit_picture(image, size, fit, box))
    pixels = scale_pixels(pixels, white if image.mode == "F" and white is not None else 255, depth)
    if pixels.ndim == 3:
        return pixels.transpose(2, 0, 1)
    return np.repeat(pixels[None], 3 if color else 1, axis=0)


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
    """Return the relative paths of all image files in a folder and its subfolders, with `/` as separator.

    The paths are sorted by their bytes, so that the order does not depend on the locale, which determines how bytes
    that are not ASCII are decoded. The file types are read from the directory entries, which avoids a `stat` call per
    file. Links to folders and folders without read permission are skipped.

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
                elif is_image_name(entry.name) and _is_file(entry):
                    names.append(inner + entry.name)
    if not names:
        raise UserError(
            f"{folder} must contain at least one image file ({', '.join(sorted(SUFFIXES))}), got none. "
            "Choose a folder with image files."
        )
    return sorted(names, key=None if all(map(str.isascii, names)) else os.fsencode)


def is_image_name(name: str) -> bool:
    """Return whether a file name has the suffix of an image format. A name such as `.png` has no suffix."""
    return name.lstrip(".").lower().endswith(SUFFIXES)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether a directory entry is a file or a link to a file."""
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path)


def decode_files(
    files: Sequence[File],
    decode: Callable[..., np.ndarray],
    title: str,
    white: float | None = None,
    reduced: Collection[Path | str] = (),
) -> Callable[[np.ndarray], Contents]:
    """Return a function that decodes image files in threads. It is the argument `fill` of `cached_images`.

    The function writes the decoded images into an array (N, C, H, W). It does not write the images of unreadable files,
    and returns a dict with their indices and the reasons. Images with more than 8 bits are decoded again after all
    other images, with one white point for all of them.

    Args:
        files: N image files.
        decode: function that reads one file into an array (C, H, W). Its optional second argument is the white point
            of images with more than 8 bits. It may raise `UnreadableImageError` and `UnknownWhiteError`.
        title: text next to the progress bar in the terminal.
        white: value of `data.white`.
        reduced: collection to which `decode` adds the files with 16 bits per color channel; see `read_image`.
    """

    def fill(images: np.ndarray) -> Contents:
        images = np.asarray(images)  # rows of a memory map are slower to assign
        deep: dict[int, Levels] = {}

        def decode_rows(rows: Sequence[int], *arguments: float) -> dict[int, str]:
            reasons = {}
            for row in rows:
                try:
                    images[row] = decode(files[row], *arguments)
                except UnknownWhiteError as error:
                    deep[row] = error.levels
                except UnreadableImageError as error:
                    reasons[row] = error.reason
            return reasons

        unreadable = _decode_in_threads(decode_rows, range(len(files)), title)
        levels = merge_levels(deep.values())
        if levels is not None:
            chosen = choose_white(levels, white)
            unreadable |= _decode_in_threads(lambda rows: decode_rows(rows, chosen), sorted(deep), title)
        return Contents(unreadable, facts=levels_fact(levels) | reduced_fact(len(reduced)))

    return fill


def _decode_in_threads(
    decode_rows: Callable[[Sequence[int]], dict[int, str]], rows: Sequence[int], title: str
) -> dict[int, str]:
    """Call `decode_rows` in threads with at most `FILES_PER_TASK` rows at a time, and return all reasons."""
    chunks = [rows[start : start + FILES_PER_TASK] for start in range(0, len(rows), FILES_PER_TASK)]
    unreadable: dict[int, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = zip(chunks, pool.map(decode_rows, chunks), strict=True)
        try:
            for _, reasons in console.track_progress(results, title, len(rows), size=lambda result: len(result[0])):
                unreadable |= reasons
        except BaseException:  # for example Ctrl-C: do not wait until all images are decoded
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return unreadable


def read_all(files: Sequence[Path], decode: Callable[..., np.ndarray], white: float | None = None) -> np.ndarray:
    """Read N image files into one array (N, C, H, W). Images with more than 8 bits have a common white point.

    Print the number of files with 16 bits per color channel, because they are read with 8 bits.

    Args:
        files: paths of the files.
        decode: function that reads one file into an array (C, H, W); see `decode_files`.
        white: pixel value of white in images with more than 8 bits. None: it is decided from these files.

    Raises:
        UserError: if one or more files are unreadable. The message names up to `MAX_NAMED_FILES` of these files.
    """
    images: dict[Path, np.ndarray] = {}
    unreadable, deep = {}, {}
    for file in files:
        try:
            images[file] = decode(file)
        except UnknownWhiteError as error:
            deep[file] = error.levels
        except UnreadableImageError as error:
            unreadable[file] = error.reason
    if unreadable:
        raise UserError(f"{describe_unreadable(unreadable, len(files))} Remove or repair these files.")
    if note := reduced_note(sum(map(file_loses_bits, files))):
        print(f"autoencoders: {note}", file=sys.stderr)
    levels = merge_levels(deep.values())
    if levels is not None:
        images |= {file: decode(file, choose_white(levels, white)) for file in deep}
    return np.stack([images[file] for file in files])


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


def _flatten(image: Image.Image, color: bool, white: float | None) -> Image.Image:
    """Convert an image to the mode `RGB` or `L`, with a white background if it is transparent.

    An image that has this mode is returned itself. An image with more than 8 bits becomes an image of the mode `F`
    with unchanged pixel values.

    Raises:
        UnknownWhiteError: if the image has more than 8 bits and `white` is None.
        ValueError: if a pixel value is not finite.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image)
        levels = measure_levels(values)
        if white is None:
            raise UnknownWhiteError(levels)
        return Image.fromarray(values.astype(np.float32))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    mode = "RGB" if color else "L"
    return image if image.mode == mode else image.convert(mode)
