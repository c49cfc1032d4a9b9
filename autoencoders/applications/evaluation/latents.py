"""Statistics of the latents: active units, KL divergence per latent, gap between aggregate posterior and prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import bootstrap_error, column_variances
from autoencoders.applications.evaluation.table import RESAMPLES, Row
from autoencoders.metrics.aggregate_posterior import gap_to_prior
from autoencoders.metrics.dimension import ACTIVE_VARIANCE
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.runs.run import Run
from autoencoders.types import UserError
from autoencoders.utils import counter_rng

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Latents(NamedTuple):
    """Posteriors q(z | x) of the N images of a split, as float64 tensors on the CPU.

    Attributes:
        mean: posterior means (N, Z).
        sample: one posterior sample per image (N, Z).
        kl: KL divergence from the prior per image and latent (N, Z), in nats; (N, 0) for a prior that is a mixture.
    """

    mean: Tensor
    sample: Tensor
    kl: Tensor


@torch.no_grad()
def encode_latents(run: Run, split: str) -> Latents:
    """Encode every image of a split. The sampling noise depends on the split and on the index of the image.

    Raises:
        UserError: if the posterior is a single point. This is so for an autoencoder without a prior.
    """
    posteriors = []
    for batch in run.prepare().data.evaluation_batches(split):
        y = None if batch.y is None else batch.y.to(run.model.device)
        posterior = run.model.posterior(batch.x.to(run.model.device), y)
        eps = evaluation_noise(run.model, batch.index.to(run.model.device), split)
        if eps is None:
            raise UserError(
                f"The model must have a posterior that can be sampled, got {run.model.name}. Use a VAE or a CVAE."
            )
        kl = run.model.code_density(y).kl(posterior)
        kl = posterior.mean[:, :0] if kl is None else kl
        posteriors.append((posterior.mean, posterior.sample(eps), kl))
    return Latents(*(torch.cat(column).double().cpu() for column in zip(*posteriors, strict=True)))


def latents_table(found: Latents) -> pd.DataFrame:
    """Return a table with one row per latent: mean KL divergence in nats, variance of the posterior mean, activity.

    The rows are in descending order of the KL divergence. For a prior that is a mixture, there is no KL divergence per
    latent, and the rows are in descending order of the variance.
    """
    variance = found.mean.var(0, correction=0)
    columns: dict[str, Any] = {"latent": np.arange(len(variance))}
    if found.kl.numel():
        columns |= {"kl": found.kl.mean(0), "kl +-": (column_variances(found.kl) / len(found.kl)).sqrt()}
    columns |= {"variance of posterior mean": variance, "active": (variance > ACTIVE_VARIANCE).numpy()}
    key = "kl" if "kl" in columns else "variance of posterior mean"
    return pd.DataFrame(columns).sort_values(key, ascending=False, ignore_index=True)


def latent_rows(run: Run, found: Latents) -> list[Row]:
    """Return rows with the number of active units, and the gap between aggregate posterior and prior.

    There are rows with the gap only for the standard normal prior. The reference for the gap is the same number of
    samples from the prior. The gap of these samples is not 0, because it is estimated from a finite number of samples.
    """
    name, (count, size) = run.model.name, found.mean.shape
    active = int((found.mean.var(0, correction=0) > ACTIVE_VARIANCE).sum())
    units = Row("active units", f"of {size}", name, float(active), count,
                f"latents whose posterior mean has variance > {ACTIVE_VARIANCE}")  # fmt: skip
    if not run.model.has_standard_prior:
        return [units]
    gap = gap_to_prior(found.sample)
    error = bootstrap_error(lambda rows: gap_to_prior(found.sample[rows]), count, resamples=RESAMPLES)
    rows = torch.arange(count)
    draws = [
        gap_to_prior(counter_rng.normal(counter_rng.derive_seed(i, "prior"), rows, size)) for i in range(RESAMPLES)
    ]
    note = "" if count > size else f"n/a: {count} images are too few for a covariance of {size} latents"
    return [
        units,
        Row("aggregate gap", "nats", name, (gap, error), count, note or "KL(Gaussian fit of q(z) || N(0, I))"),
        Row("aggregate gap", "nats", "N(0, I)", (float(np.mean(draws)), float(np.std(draws, ddof=1))), count,
            note or "same number of samples from the prior; +- over sample sets"),
    ]  # fmt: skip


def kl_figure(run: Run, table: pd.DataFrame, split: str) -> Figure:
    """Plot the KL divergence of each latent as a bar."""
    from autoencoders.figures.bars import kl_bars

    active = table["active"].to_numpy()
    caption = f"mean KL on {split} images: {table['kl'].sum():.2f} nats; {active.sum()} of {len(table)} latents active"
    latent, kl, errors = (table[key].to_numpy() for key in ("latent", "kl", "kl +-"))
    return kl_bars(latent, kl, errors, active, run.title, caption)
