"""Near-duplicates: a threshold of the distance chosen on known pairs, and all pairs of features below a threshold."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.metrics.retrieval import feature_distances, neighbor_distances
from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices

HASH_SIDE = 8
"""Height of the reduced image, and number of differences per row, of the difference hash."""
ROUNDING = 4e-6
"""Upper bound of the error of a squared distance from a matrix product, relative to the largest squared norm."""

MOST_CANDIDATES = 100_000
"""Number of pairs per chunk, above the limit of `close_pairs`, whose exact distances are computed."""


def choose_threshold(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the threshold with the highest F1 score, where pairs with a distance <= threshold count as duplicates.

    Args:
        positive: (P,) distances of known near-duplicates.
        negative: (M,) distances of pairs of different images.
    """
    distances = np.concatenate([positive, negative])
    order = np.argsort(distances, kind="stable")
    distances = distances[order]
    hits = np.cumsum(order < len(positive))
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + len(positive))
    f1[:-1][distances[:-1] == distances[1:]] = -1  # a threshold does not separate equal distances
    best = int(f1.argmax())
    return float(distances[best : best + 2].mean())


def duplicate_quality(positive: np.ndarray, negative: np.ndarray, threshold: float) -> dict[str, float]:
    """Return precision, recall and F1 score of a threshold on known pairs; see `choose_threshold`."""
    hits, alarms = (positive <= threshold).sum(), (negative <= threshold).sum()
    found = hits + alarms
    return {
        "precision": float(hits / found) if found else np.nan,
        "recall": float(hits / len(positive)),
        "f1": float(2 * hits / (found + len(positive))),
    }


def close_pairs(features: Tensor, threshold: float, metric: str, limit: int) -> tuple[Tensor, Tensor, int]:
    """Find the pairs of N features with a distance of at most `threshold`, in chunks that bound the memory.

    Args:
        features: (N, D) features.
        threshold: largest distance of a pair.
        metric: `euclidean` or `cosine`.
        limit: maximum number of pairs that are returned.

    Returns:
        Pairs (K, 2) of indices, the smaller index first, nearest pair first; their distances (K,); and the number of
        all pairs, which may be greater than K. If a chunk has more than `limit` + MOST_CANDIDATES pairs, the number and
        the choice of the pairs depend on rounding errors of the distances.
    """
    if metric == "cosine":  # 1 - cosine similarity is half the squared distance of normalized features
        features, reach = functional.normalize(features, dim=1), (2 * max(threshold, 0)) ** 0.5
    elif metric == "euclidean":
        features, reach = features - features.mean(0), threshold
    else:
        raise UserError(f"metric must be euclidean or cosine, got {metric!r}.")
    reach = float(reach**2 + ROUNDING * features.square().sum(1).max()) ** 0.5
    pairs, distances, total = torch.empty(0, 2, dtype=torch.long), torch.empty(0), 0
    for rows in chunk_slices(len(features), 32 * len(features)):
        rough = feature_distances(features[rows], features[rows.start :])
        near = (rough <= reach).triu(1)
        found, rough = near.nonzero() + rows.start, rough[near]
        extra = 0
        if len(found) > limit + MOST_CANDIDATES:  # a useless threshold: exact distances would take minutes
            nearest = rough.topk(limit + MOST_CANDIDATES, largest=False).indices
            found, extra = found[nearest], len(found) - len(nearest)
        exact = pair_distances(features, found)
        exact = exact.square() / 2 if metric == "cosine" else exact
        keep = exact <= threshold
        total += int(keep.sum()) + extra
        pairs, distances = torch.cat([pairs, found[keep]]), torch.cat([distances, exact[keep]])
        if len(pairs) > limit:
            pairs, distances = _nearest(pairs, distances, limit)
    return *_nearest(pairs, distances, limit), total


def pair_distances(features: Tensor, pairs: Tensor, metric: str = "euclidean") -> Tensor:
    """Return the distances (K,) between the features (N, D) of pairs (K, 2) of indices, in chunks.

    Equal features have the distance 0; see `metrics.retrieval.neighbor_distances`.
    """
    found = [torch.empty(0)]
    for part in chunk_slices(len(pairs), 16 * features.shape[1]):
        first, second = pairs[part].T
        found.append(
            neighbor_distances(features[first], features[second], torch.arange(len(first))[:, None], metric)[:, 0]
        )
    return torch.cat(found)


def _nearest(pairs: Tensor, distances: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    order = distances.argsort(stable=True)[:limit]
    return pairs[order], distances[order]


def difference_hash(images: Tensor) -> Tensor:
    """Return the difference hash (N, 64) of images (N, C, H, W), with bits 0 and 1 as floats.

    The image is reduced to 8 x 9 gray pixels. A bit says whether a pixel is brighter than its right neighbor. The
    number of different bits of two images is the square of the Euclidean distance. See Krawetz (2013), "Kind of Like
    That", hackerfactor.com.
    """
    gray = images.mean(1, keepdim=True)
    size = (HASH_SIDE, HASH_SIDE + 1)
    small = functional.interpolate(gray, size=size, mode="bilinear", antialias=True, align_corners=False)
    return (small[..., :-1] > small[..., 1:]).flatten(1).float()
