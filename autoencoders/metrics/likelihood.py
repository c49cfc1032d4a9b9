"""Estimate of the likelihood of images under a VAE, by importance sampling."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from autoencoders.types import Batch, UserError
from autoencoders.utils import counter_rng

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.objectives.code_densities import CodeDensity
    from autoencoders.objectives.posteriors import GaussianPosterior

TOGETHER = 500
"""Default maximum number of codes that are decoded at the same time. One code is one sample for one image."""


class Estimate(NamedTuple):
    """Importance-weighted estimates for N images, from K samples z_k of q(z | x) per image.

    All tensors are float64 on the CPU.

    Attributes:
        nll: (N,) -log 1/K sum_k p(x, z_k) / q(z_k | x), in nats. Its expectation is an upper bound on -log p(x).
        negative_elbo: (N,) -1/K sum_k log p(x, z_k) / q(z_k | x) for the same samples, in nats.
        effective: (N,) effective number of samples (sum_k w_k)^2 / sum_k w_k^2 with weights w_k = p(x, z_k) /
            q(z_k | x). It is between 1 (one sample has all the weight) and K (all weights are equal).
    """

    nll: Tensor
    negative_elbo: Tensor
    effective: Tensor


class WeightSums:
    """Running sums of the importance weights for each image of a batch.

    The weights are stored relative to the largest weight so far (log-sum-exp), so that they do not overflow.

    Args:
        images: number of images in the batch.
        device: device of the log-weights.
    """

    def __init__(self, images: int, device: torch.device) -> None:
        # Apple's GPUs have no float64.
        self.device = torch.device("cpu") if device.type == "mps" else device
        zeros = torch.zeros(images, dtype=torch.float64, device=self.device)
        self.count, self.largest = 0, torch.full_like(zeros, -math.inf)
        self.total, self.weights, self.squares = zeros, zeros, zeros

    def add(self, logs: Tensor) -> None:
        """Add the log-weights `logs` (B, S) in nats for S samples per image."""
        logs = logs.to(self.device).double()
        largest = torch.maximum(self.largest, logs.max(1).values)
        shrink, weights = (self.largest - largest).exp(), (logs - largest[:, None]).exp()
        self.weights = self.weights * shrink + weights.sum(1)
        self.squares = self.squares * shrink**2 + weights.square().sum(1)
        self.total = self.total + logs.sum(1)
        self.largest, self.count = largest, self.count + logs.shape[1]

    def estimate(self) -> Estimate:
        """Return the estimates from all samples that have been added."""
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
    """Return the importance-weighted bound on the negative log-likelihood of each image.

    The bound is -log p(x) <= -E log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x). For K = 1 it is the negative ELBO, and it
    decreases as K increases (Burda, Grosse and Salakhutdinov, 2015, "Importance weighted autoencoders").

    The samples z_k always come from a Gaussian with the mean and standard deviation of the posterior. The bound is
    therefore valid even if training used another kind of noise. Each sample depends only on the seed, the index of the
    image and k, but not on the batch size or on `together`. If K is increased, the first samples stay the same. Memory
    grows with `together`, but not with K.

    Args:
        model: VAE or CVAE in evaluation mode. For a CVAE, the likelihood is p(x | y).
        x: (N, C, H, W) input of the encoder.
        target: (N, C, H, W) target of the decoder. It differs from `x` only if the input is corrupted.
        y: (N,) class indices or (N, A) attributes, or None. An unconditional model ignores them.
        index: (N,) int64 indices of the images in the split, below 2^31.
        samples: K, number of samples per image, below 2^32.
        seed: random seed for the samples.
        together: maximum number of codes that are decoded at the same time. One code is one sample for one image.

    Raises:
        UserError: if the model has no prior, or if an option is invalid.
    """
    if not model.has_prior:
        raise UserError(
            f"{model.name} has no prior, so the likelihood of images is not defined. Choose a run of a VAE or a CVAE."
        )
    for name, value in {"samples": samples, "together": together}.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{name} must be an integer >= 1, got {value}.")
    # If `together` >= `samples`, all samples of several images are decoded at once. Otherwise the samples of one image
    # are decoded in chunks.
    images = max(1, together // samples)
    estimates = []
    for start in range(0, len(x), together):  # each image is encoded only once
        chunk = Batch(x, target, y, index).select(slice(start, start + together)).to(model.device)
        posterior = cast("GaussianPosterior", model.posterior(chunk.x, chunk.y))  # the model has a prior
        prior = model.code_density(chunk.y)
        for first in range(0, len(chunk.x), images):
            some = slice(first, first + images)
            rows = chunk.select(some)
            sums = WeightSums(len(rows.x), model.device)
            for k in range(0, samples, together):
                sample_indices = torch.arange(k, min(k + together, samples), device=model.device)
                sums.add(_log_weights(model, posterior.rows(some), prior.rows(some), rows, sample_indices, seed))
            estimates.append(sums.estimate())
    return Estimate(*(torch.cat(column) for column in zip(*estimates, strict=True)))


def _log_weights(
    model: Autoencoder,
    posterior: GaussianPosterior,
    prior: CodeDensity,
    batch: Batch,
    sample_indices: Tensor,
    seed: int,
) -> Tensor:
    """Return the log-weights (B, S) log p(x | z_k) p(z_k) / q(z_k | x) in nats, for S sample indices k (S,)."""
    count = len(sample_indices)
    target = batch.target.repeat_interleave(count, 0)
    y = None if batch.y is None else batch.y.repeat_interleave(count, 0)
    posterior = posterior.repeat(count)
    rows = counter_rng.pair_indices(batch.index, sample_indices)
    eps = counter_rng.normal(counter_rng.derive_seed(seed, "importance"), rows, posterior.mean.shape[1])  # (B S, Z)
    z = posterior.sample(eps)
    log_ratio = prior.repeat(count).log_ratio(posterior, z, eps)
    return (log_ratio - model.likelihood(z, y).nll(target)).unflatten(0, (-1, count))
