"""FactorVAE and BetaVAE scores: which factor was fixed in a group of images is predicted from their codes.

The images are drawn, with replacement, from those that are available. A fixed value is drawn as often as it occurs.
Values with fewer than `MIN_IMAGES` images are not used.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from autoencoders.metrics.disentanglement.sap import active_latents

MIN_IMAGES = 8
"""Minimum number of images that show a value, so that this value can be fixed."""
TIE_DECIMALS = 9
"""Decimals to which relative variances are rounded. Rounding errors must not decide between equal variances, which
occur exactly if codes are rotated by 45 degrees. The first latent then has the vote.
"""
CHUNK = 500
"""Number of groups whose codes are gathered at a time, to limit the memory."""


class Votes(NamedTuple):
    """Numbers of groups of images.

    Attributes:
        train: number of groups with which the classifier is trained.
        test: number of groups on which its accuracy is measured.
        images: number of images (FactorVAE) or of pairs of images (BetaVAE) per group.
    """

    train: int = 2_000
    test: int = 5_000
    images: int = 64


DEFAULT_VOTES = Votes()


class FactorGroups:
    """The images of a dataset, grouped by the value of one factor.

    Args:
        factor: indices (N,) of the value of the factor.

    Attributes:
        usable: indices of the images whose value occurs at least `MIN_IMAGES` times.
    """

    def __init__(self, factor: np.ndarray) -> None:
        self._factor, counts = factor, np.bincount(factor)
        self._order, self._counts = np.argsort(factor, kind="stable"), counts
        self._starts = np.cumsum(counts) - counts
        self.usable = np.flatnonzero(counts[factor] >= MIN_IMAGES)

    def draw_values(self, rng: np.random.Generator, shape: int | tuple[int, int]) -> np.ndarray:
        """Return random values of the factor, each with the probability of its share of the images."""
        return self._factor[self.usable[rng.integers(0, len(self.usable), shape)]]

    def draw_images(self, rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
        """Return the index of a random image with each of the given values, an array of the same shape."""
        offsets = (rng.random(values.shape) * self._counts[values]).astype(np.int64)
        return self._order[self._starts[values] + offsets]


def usable_factors(factors: np.ndarray) -> np.ndarray:
    """Return the indices of the factors (N, F) of which at least one value has `MIN_IMAGES` images."""
    return np.array([j for j, factor in enumerate(factors.T) if np.bincount(factor).max() >= MIN_IMAGES], dtype=int)


def factor_vae_score(codes: np.ndarray, factors: np.ndarray, votes: Votes = DEFAULT_VOTES, seed: int = 0) -> float:
    """Return the FactorVAE score: accuracy of the prediction which factor all images of a group share.

    In each group, one factor, chosen at random, has the same value in all images. The latent with the lowest variance
    in the group, relative to its variance over all codes, is the vote of the group. The classifier predicts the factor
    for which this latent was most often the vote. Latents that are not active have no votes (see `active_latents`).
    Chance is about 1 / F. The result is NaN if fewer than two factors can be fixed.

    Source: Kim and Mnih, 2018, "Disentangling by factorising".

    Args:
        codes: codes (N, Z).
        factors: factor indices (N, F).
        votes: numbers of groups and of images per group.
        seed: seed of the groups.
    """
    fixable = usable_factors(factors)
    active = active_latents(codes)
    if len(fixable) < 2 or not active.any():
        return math.nan
    scaled = codes[:, active].astype(np.float64)
    scaled = scaled / scaled.std(0)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(fixable), votes.train + votes.test)
    latent = np.empty(len(chosen), dtype=np.int64)
    for k, j in enumerate(fixable):
        groups = FactorGroups(factors[:, j])
        for rows in _chunks(np.flatnonzero(chosen == k)):
            values = np.repeat(groups.draw_values(rng, len(rows))[:, None], votes.images, axis=1)
            variances = scaled[groups.draw_images(rng, values)].var(1, ddof=1)
            latent[rows] = variances.round(TIE_DECIMALS).argmin(1)
    counts = np.zeros((scaled.shape[1], len(fixable)))
    np.add.at(counts, (latent[: votes.train], chosen[: votes.train]), 1)
    predicted = counts.argmax(1)[latent[votes.train :]]
    return float((predicted == chosen[votes.train :]).mean())


def beta_vae_score(codes: np.ndarray, factors: np.ndarray, votes: Votes = DEFAULT_VOTES, seed: int = 0) -> float:
    """Return the BetaVAE score: accuracy of the prediction which factor the two images of all pairs in a group share.

    In each group, one factor, chosen at random, has the same value in both images of a pair. The features of a group
    are the mean absolute differences of the codes, divided by the standard deviations of the latents. The classifier is
    scikit-learn's `LogisticRegression`. Chance is about 1 / F. The result is NaN if fewer than two factors can be
    fixed.

    Source: Higgins et al., 2017, "beta-VAE: Learning basic visual concepts with a constrained variational framework".

    Args:
        codes: codes (N, Z).
        factors: factor indices (N, F).
        votes: numbers of groups and of pairs per group.
        seed: seed of the pairs.
    """
    from sklearn.linear_model import LogisticRegression

    fixable = usable_factors(factors)
    if len(fixable) < 2:
        return math.nan
    deviation = codes.astype(np.float64).std(0)
    scaled = codes / np.where(deviation > 0, deviation, 1)
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(fixable), votes.train + votes.test)
    features = np.empty((len(chosen), codes.shape[1]))
    for k, j in enumerate(fixable):
        groups = FactorGroups(factors[:, j])
        for rows in _chunks(np.flatnonzero(chosen == k)):
            values = groups.draw_values(rng, (len(rows), votes.images))
            first, second = groups.draw_images(rng, values), groups.draw_images(rng, values)
            features[rows] = np.abs(scaled[first] - scaled[second]).mean(1)
    classifier = LogisticRegression(max_iter=500).fit(features[: votes.train], chosen[: votes.train])
    return float(classifier.score(features[votes.train :], chosen[votes.train :]))


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, max(1, math.ceil(len(rows) / CHUNK)))
