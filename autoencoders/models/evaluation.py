"""Metrics of validation and test, and their names."""

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
"""Seed of the validation and test noise. It is the same for every run and epoch, so that curves are comparable."""


def evaluation_noise(model: Autoencoder, index: Tensor, split: str, samples: int = 1) -> Tensor | None:
    """Return the posterior's noise, which is fixed by row.

    Args:
        model: the model whose posterior is sampled.
        index: (B,) rows in the split.
        split: name of the split, which is part of the seed.
        samples: K, samples per image.

    Returns:
        (B, Z) for one sample, (B, K, Z) for K samples, or None for a model with a point posterior.
    """
    if not model.posteriors.stochastic:
        return None
    seed = counter_rng.derive_seed(EVALUATION_SEED, "eps", split)
    if samples == 1:
        return model.posteriors.by_row(seed, index, model.latent_dim)
    pairs = counter_rng.pair_indices(index, torch.arange(samples, device=index.device))
    return model.posteriors.by_row(seed, pairs, model.latent_dim).unflatten(0, (-1, samples))


def evaluation_sums(model: Autoencoder, batch: Batch, split: str) -> Tensor:
    """Return sums over a batch, (5 + 3 Z,) float64, whose means are the input of `evaluation_metrics`.

    The batch is divided into chunks, so that the decoder's batch has at most B pairs of image and sample.
    """
    size = max(1, len(batch.x) // model.objective.samples)
    return torch.stack([_chunk_sums(model, chunk, split) for chunk in batch.chunks(size)]).sum(0)


def _chunk_sums(model: Autoencoder, batch: Batch, split: str) -> Tensor:
    """Return the sums of `evaluation_sums` over a chunk of a batch."""
    stochastic = model.posteriors.stochastic
    terms = model.terms(batch, evaluation_noise(model, batch.index, split, model.objective.samples))
    mean = terms.posterior.mean
    # The objective samples z, but the squared error is that of the reconstruction from the posterior mean.
    image = model.decode(mean, batch.y) if stochastic else terms.pixels.mean
    squares = (image - batch.target).flatten(1).square().mean(1)
    bound = torch.zeros_like(terms.rate) if terms.bound is None else terms.bound
    extra = torch.zeros_like(terms.rate) if terms.extra is None else terms.extra
    scalars = torch.stack([terms.distortion, terms.rate, bound, extra, squares], dim=1)
    latents = torch.cat([mean, mean.square(), terms.posterior.kl()], dim=1)  # (B, 3 Z)
    return torch.cat([scalars, latents], dim=1).double().sum(0)


def evaluation_metrics(model: Autoencoder, split: str, means: Tensor) -> dict[str, float]:
    """Return the metrics of a split from the means over its images of the terms of `evaluation_sums`."""
    distortion, rate, bound, extra, mse = means[:5].tolist()
    loss = bound if model.objective.weighted else distortion + _weighted_rate(model, rate, model.progress)
    metrics = named_metrics(model, split, distortion, rate, loss + extra)
    metrics |= {f"{split}/mse": mse, f"{split}/psnr": psnr(mse)}
    if model.posteriors.stochastic:
        mean, square, kl = means[5:].split(model.latent_dim)
        metrics[f"{split}/active_units"] = float(active_units(mean, square))
        digits = len(str(model.latent_dim - 1))
        metrics |= {f"{split}_kl/latent_{i:0{digits}d}": v for i, v in enumerate(kl.tolist())}
    return metrics


def named_metrics(model: Autoencoder, split: str, distortion: float, rate: float, loss: float) -> dict[str, float]:
    """Return the metrics of a split by name.

    Args:
        model: the model that the metrics belong to.
        split: prefix of the names.
        distortion: mean distortion, in nats per image.
        rate: mean rate, in nats per image.
        loss: mean loss, in nats per image, with the beta of the current step. `objective` uses the final beta.
    """
    metrics = {
        "loss": loss,
        "objective": loss if model.objective.weighted else distortion + _weighted_rate(model, rate, 1.0),
        "distortion": distortion,
        "rate": rate,
        "beta": model.beta_schedule.weight(model.progress),
    }
    if model.has_prior:  # without a prior, distortion + rate is no bound on -log p(x)
        metrics["neg_elbo"] = distortion + rate
    return {f"{split}/{name}": value for name, value in metrics.items()}


def _weighted_rate(model: Autoencoder, rate: float, progress: float) -> float:
    """Return the weighted rate, in nats, at this progress."""
    return float(model.beta_schedule(torch.tensor(rate, dtype=torch.float64), progress))
