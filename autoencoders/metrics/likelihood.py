"""Likelihood of images under a model by importance sampling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from autoencoders.types import Batch, UserError
from autoencoders.utils import counter_rng

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.objectives.posteriors import GaussianPosterior

TOGETHER = 500
"""Default number of pairs of image and sample that are decoded at a time."""


class Estimate(NamedTuple):
    """Importance-weighted estimates from K samples of q(z | x) per image, on the CPU.

    Attributes:
        nll: (N,) float64, -log 1/K sum_k p(x, z_k) / q(z_k | x), in nats: an upper bound of -log p(x) on average.
        negative_elbo: (N,) float64, -1/K sum_k log p(x, z_k) / q(z_k | x) of the same samples, in nats.
        effective: (N,) float64, (sum_k w_k)^2 / sum_k w_k^2, from 1 (one sample has all the weight) to K.
    """

    nll: Tensor
    negative_elbo: Tensor
    effective: Tensor


class WeightSums:
    """Running sums of importance weights: log-sum-exp relative to the largest weight so far.

    Args:
        images: B.
        device: device of the log-weights.
    """

    def __init__(self, images: int, device: torch.device) -> None:
        # Apple's GPUs have no float64.
        self.device = torch.device("cpu") if device.type == "mps" else device
        zeros = torch.zeros(images, dtype=torch.float64, device=self.device)
        self.count, self.largest = 0, torch.full_like(zeros, -math.inf)
        self.total, self.weights, self.squares = zeros, zeros, zeros

    def add(self, logs: Tensor) -> None:
        """Add log-weights (B, S), in nats."""
        logs = logs.to(self.device).double()
        largest = torch.maximum(self.largest, logs.max(1).values)
        shrink, weights = (self.largest - largest).exp(), (logs - largest[:, None]).exp()
        self.weights = self.weights * shrink + weights.sum(1)
        self.squares = self.squares * shrink**2 + weights.square().sum(1)
        self.total = self.total + logs.sum(1)
        self.largest, self.count = largest, self.count + logs.shape[1]

    def estimate(self) -> Estimate:
        """Return the estimates of the samples so far."""
        nll = math.log(self.count) - self.largest - self.weights.log()
        parts = nll, -self.total / self.count, self.weights.square() / self.squares
        return Estimate(*(part.cpu() for part in parts))


@torch.no_grad()
def importance_weighted(
    model: Autoencoder,
    x: Tensor,
    target: Tensor,
    y: Tensor | None,
    index: Tensor,
    *,
    samples: int,
    seed: int = 0,
    together: int = TOGETHER,
) -> Estimate:
    """Return the importance-weighted bound, -log p(x) <= -E log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x).

    For K = 1 it is the negative ELBO, and it decreases with K (Burda, Grosse and Salakhutdinov, 2015, "Importance
    weighted autoencoders"). Samples come from the Gaussian with the posterior's mean and standard deviation,
    independent of the noise used in training, so that it is always a bound. They are a function of (seed, row, k): they
    do not depend on the batch size or on `together`, and the first K of many are those of a smaller K. Memory grows
    with `together`, not with K.

    Args:
        model: a VAE or CVAE in evaluation mode; for a CVAE the bound is on log p(x | y).
        x: (N, C, H, W), input of the encoder.
        target: (N, C, H, W), target of the decoder: x unless the input is corrupted.
        y: (N,) classes or (N, A) attributes, or None. An unconditional model ignores them.
        index: (N,) int64 rows in the split, below 2^31.
        samples: K, below 2^32.
        seed: seed of the samples.
        together: pairs of image and sample that are decoded at a time.

    Raises:
        UserError: if the model has no prior, or an option is invalid.
    """
    if not model.has_prior:
        raise UserError(f"{model.name} has no prior, so images have no likelihood. Use a VAE or a CVAE.")
    for name, value in {"samples": samples, "together": together}.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{name} must be an integer of at least 1, got {value}.")
    images = max(1, together // samples)  # all samples of some images at a time; else chunks of samples of one image
    estimates = []
    for start in range(0, len(x), together):  # each image is encoded once
        chunk = Batch(x, target, y, index).select(slice(start, start + together)).to(model.device)
        posterior = cast("GaussianPosterior", model.posterior(chunk.x, chunk.y))  # the model has a prior
        for first in range(0, len(chunk.x), images):
            some = slice(first, first + images)
            rows = chunk.select(some)
            sums = WeightSums(len(rows.x), model.device)
            for k in range(0, samples, together):
                numbers = torch.arange(k, min(k + together, samples), device=model.device)
                sums.add(_log_weights(model, posterior.rows(some), rows, numbers, seed))
            estimates.append(sums.estimate())
    return Estimate(*(torch.cat(column) for column in zip(*estimates, strict=True)))


def _log_weights(
    model: Autoencoder,
    posterior: GaussianPosterior,
    batch: Batch,
    numbers: Tensor,
    seed: int,
) -> Tensor:
    """Return log p(x | z_k) p(z_k) / q(z_k | x) for the sample numbers (S,): (B, S), in nats."""
    count = len(numbers)
    target = batch.target.repeat_interleave(count, 0)
    y = None if batch.y is None else batch.y.repeat_interleave(count, 0)
    posterior = posterior.repeat(count)
    rows = counter_rng.pair_indices(batch.index, numbers)
    eps = counter_rng.normal(counter_rng.derive_seed(seed, "importance"), rows, posterior.mean.shape[1])  # (B S, Z)
    z = posterior.sample(eps)
    return (posterior.log_ratio(z, eps) - model.likelihood(z, y).nll(target)).unflatten(0, (-1, count))
