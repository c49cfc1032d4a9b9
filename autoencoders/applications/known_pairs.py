"""Known near-duplicates and known different images, on which the threshold of `duplicates` is chosen and measured."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import comparison_table, mean_and_error, spread_rows
from autoencoders.applications.image_set import ImageSet
from autoencoders.applications.own_neighbors import Encoder
from autoencoders.metrics.near_duplicates import choose_threshold, duplicate_quality
from autoencoders.metrics.retrieval import nearest_neighbors, neighbor_distances
from autoencoders.utils import counter_rng

CHANGES = ("shift", "brightness", "noise", "resize")
"""Changes that make a near-duplicate of an image."""
SHIFT, BRIGHTNESS, NOISE = 1 / 32, 0.1, 0.03
"""Size of the changes: fraction of the side by which an image is shifted in both directions, relative change of the
brightness, and standard deviation of the noise for pixels in [0, 1]. `resize` halves the size and restores it."""


class KnownPairs(NamedTuple):
    """Distances of known pairs, one near-duplicate and one different image for each of M images.

    Attributes:
        positive: (M,) distances between an image and its changed copy.
        negative: (M,) distances between an image and the nearest other image.
    """

    positive: np.ndarray
    negative: np.ndarray


def change_images(x: Tensor, seed: int = 0) -> Tensor:
    """Return changed copies of images, image i with change i modulo 4 of CHANGES, in 8 bits.

    Args:
        x: images (N, C, H, W) in [0, 1].
        seed: seed of the noise and of the direction of a shift and of a change of brightness.
    """
    changed = x.clone()
    noise = counter_rng.normal(seed, torch.arange(len(x)), x[0].numel()).view_as(x)
    signs = counter_rng.uniform(seed + 1, torch.arange(len(x)), 2) < 0.5
    for i, image in enumerate(x):
        change, first, second = CHANGES[i % len(CHANGES)], bool(signs[i, 0]), bool(signs[i, 1])
        if change == "shift":
            changed[i] = shift_image(image, first, second)
        elif change == "brightness":
            changed[i] = image * (1 + BRIGHTNESS if first else 1 - BRIGHTNESS)
        elif change == "noise":
            changed[i] = image + NOISE * noise[i]
        else:
            half = [max(side // 2, 1) for side in image.shape[1:]]
            small = functional.interpolate(image[None], size=half, mode="bilinear", antialias=True)
            changed[i] = functional.interpolate(small, size=list(image.shape[1:]), mode="bicubic")[0]
    return (changed.clamp(0, 1) * 255).round() / 255


def shift_image(image: Tensor, down: bool, right: bool) -> Tensor:
    """Return an image (C, H, W) shifted by SHIFT of its sides in both directions, with repeated pixels at the edges."""
    height, width = image.shape[1:]
    y, x = max(1, round(SHIFT * height)), max(1, round(SHIFT * width))
    padded = functional.pad(image[None], (x, x, y, y), mode="replicate")[0]
    top, left = 0 if down else 2 * y, 0 if right else 2 * x
    return padded[:, top : top + height, left : left + width]


def known_pairs(
    images: ImageSet, features: dict[str, Tensor], encoders: dict[str, Encoder], metrics: dict[str, str], count: int
) -> dict[str, KnownPairs]:
    """Return the distances of known pairs for each representation.

    Args:
        images: N images.
        features: representation -> features (N, D) of the images.
        encoders: representation -> function that computes it.
        metrics: representation -> distance between its features.
        count: M, the maximum number of images with known pairs, which are evenly spaced.
    """
    rows = spread_rows(count, len(images))
    batch = images.batch(rows)
    changed = batch._replace(x=change_images(batch.target))
    pairs = {}
    for name, encode in encoders.items():
        own = features[name][rows]
        numbers = torch.arange(len(rows))[:, None]  # the copy of each image
        positive = neighbor_distances(own, encode(changed), numbers, metrics[name])[:, 0]
        index, _ = nearest_neighbors(features[name], own, 1, metrics[name], itself=rows)
        negative = neighbor_distances(own, features[name], index, metrics[name])[:, 0]
        pairs[name] = KnownPairs(positive.numpy(), negative.numpy())
    return pairs


def measure_thresholds(pairs: dict[str, KnownPairs]) -> tuple[dict[str, float], Any]:
    """Choose the threshold of each representation on half of the known pairs, and measure it on the other half.

    Returns:
        Representation -> threshold. Table with one row per representation: threshold; precision, recall and F1 score on
        the other half; recall for each change; and the number of measured pairs of each kind. The row `chance` calls
        each pair a duplicate.
    """
    thresholds, rows = {}, {}
    for name, (positive, negative) in pairs.items():
        number = np.arange(len(positive))
        measured = (number // len(CHANGES)) % 2 == 1  # both halves contain all changes
        if measured.all() or not measured.any():
            measured = number % 2 == 1
        threshold = choose_threshold(positive[~measured], negative[~measured])
        thresholds[name] = threshold
        hits = torch.from_numpy(positive[measured] <= threshold).float()
        quality = duplicate_quality(positive[measured], negative[measured], threshold)
        row: dict[str, Any] = {"precision": quality["precision"], "recall": mean_and_error(hits), "f1": quality["f1"]}
        kinds = number[measured] % len(CHANGES)
        row |= {change: float(hits[kinds == i].mean()) for i, change in enumerate(CHANGES)}
        rows[name] = row | {"threshold": threshold, "pairs": int(measured.sum())}
    count = next(iter(rows.values()))["pairs"]
    rows["chance"] = {"precision": 0.5, "recall": (1.0, np.nan), "f1": 2 / 3, "pairs": count}
    return thresholds, comparison_table(rows)
