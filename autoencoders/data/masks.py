"""Ground-truth masks of anomalies: find the mask file of each image, and read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from autoencoders.data.fitting import fit_picture
from autoencoders.data.image_io import UnreadableImageError, is_image_name, list_image_names
from autoencoders.types import UserError
from autoencoders.utils.error_messages import short_reason
from autoencoders.utils.names import printable_name

SUFFIX = "_mask"
"""Optional end of the name of a mask, as in MVTec AD: `scratch/000_mask.png` is the mask of `scratch/000.png`."""
GOOD = "good"
"""Name of the folder with normal images, which need no masks, as in MVTec AD."""


def read_mask(path: Path, size: tuple[int, int], fit: str = "crop", box: int | None = None) -> np.ndarray:
    """Read a black and white image file as a mask, with the nearest pixels instead of interpolation.

    Args:
        path: path of the file. White is 255, or 1 in a file without larger values.
        size: height and width (H, W) of the result, in pixels.
        fit: how the mask gets the aspect ratio of `size`; see `fitting.fit_picture`. A border is black.
        box: side of a central square to which the mask is cropped first; None for no such crop.

    Returns:
        Mask (H, W) bool: whether a pixel is white.

    Raises:
        UnreadableImageError: if the file is damaged or not an image.
        UserError: if the image is not black and white.
    """
    try:
        with Image.open(path) as opened:
            ImageOps.exif_transpose(opened, in_place=True)
            picture = opened.copy() if opened.mode == "P" and "transparency" not in opened.info else opened.convert("L")
    except Exception as error:  # Pillow raises many types of exceptions for files that are not images
        raise UnreadableImageError(path, short_reason(error)) from error
    values = np.asarray(picture)
    brightest = int(values.max(initial=0))
    if 1 < brightest < 128:
        raise UserError(
            f"Masks must be black and white (pixel values 0 and 255, or 0 and 1), got values up to {brightest} in "
            f"{printable_name(str(path))}. Save the mask as a PNG file in black and white."
        )
    white = values > (127 if brightest > 1 else 0)
    fitted = fit_picture(Image.fromarray(white.astype(np.uint8)), size, fit, box, mask=True)
    return np.asarray(fitted) > 0


def match_masks(images: Sequence[str], masks: Path) -> list[Path | None]:
    """Return the mask file of each image, or None for an image in a folder named `good` that has no mask.

    A mask has the path of its image relative to the folder, with any suffix of an image file, and with or without
    `_mask` at the end of the name.

    Args:
        images: N names of the images, relative to their folder.
        masks: folder with the masks.

    Raises:
        UserError: if the folder does not exist, an image has no mask or two masks, or a mask has no image.
    """
    if not masks.is_dir():
        raise UserError(f"masks must be a folder of mask files, got {masks}. Set masks to an existing folder.")
    files: dict[str, list[str]] = {}
    for name in list_image_names(masks):
        files.setdefault(_stem(name).removesuffix(SUFFIX), []).append(name)
    stems = {_stem(name): name for name in images}
    if len(stems) < len(images):
        raise UserError("With masks, the names of two images must differ without their suffixes. Rename the images.")
    _check_names(stems, files, masks)
    return [masks / files[stem][0] if stem in files else None for stem in stems]


def _stem(name: str) -> str:
    """Return the path of a file without the suffix of an image format."""
    return name.rpartition(".")[0] if is_image_name(name.rpartition("/")[2]) else name


def _check_names(stems: Mapping[str, str], files: Mapping[str, Sequence[str]], masks: Path) -> None:
    """Raise UserError if an image has no mask or two masks, or a mask has no image.

    Args:
        stems: name without suffix -> name of the image.
        files: name without suffix and `_mask` -> names of the masks.
        masks: folder with the masks.
    """
    if missing := [name for stem, name in stems.items() if stem not in files and GOOD not in name.split("/")[:-1]]:
        raise UserError(
            f"Each image must have a mask in {masks} with the same name, or with {SUFFIX} at its end, but "
            f"{len(missing):,} of {len(stems):,} images have none, such as {missing[0]}. Add a black mask for an image "
            f"without anomalies, or move the image to a subfolder named {GOOD}."
        )
    if unknown := [names[0] for stem, names in files.items() if stem not in stems]:
        raise UserError(
            f"Each mask must have the name of an image, but {len(unknown):,} of the masks in {masks} do not, such as "
            f"{printable_name(unknown[0])}. Rename or remove these files."
        )
    if double := [names for names in files.values() if len(names) > 1]:
        raise UserError(f"An image must have one mask, got {double[0][0]} and {double[0][1]} in {masks}. Remove one.")
