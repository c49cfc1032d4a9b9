"""Pixel statistics of a dataset: the mean image, and the MSE of a constant prediction."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from autoencoders.data.loader import CHUNK_ROWS, RowView
from autoencoders.types import Batch
from autoencoders.utils.chunks import chunk_slices


def mean_image(images: Tensor | RowView) -> Tensor:
    """Return the mean image (C, H, W) of uint8 images (N, C, H, W), as float64 in [0, 1]."""
    row_bytes = 8 * math.prod(images.shape[1:])
    total = torch.zeros(images.shape[1:], dtype=torch.float64)
    for chunk in chunk_slices(len(images), row_bytes, CHUNK_ROWS):
        total += images[chunk].double().sum(0)
    return total / (255 * len(images))


def mse_of_constant(constant: Tensor, batches: Iterable[Batch]) -> float:
    """Return the MSE per pixel if the image `constant` (C, H, W) is the prediction for every target in the batches."""
    total, pixels = 0.0, 0
    for batch in batches:
        total += (batch.target.double() - constant).square().sum().item()
        pixels += batch.target.numel()
    return total / pixels
