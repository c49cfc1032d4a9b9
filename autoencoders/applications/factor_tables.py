"""Tables of application=factors: scores, the protocol of each score, and the factor that each latent carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from autoencoders.applications.base import comparison_table
from autoencoders.applications.factor_codes import RANDOM, KnownFactors
from autoencoders.applications.latent_ranking import Latents
from autoencoders.metrics.disentanglement.dci import MIN_LEAF, TREES
from autoencoders.metrics.disentanglement.explicitness import ITERATIONS
from autoencoders.metrics.disentanglement.fixed_factors import MIN_IMAGES, Votes, usable_factors
from autoencoders.metrics.disentanglement.sap import ACTIVE_SHARE
from autoencoders.metrics.disentanglement.scores import ScoreProtocol, Scores

TABLES = {
    "gaps": ("MIG", "SAP", "modularity"),
    "dci": ("disentanglement", "completeness", "informativeness"),
    "classifiers": ("FactorVAE", "BetaVAE", "explicitness"),
}
"""Name of a table -> its scores. Three scores with their errors fit into the width of a terminal."""
ACTIVE = f"latents with a standard deviation < {ACTIVE_SHARE:g} of the largest are left out"
"""Which latents two of the scores leave out, for the table `protocol`."""

COLLAPSED = 0.01
"""KL in nats below which a latent carries no factor."""


class ScoreText(NamedTuple):
    """How a score was computed, as text.

    Attributes:
        score: name of the score.
        paper: authors and year.
        chance: value for codes that are independent of the factors; empty if it depends on the codes.
        text: estimator and its numbers.
    """

    score: str
    paper: str
    chance: str
    text: str

    @property
    def line(self) -> str:
        """The line of `protocol_table`."""
        chance = f"; by chance {self.chance}" if self.chance else ""
        return f"{self.score} ({self.paper}{chance}): {self.text}"


def score_tables(scores: Mapping[str, Scores]) -> dict[str, pd.DataFrame]:
    """Return the tables in `TABLES`, with one row per set of codes and two columns per score: value and standard error.

    Args:
        scores: name of the codes -> scores, the model first.
    """
    tables = {}
    for table, columns in TABLES.items():
        rows = {name: {c: (found.values[c], found.errors[c]) for c in columns} for name, found in scores.items()}
        tables[table] = comparison_table(rows)
    return tables


def protocol_table(known: KnownFactors, protocol: ScoreProtocol, codes: str, split: str) -> pd.DataFrame:
    """Return a table of text with one line per score: its paper, its value by chance, and how it was computed.

    The last lines state what holds for all scores.

    Args:
        known: factors and indices of the images.
        protocol: numbers with which the scores are computed.
        codes: `mean` or `sample`.
        split: split of the images.
    """
    train, test = (len(part) for part in protocol.divide(len(known.rows)))
    division = f"{train:,} training codes, {test:,} test codes"
    count, fixable = len(known.rows), len(usable_factors(known.indices))
    common = {
        "all scores": f"{count:,} evenly spaced {split} images; {codes} codes; seed {protocol.seed}; factors: "
        f"{factor_text(known)}",
        "standard errors": f"{protocol.resamples} bootstrap samples of training and test codes, with new predictors "
        "and new groups",
        "groups of images": f"drawn with replacement from the {count:,} images; values with fewer than {MIN_IMAGES} "
        f"images are not fixed; {fixable} of {len(known.factors.names)} factors can be fixed",
    }
    rows = [
        *information_rows(protocol.bins),
        *predictor_rows(known, division),
        *group_rows(protocol.votes, fixable),
    ]
    lines = [row.line for row in rows]
    lines += [f"{name}: {text}" for name, text in common.items()]
    return pd.DataFrame({"protocol": [f"{line}." for line in lines]})


def information_rows(bins: int) -> list[ScoreText]:
    """Return the lines of `protocol_table` for the scores from mutual information."""
    text = f"mutual information of the empirical distribution, {bins} bins of equal width per latent; all latents"
    return [
        ScoreText("MIG", "Chen et al. 2018", "0", text),
        ScoreText("modularity", "Ridgeway and Mozer 2018", "", text),
    ]


def predictor_rows(known: KnownFactors, division: str) -> list[ScoreText]:
    """Return the lines of `protocol_table` for the scores from predictors of the factors.

    Args:
        known: factors and indices of the images.
        division: numbers of training and test codes, as text.
    """
    most_frequent = np.mean([np.bincount(factor).max() / len(factor) for factor in known.indices.T])
    ordered = [name for name, order in zip(known.factors.names, known.factors.ordered, strict=True) if order]
    trees = f"ExtraTreesClassifier, {TREES} trees, >= {MIN_LEAF} codes per leaf, all latents per split; {division}"
    paper = "Eastwood and Williams 2018"
    sap = (
        f"R^2 of one latent over all codes for {', '.join(ordered) or 'no factor'}; else balanced accuracy of "
        f"thresholds (decision tree), {division}; {ACTIVE}"
    )
    linear = (
        f"mean ROC area per value; multinomial LogisticRegression, C=1, {ITERATIONS} iterations; standardized codes; "
        f"{division}"
    )
    return [
        ScoreText("disentanglement", paper, "0", f"DCI; Gini importance; {trees}"),
        ScoreText("completeness", paper, "0", f"DCI; Gini importance; {trees}"),
        ScoreText("informativeness", paper, f"{most_frequent:.3f}", f"DCI; mean test accuracy; {trees}"),
        ScoreText("SAP", "Kumar et al. 2018", "0", sap),
        ScoreText("explicitness", "Ridgeway and Mozer 2018", "0.5", linear),
    ]


def group_rows(votes: Votes, fixable: int) -> list[ScoreText]:
    """Return the lines of `protocol_table` for the scores from groups of images.

    Args:
        votes: numbers of groups and of images per group.
        fixable: number of factors that can be fixed in a group.
    """
    chance = f"{1 / fixable:.3f}" if fixable else ""
    groups = f"{votes.train:,} training groups, {votes.test:,} test groups"
    vote = f"majority vote of the latent with the lowest variance in {votes.images} images; {groups}; {ACTIVE}"
    linear = f"LogisticRegression on mean absolute differences in {votes.images} pairs; {groups}; standardized codes"
    return [
        ScoreText("FactorVAE", "Kim and Mnih 2018", chance, vote),
        ScoreText("BetaVAE", "Higgins et al. 2017", chance, linear),
    ]


def factor_text(known: KnownFactors) -> str:
    """Return the factors with their numbers of values, and the factors that are left out, as text."""
    pairs = zip(known.factors.names, known.factors.sizes, strict=True)
    text = ", ".join(f"{name} ({size})" for name, size in pairs)
    if known.constant:
        text += f"; constant and left out: {', '.join(known.constant)}"
    return text + (f"; {known.factors.note.rstrip('.')}" if known.factors.note else "")


def latent_table(ranking: Latents, scores: Mapping[str, Scores], model: str, names: Sequence[str]) -> pd.DataFrame:
    """Return a table with one row per latent, ordered by KL or variance: the factor that the latent carries.

    A latent carries the factor with which it shares most information, relative to the entropy of the factor. It carries
    none if this is not more than the largest value of any random code, whose true mutual information is 0, or if its KL
    is below `COLLAPSED`. The means of a collapsed latent may still share information with a factor, but its samples do
    not.

    Args:
        ranking: order and importance of the latents.
        scores: name of the codes -> scores, with the rows `model` and RANDOM.
        model: name of the model.
        names: names of the F factors.
    """
    information, chance = scores[model].information, scores[RANDOM].information.max(0)
    rows = []
    for latent in ranking.order.tolist():
        best = int(information[latent].argmax())
        collapsed = ranking.kind == "KL" and ranking.measure[latent] < COLLAPSED
        carried = "none" if collapsed or information[latent, best] <= chance[best] else names[best]
        row = {"latent": latent, ranking.kind: float(ranking.measure[latent]), "factor": carried}
        row |= {f"MI {name}": information[latent, j] for j, name in enumerate(names)}
        row |= {f"importance {name}": scores[model].importance[latent, j] for j, name in enumerate(names)}
        rows.append(row | {"MI": information[latent, best]})
    table = pd.DataFrame(rows)
    return table[["latent", ranking.kind, "factor", "MI", *[c for c in table.columns if " " in c]]]
