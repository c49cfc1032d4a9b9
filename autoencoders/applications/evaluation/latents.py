"""Use of the latents: active units, KL per latent, gap between aggregate posterior and prior."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import bootstrap_error
from autoencoders.applications.evaluation.table import RESAMPLES, Row
from autoencoders.metrics.aggregate_posterior import gap_to_prior
from autoencoders.metrics.running_sums import ACTIVE_VARIANCE
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.runs.run import Run
from autoencoders.types import UserError
from autoencoders.utils import counter_rng

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Latents(NamedTuple):
    """Posteriors of a split, (N, Z) each: mean, one sample, and KL per latent in nats."""

    mean: Tensor
    sample: Tensor
    kl: Tensor


@torch.no_grad()
def encode_latents(run: Run, split: str) -> Latents:
    """Encode every image of a split."""
    posteriors = []
    for batch in run.prepare().data.evaluation_batches(split):
        y = None if batch.y is None else batch.y.to(run.model.device)
        posterior = run.model.posterior(batch.x.to(run.model.device), y)
        eps = evaluation_noise(run.model, batch.index.to(run.model.device), split)
        if eps is None:
            raise UserError(f"{run.model.name} has no posterior to sample from. Use a VAE or a CVAE.")
        posteriors.append((posterior.mean, posterior.sample(eps), posterior.kl()))
    return Latents(*(torch.cat(column).double().cpu() for column in zip(*posteriors, strict=True)))


def latents_table(found: Latents) -> pd.DataFrame:
    """Return one row per latent, ordered by KL."""
    variance = found.mean.var(0, correction=0)
    table = pd.DataFrame(
        {
            "latent": np.arange(len(variance)),
            "kl": found.kl.mean(0),
            "kl +-": found.kl.std(0) / math.sqrt(len(found.kl)),
            "variance of posterior mean": variance,
            "active": (variance > ACTIVE_VARIANCE).numpy(),
        }
    )
    return table.sort_values("kl", ascending=False, ignore_index=True)


def latent_rows(run: Run, found: Latents) -> list[Row]:
    """Return active units and the gap to the prior, with samples of the prior as baseline."""
    name, (count, size) = run.model.name, found.mean.shape
    active = int((found.mean.var(0, correction=0) > ACTIVE_VARIANCE).sum())
    gap = gap_to_prior(found.sample)
    error = bootstrap_error(lambda rows: gap_to_prior(found.sample[rows]), count, resamples=RESAMPLES)
    rows = torch.arange(count)
    draws = [
        gap_to_prior(counter_rng.normal(counter_rng.derive_seed(i, "prior"), rows, size)) for i in range(RESAMPLES)
    ]
    note = "" if count > size else f"n/a: {count} images are too few for a covariance of {size} latents"
    return [
        Row("active units", f"of {size}", name, float(active), count, f"variance of the mean > {ACTIVE_VARIANCE}"),
        Row("aggregate gap", "nats", name, (gap, error), count, note or "KL(Gaussian fit of q(z) || N(0, I))"),
        Row("aggregate gap", "nats", "N(0, I)", (float(np.mean(draws)), float(np.std(draws, ddof=1))), count,
            note or "as many true samples; +- between draws"),
    ]  # fmt: skip


def kl_figure(run: Run, table: pd.DataFrame, split: str) -> Figure:
    """Draw the KL per latent as bars."""
    from autoencoders.figures.bars import kl_bars

    active = table["active"].to_numpy()
    caption = f"{split} KL {table['kl'].sum():.2f} nats over {len(table)} latents, {active.sum()} of them active"
    latent, kl, errors = (table[key].to_numpy() for key in ("latent", "kl", "kl +-"))
    return kl_bars(latent, kl, errors, active, run.title, caption)
