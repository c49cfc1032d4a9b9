"""Computation and names of the validation and test metrics of autoencoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from autoencoders.metrics.dimension import active_units
from autoencoders.metrics.images import psnr
from autoencoders.models.prior_codes import counter_noise
from autoencoders.objectives.elbo import MeanTerms
from autoencoders.objectives.posteriors import Posterior, concatenate
from autoencoders.types import Batch
from autoencoders.utils import counter_rng

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder

EVALUATION_SEED = 0
"""Seed of the noise in validation and test. The seed never changes, so that runs and epochs are comparable."""


def evaluation_noise(model: Autoencoder, index: Tensor, split: str, samples: int = 1) -> Tensor | None:
    """Return noise for sampling z from the posteriors of some images. The same image always has the same noise.

    Args:
        model: autoencoder whose posterior is sampled.
        index: indices (B,) of the images in the split.
        split: name of the split. Each split has other noise.
        samples: K, the number of samples per image.

    Returns:
        Noise (B, Z) if K = 1, noise (B, K, Z) if K > 1, or None for a model whose posterior is a single point.
    """
    if not model.posteriors.stochastic:
        return None
    seed = counter_rng.derive_seed(EVALUATION_SEED, "eps", split)
    if samples == 1:
        return model.posteriors.by_row(seed, index, model.latent_dim)
    pairs = counter_rng.pair_indices(index, torch.arange(samples, device=index.device))
    return model.posteriors.by_row(seed, pairs, model.latent_dim).unflatten(0, (-1, samples))


def evaluation_terms(model: Autoencoder, batch: Batch, split: str) -> Tensor:
    """Return means (6 + 3 Z,) float64 of loss terms, squared errors and latent statistics over the images of a batch.

    `evaluation_metrics` converts the means over the split to metrics. With K samples per image, the batch of B images
    is divided into chunks, so that the decoder processes at most B samples at a time, or K if K > B. A regularizer is
    computed from all B images. Its mean over the split is weighted by the number of images in each batch.
    """
    size = max(1, len(batch.x) // model.objective.samples)
    sums, posteriors, codes = zip(*(_chunk_sums(model, chunk, split) for chunk in batch.chunks(size)), strict=True)
    means = torch.stack(sums).sum(0) / len(batch.x)  # (5 + 3 Z,)
    regularizer = torch.zeros((1,), dtype=means.dtype, device=means.device)
    if model.regularizer.active:
        seed = counter_rng.derive_seed(EVALUATION_SEED, "prior", split)
        noise = counter_noise(seed, batch.index, model.latent_dim)
        prior = model.code_density(batch.y)
        regularizer += model.regularization(concatenate(posteriors), torch.cat(codes), prior, noise)
    return torch.cat([means[:5], regularizer, means[5:]])


def _chunk_sums(model: Autoencoder, batch: Batch, split: str) -> tuple[Tensor, Posterior, Tensor]:
    """Return the sums (5 + 3 Z,) of the terms over one chunk of a batch, the posteriors, and the codes (B, Z)."""
    stochastic = model.posteriors.stochastic
    terms = model.terms(batch, evaluation_noise(model, batch.index, split, model.objective.samples))
    mean = terms.posterior.mean
    # The objective uses samples of z. The squared error uses the reconstruction from the posterior mean instead. It is
    # clipped to [0, 1], as in all applications.
    image = model.decode(mean, batch.y) if stochastic else terms.pixels.mean
    squares = (image.clamp(0, 1) - batch.target).flatten(1).square().mean(1)
    bound = torch.zeros_like(terms.rate) if terms.bound is None else terms.bound
    extra = torch.zeros_like(terms.rate) if terms.extra is None else terms.extra
    scalars = torch.stack([terms.distortion, terms.rate, bound, extra, squares], dim=1)
    kl = torch.zeros_like(mean) if terms.kl is None else terms.kl
    latents = torch.cat([mean, mean.square(), kl], dim=1)  # (B, 3 Z)
    return torch.cat([scalars, latents], dim=1).double().sum(0), terms.posterior, terms.z


def evaluation_metrics(model: Autoencoder, split: str, means: Tensor) -> dict[str, float]:
    """Return the metrics of a split.

    Args:
        model: autoencoder that is evaluated.
        split: name of the split, which is the prefix of the metric names.
        means: means (6 + 3 Z,) over all images of the split, in the order of `evaluation_terms`.

    Returns:
        Metric name -> value.
    """
    distortion, rate, bound, extra, mse, regularizer = means[:6]
    terms = MeanTerms(distortion, rate, bound, extra, regularizer if model.regularizer.active else None)
    loss = float(model.objective.loss(terms, model.beta_schedule, model.progress, model.regularizer.weight))
    metrics = loss_metrics(model, split, terms, loss)
    metrics |= {f"{split}/mse": float(mse), f"{split}/psnr": psnr(float(mse))}
    if model.posteriors.stochastic:
        mean, square, kl = means[6:].split(model.latent_dim)
        metrics[f"{split}/active_units"] = float(active_units(mean, square))
        if model.prior.closed_form:
            digits = len(str(model.latent_dim - 1))
            metrics |= {f"{split}_kl/latent_{i:0{digits}d}": v for i, v in enumerate(kl.tolist())}
    return metrics


def loss_metrics(model: Autoencoder, split: str, terms: MeanTerms, loss: float) -> dict[str, float]:
    """Return the loss metrics of a split: loss, objective, distortion, rate, beta, and with a prior neg_elbo.

    `loss` uses the beta of the current training step. `objective` is distortion + beta * rate with the final beta, plus
    the weighted regularizer; for an importance-weighted objective, it is the loss. `regularizer` has no weight.

    Args:
        model: autoencoder that is trained or evaluated.
        split: name of the split, which is the prefix of the metric names.
        terms: means over the images of the distortion, the rate (KL divergence of the posterior from the prior) and
            the regularizer.
        loss: mean loss, in nats per image, with the beta of the current training step.

    Returns:
        Metric name -> value.
    """
    objective = model.objective
    final = terms._replace(bound=None, extra=None)
    weight = model.regularizer.weight
    metrics = {
        "loss": loss,
        "objective": loss if objective.weighted else float(objective.loss(final, model.beta_schedule, 1.0, weight)),
        "distortion": float(terms.distortion),
        "rate": float(terms.rate),
        "beta": model.beta_schedule.weight(model.progress),
    }
    if terms.regularizer is not None:
        metrics["regularizer"] = float(terms.regularizer)
    if model.has_prior:  # without a prior, distortion + rate is not a bound on -log p(x)
        metrics["neg_elbo"] = float(terms.distortion + terms.rate)
    return {f"{split}/{name}": value for name, value in metrics.items()}
