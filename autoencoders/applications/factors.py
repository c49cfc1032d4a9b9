"""Disentanglement scores: how well single latents agree with the known generating factors of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import torch

from autoencoders.applications.base import check_count, flatten_table
from autoencoders.applications.factor_codes import code_sets, known_factors
from autoencoders.applications.factor_tables import COLLAPSED, factor_text, latent_table, protocol_table, score_tables
from autoencoders.applications.latent_ranking import Latents, measure_latents
from autoencoders.applications.traverse import decode_traversals, starting_point
from autoencoders.metrics.disentanglement.fixed_factors import Votes
from autoencoders.metrics.disentanglement.scores import ScoreProtocol, score_codes
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def factors(
    run: Run,
    *,
    split: str = "test",
    codes: str = "mean",
    count: int = 10_000,
    bins: int = 20,
    held_out: float = 1 / 3,
    groups: int = 2_000,
    test_groups: int = 5_000,
    group_size: int = 64,
    resamples: int = 5,
    latents: int = 10,
    steps: int = 9,
    reach: float = 2.0,
    row: int | None = 0,
    seed: int = 0,
) -> ApplicationResult:
    """Compare the latents with the generating factors of the images, for data whose factors are known.

    The scores are MIG, DCI (disentanglement, completeness, informativeness), SAP, FactorVAE, BetaVAE, modularity and
    explicitness. Their references are the true factors as codes, which show the largest value that a score can reach
    with this protocol, PCA, an untrained network, and random codes, which show its value by chance.

    Args:
        run: trained run whose codes are compared with the factors.
        split: split of the images.
        codes: `mean` for the means of the posteriors, `sample` for one sample of each.
        count: maximum number of images.
        bins: number of bins per latent for mutual information.
        held_out: share of the codes on which predictors are tested; they are trained on the others.
        groups: number of training groups of images for the FactorVAE and BetaVAE scores.
        test_groups: number of test groups of images.
        group_size: number of images, or of pairs of images, per group.
        resamples: number of bootstrap samples for the standard errors; 0 for none.
        latents: maximum number of latents in the figures.
        steps: number of images per latent in the figure `traversals`.
        reach: largest deviation of a latent from its mean in the figure `traversals`, in standard deviations of the
            prior, or of the codes for a model without a prior.
        row: index of the image in the split where traversals start; None for the mean code.
        seed: seed of all random numbers.

    Returns:
        Tables `gaps`, `dci` and `classifiers` with three scores each and one row per set of codes, `latents` with one
        row per latent (the factor that it carries, and its mutual information and importance for each factor), and
        `protocol` with one line of text per score. Figures `matrices` and `traversals`.

    Raises:
        UserError: if the factors of the data are not known, or an option is invalid.
    """
    check_options(count, bins, held_out, reach)
    for name, value in (("groups", groups), ("test_groups", test_groups), ("group_size", group_size), ("steps", steps)):
        check_count(value, name, 2)
    check_count(latents, "latents")
    check_count(resamples, "resamples", 0)
    known = known_factors(run, split, count)
    if len(known.rows) < 20:
        raise UserError(f"split={split} must have at least 20 images, got {len(known.rows)}. Choose another split.")
    protocol = ScoreProtocol(bins, held_out, Votes(groups, test_groups, group_size), resamples, seed)
    sets = code_sets(run, split, known, codes, seed)
    scores = {name: score_codes(z, known.indices, known.factors.ordered, protocol) for name, z in sets.items()}
    tables = score_tables(scores)
    ranking = measure_latents(run)
    carried = latent_table(ranking, scores, run.model.name, known.factors.names)
    figures = {
        "matrices": draw_matrices(run, carried, known.factors.names, latents, factor_text(known)),
        "traversals": draw_traversals(run, ranking, carried, split, row, latents, torch.linspace(-reach, reach, steps)),
    }
    metrics = {name: value for table in tables.values() for name, value in flatten_table(table).items()}
    tables |= {"latents": carried, "protocol": protocol_table(known, protocol, codes, split)}
    return ApplicationResult(metrics, figures, tables)


def check_options(count: int, bins: int, held_out: float, reach: float) -> None:
    """Raise UserError if a number is out of range; see `factors`."""
    check_count(count, "count", 20)
    check_count(bins, "bins", 2)
    if not 0 < held_out < 1:
        raise UserError(f"held_out must be a share of the codes between 0 and 1, got {held_out}.")
    if not reach > 0:
        raise UserError(f"reach must be a number > 0, in standard deviations, got {reach}.")


def draw_matrices(run: Run, carried: pd.DataFrame, names: tuple[str, ...], latents: int, caption: str) -> Figure:
    """Return the figure `matrices`: mutual information and importance of the first latents for each factor.

    Args:
        run: trained run.
        carried: table `latents`.
        names: names of the factors.
        latents: maximum number of latents.
        caption: text below the title.
    """
    from autoencoders.figures.factor_matrices import factor_matrices

    shown = carried.head(latents)
    kind = str(carried.columns[1])
    matrices = {
        "mutual information / entropy of the factor": shown[[f"MI {name}" for name in names]].to_numpy(),
        "importance (DCI)": shown[[f"importance {name}" for name in names]].to_numpy(),
    }
    rows = [f"z {latent}, {kind} {measure:.2f}" for latent, measure in zip(shown["latent"], shown[kind], strict=True)]
    return factor_matrices(matrices, rows, names, run.title, caption)


def draw_traversals(
    run: Run, ranking: Latents, carried: pd.DataFrame, split: str, row: int | None, latents: int, offsets: torch.Tensor
) -> Figure:
    """Return the figure `traversals`: one row of images per latent, with the factor that the latent carries.

    Args:
        run: trained run.
        ranking: order, center and scale of the latents.
        carried: table `latents`.
        split: split to which `row` refers.
        row: index of the image where traversals start; None for the mean code.
        latents: maximum number of latents.
        offsets: (S,) deviations of the latent from its mean, in standard deviations.
    """
    from autoencoders.figures.grids import image_grid

    start, label, start_name = starting_point(run, ranking, split, None, row)
    shown = carried.head(latents)
    decoded = decode_traversals(run, ranking, shown["latent"].tolist(), start, label, offsets)
    texts = [
        f"z {values['latent']}, {ranking.kind} {values[ranking.kind]:.2f}: {values['factor']}"
        + (f" {values['MI']:.2f}" if values["factor"] != "none" else "")
        for values in shown.to_dict("records")
    ]
    unit = "the prior" if run.model.has_standard_prior else "the codes"
    caption = (
        f"factor: largest mutual information / entropy of the factor; none: KL < {COLLAPSED:g} nats, or not above "
        "random codes; "
        f"start: {start_name}; columns: latent minus its mean, in standard deviations of {unit}"
    )
    columns = [f"{offset:+.1f}" for offset in offsets.tolist()]
    return image_grid(to_numpy(decoded), run.title, rows=texts, columns=columns, caption=caption)
