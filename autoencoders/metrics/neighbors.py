"""Pixel distances between images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoencoders.utils.chunks import chunk_slices
from autoencoders.utils.pixels import to_unit


def pixel_distances(images: Tensor, others: Tensor) -> Tensor:
    """Return root mean squared pixel differences (N, M) in float32 between all `images` and all `others`.

    Args:
        images: (N, C, H, W) floats in [0, 1].
        others: (M, C, H, W) floats in [0, 1] or stored images, or an object whose slices are such tensors. Stored
            images, uint8 or uint16, are converted to floats.
    """
    a = images.flatten(1).float() - 0.5  # smaller values have smaller rounding errors when squared
    parts = []
    for rows in chunk_slices(len(others), 4 * (a.shape[1] + len(a))):
        b = others[rows]
        b = (b.float() if b.is_floating_point() else to_unit(b)).flatten(1) - 0.5
        parts.append(torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist"))
    return torch.cat(parts, dim=1) / a.shape[1] ** 0.5


def within_label_deviation(images: Tensor, labels: Tensor) -> float:
    """Return the standard deviation of a pixel among images with the same label.

    The variances are averaged over pixels and labels, and the result is the square root. Labels with only one image are
    left out. The result is NaN if every label has only one image.

    Args:
        images: (N, C, H, W) images, or features with any shape (N, ...).
        labels: (N,) int64 labels of the images.
    """
    groups = [images[labels == label].flatten(1).double() for label in labels.unique()]
    variances = [group.var(0).mean() for group in groups if len(group) > 1]
    return float(torch.stack(variances).mean().sqrt()) if variances else math.nan
