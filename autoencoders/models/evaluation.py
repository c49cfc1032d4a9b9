"""What validation and test measure of a model, and the names that metrics have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoencoders.metrics.running_sums import active_units, psnr
from autoencoders.types import Batch
from autoencoders.utils import counter_rng

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder

EVALUATION_SEED = 0
"""Validation and test noise is the same for every run and every epoch, so that curves compare."""


def evaluation_noise(model: Autoencoder, index: Tensor, split: str, samples: int = 1) -> Tensor | None:
    """The posterior's noise, fixed by row: (B, Z), or (B, K, Z) for K samples; None for a model that draws nothing."""
    if not model.posteriors.stochastic:
        return None
    seed = counter_rng.derive_seed(EVALUATION_SEED, "eps", split)
    if samples == 1:
        return model.posteriors.by_row(seed, index, model.latent_dim)
    pairs = counter_rng.pair_indices(index, torch.arange(samples, device=index.device))
    return model.posteriors.by_row(seed, pairs, model.latent_dim).unflatten(0, (-1, samples))


def evaluation_sums(model: Autoencoder, batch: Batch, split: str) -> Tensor:
    """Sums over a batch, (5 + 3 Z,) float64: what `evaluation_metrics` reads the means of.

    However many samples an image has, no more pairs of image and sample pass the decoder together than B.
    """
    size = max(1, len(batch.x) // model.objective.samples)
    return torch.stack([_evaluated(model, part, split) for part in batch.parts(size)]).sum(0)


def _evaluated(model: Autoencoder, batch: Batch, split: str) -> Tensor:
    stochastic = model.posteriors.stochastic
    terms = model.terms(batch, evaluation_noise(model, batch.index, split, model.objective.samples))
    mean = terms.posterior.mean
    # The objective samples z; a reconstruction, and so its error, is that of the posterior mean.
    image = model.decode(mean, batch.y) if stochastic else terms.pixels.mean
    squares = (image - batch.target).flatten(1).square().mean(1)
    bound, extra = (torch.zeros_like(terms.rate) if part is None else part for part in (terms.bound, terms.extra))
    scalars = torch.stack([terms.distortion, terms.rate, bound, extra, squares], dim=1)
    latents = torch.cat([mean, mean.square(), terms.posterior.kl()], dim=1)  # (B, 3 Z)
    return torch.cat([scalars, latents], dim=1).double().sum(0)


def evaluation_metrics(model: Autoencoder, split: str, means: Tensor) -> dict[str, float]:
    """The metrics of a split from the means over its images of what `evaluation_sums` sums."""
    distortion, rate, bound, extra, mse = means[:5].tolist()
    loss = bound if model.objective.weighted else distortion + _price(model, rate, model.progress)
    metrics = named_metrics(model, split, distortion, rate, loss + extra)
    metrics |= {f"{split}/mse": mse, f"{split}/psnr": psnr(mse)}
    if model.posteriors.stochastic:
        mean, square, kl = means[5:].split(model.latent_dim)
        metrics[f"{split}/active_units"] = float(active_units(mean, square))
        digits = len(str(model.latent_dim - 1))
        metrics |= {f"{split}_kl/latent_{i:0{digits}d}": v for i, v in enumerate(kl.tolist())}
    return metrics


def named_metrics(model: Autoencoder, split: str, distortion: float, rate: float, loss: float) -> dict[str, float]:
    """The named metrics of a split; `objective` prices the rate as the run's end does, where there is one to price."""
    metrics = {
        "loss": loss,
        "objective": loss if model.objective.weighted else distortion + _price(model, rate, 1.0),
        "distortion": distortion,
        "rate": rate,
        "beta": model.beta_schedule.weight(model.progress),
    }
    if model.has_prior:  # without a prior, distortion + rate bounds no likelihood
        metrics["neg_elbo"] = distortion + rate
    return {f"{split}/{name}": value for name, value in metrics.items()}


def _price(model: Autoencoder, rate: float, progress: float) -> float:
    return float(model.beta_schedule(torch.tensor(rate, dtype=torch.float64), progress))
