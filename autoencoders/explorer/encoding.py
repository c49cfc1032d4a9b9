"""Text forms of arrays, files and images that a page contains."""

from __future__ import annotations

import base64
import gzip
import io
import math

import numpy as np
from PIL import Image
from torch import Tensor

SHEET_COLUMNS = 32
"""Number of images in one row of a sheet."""

JPEG_QUALITY = 90


def to_base64(content: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(content).decode()


def compress_bytes(content: bytes) -> str:
    """Compress bytes with gzip, and return them as base64 text. Equal bytes give equal texts."""
    return to_base64(gzip.compress(content, 9, mtime=0))


def compress_numbers(values: Tensor) -> str:
    """Return the values of a tensor as little-endian float32, compressed, as base64 text. The shape is not stored."""
    return compress_bytes(values.detach().cpu().numpy().astype("<f4").tobytes())


def draw_sheet(images: Tensor) -> str:
    """Return images (N, C, H, W) in [0, 1] as one image file in a data URI, with SHEET_COLUMNS images per row.

    Gray images are a PNG file. Color images are a JPEG file, which is several times smaller.
    """
    count, channels, height, width = images.shape
    rows = max(1, math.ceil(count / SHEET_COLUMNS))
    sheet = np.zeros((rows * height, SHEET_COLUMNS * width, 3 if channels >= 3 else 1), np.uint8)
    pixels = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    for index, image in enumerate(pixels):
        top, left = index // SHEET_COLUMNS * height, index % SHEET_COLUMNS * width
        sheet[top : top + height, left : left + width] = image[..., : sheet.shape[2]]
    stream = io.BytesIO()
    if channels >= 3:
        Image.fromarray(sheet).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        return f"data:image/jpeg;base64,{to_base64(stream.getvalue())}"
    Image.fromarray(sheet[..., 0]).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{to_base64(stream.getvalue())}"
