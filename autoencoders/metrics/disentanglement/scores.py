"""All scores of one set of codes, with bootstrap standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from autoencoders.metrics.disentanglement.dci import dci
from autoencoders.metrics.disentanglement.explicitness import explicitness
from autoencoders.metrics.disentanglement.fixed_factors import Votes, beta_vae_score, factor_vae_score
from autoencoders.metrics.disentanglement.mutual_information import (
    discretize,
    entropies,
    modularity,
    mutual_information_gap,
    mutual_information_matrix,
)
from autoencoders.metrics.disentanglement.sap import predictability, sap_score


@dataclass(frozen=True)
class ScoreProtocol:
    """Numbers with which the scores are computed.

    Attributes:
        bins: number of bins per latent, for mutual information.
        held_out: share of the codes on which predictors are tested. They are trained on the others.
        votes: numbers of groups of images for the FactorVAE and BetaVAE scores.
        resamples: number of bootstrap samples for the standard errors; 0 for none.
        seed: seed of the division of the codes, of the predictors and of all samples.
    """

    bins: int = 20
    held_out: float = 1 / 3
    votes: Votes = field(default_factory=Votes)
    resamples: int = 5
    seed: int = 0

    def divide(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the indices of the training and test codes among `count` codes, at random."""
        order = np.random.default_rng(self.seed).permutation(count)
        test = min(max(1, round(self.held_out * count)), count - 1)
        return order[test:], order[:test]


@dataclass
class Scores:
    """Scores of one set of codes.

    Attributes:
        values: name of the score -> value.
        errors: name of the score -> bootstrap standard error, NaN without bootstrap samples.
        information: mutual information (Z, F) divided by the entropies of the factors.
        importance: importance (Z, F) of the latents in the predictors of DCI.
    """

    values: dict[str, float]
    errors: dict[str, float]
    information: np.ndarray
    importance: np.ndarray


def score_codes(codes: np.ndarray, factors: np.ndarray, ordered: Sequence[bool], protocol: ScoreProtocol) -> Scores:
    """Compute all scores, and their standard errors by a bootstrap (Efron, 1979).

    In each bootstrap sample, training and test codes are drawn with replacement from the training and test codes, the
    predictors are fitted again, and the groups of images of the FactorVAE and BetaVAE scores are drawn again.

    Args:
        codes: codes (N, Z), finite.
        factors: factor indices (N, F).
        ordered: whether the values of each factor have an order.
        protocol: numbers with which the scores are computed.
    """
    train, test = protocol.divide(len(codes))
    scores = _compute(codes, factors, ordered, train, test, protocol, protocol.seed)
    rng = np.random.default_rng(protocol.seed)
    samples: dict[str, list[float]] = {name: [] for name in scores.values}
    for i in range(protocol.resamples):
        parts = [part[rng.integers(0, len(part), len(part))] for part in (train, test)]
        found = _compute(codes, factors, ordered, parts[0], parts[1], protocol, protocol.seed + 1 + i)
        for name, value in found.values.items():
            samples[name].append(value)
    scores.errors = {name: _deviation(values) for name, values in samples.items()}
    return scores


def _compute(
    codes: np.ndarray,
    factors: np.ndarray,
    ordered: Sequence[bool],
    train: np.ndarray,
    test: np.ndarray,
    protocol: ScoreProtocol,
    seed: int,
) -> Scores:
    """Return all scores without standard errors; see `score_codes`."""
    rows = np.concatenate([train, test])
    pool, known = codes[rows], factors[rows]
    entropy = entropies(known)
    information = mutual_information_matrix(discretize(pool, protocol.bins), known)
    trees = dci(codes, factors, train, test, seed)
    values = {
        "MIG": mutual_information_gap(information, entropy),
        "disentanglement": trees.disentanglement,
        "completeness": trees.completeness,
        "informativeness": trees.informativeness,
        "SAP": sap_score(predictability(codes, factors, ordered, train, test)),
        "FactorVAE": factor_vae_score(pool, known, protocol.votes, seed),
        "BetaVAE": beta_vae_score(pool, known, protocol.votes, seed),
        "modularity": modularity(information),
        "explicitness": explicitness(codes, factors, train, test),
    }
    return Scores(values, {}, information / entropy, trees.importance)


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
