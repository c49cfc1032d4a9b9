"""Codes that are sampled from the prior of a model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from autoencoders.objectives.code_densities import CodeDensity, DiagonalGaussian, DiagonalMixture
from autoencoders.utils import counter_rng
from autoencoders.utils.modes import evaluation_mode

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder

LABELS = 1000
"""Maximum number of training labels over which a prior per label is averaged."""


class PriorNoise(NamedTuple):
    """Random numbers for samples of the prior; see `CodeDensity.transform`.

    Attributes:
        noise: (B, Z) standard normal noise.
        choice: (B,) uniform random numbers that select the component of a mixture.
    """

    noise: Tensor
    choice: Tensor

    def repeat_interleave(self, count: int) -> PriorNoise:
        """Return the random numbers in which each sample is repeated `count` times consecutively."""
        return PriorNoise(*(numbers.repeat_interleave(count, 0) for numbers in self))


def counter_noise(seed: int, index: Tensor, size: int) -> PriorNoise:
    """Return random numbers for samples of the prior that depend only on the seed and the image indices.

    Args:
        seed: seed of the random numbers.
        index: (B,) image indices.
        size: Z, the size of the code.
    """
    choice = counter_rng.uniform(counter_rng.derive_seed(seed, "component"), index, 1)[:, 0]
    return PriorNoise(counter_rng.normal(seed, index, size), choice)


def draw_noise(model: Autoencoder, n: int, generator: torch.Generator | None = None) -> PriorNoise:
    """Return random numbers for n samples of the prior, on the device of the generator.

    Args:
        model: model with a prior.
        n: number of samples.
        generator: generator of the random numbers; None for the global generator on the device of the model.
    """
    device = model.device if generator is None else generator.device
    noise = torch.randn(n, model.latent_dim, generator=generator, device=device)
    if model.prior.components == 1:  # there is no component to choose
        return PriorNoise(noise, torch.zeros(n, device=device))
    return PriorNoise(noise, torch.rand(n, generator=generator, device=device))


def prior_codes(model: Autoencoder, noise: PriorNoise, y: Tensor | None = None, temperature: float = 1.0) -> Tensor:
    """Return codes (n, Z) sampled from the prior, on the device of the model. The model is in evaluation mode.

    Args:
        model: model with a prior.
        noise: random numbers for n samples.
        y: labels of the codes, class indices (n,) or attributes (n, A), for a prior that depends on the labels.
        temperature: factor on the deviation of every code from the mean of the prior, or of its component.
    """
    noise = PriorNoise(*(numbers.to(model.device) for numbers in noise))
    with evaluation_mode(model):
        density = model.code_density(None if y is None else y.to(model.device))
        codes, center = density.transform(*noise), density.center(noise.choice)
    return center + temperature * (codes - center)


class PriorDensity:
    """The prior of a model as a `Density`, without the labels: a prior per label is averaged over training labels.

    Args:
        model: model with a prior that is not the standard normal.
        labels: training labels, class indices (N,) or attributes (N, A), for a prior that depends on the labels.
    """

    def __init__(self, model: Autoencoder, labels: Tensor | None = None) -> None:
        self.name = model.prior.description
        if model.prior.conditional and labels is not None:
            rows = torch.linspace(0, len(labels) - 1, min(LABELS, len(labels))).long()
            labels = labels[rows].to(model.device)
        with evaluation_mode(model):
            density = model.code_density(labels if model.prior.conditional else None)
        self.mixture = DiagonalMixture(*(values.detach().cpu().double() for values in as_mixture(density)))

    @property
    def mean(self) -> Tensor:
        """Return the mean (Z,)."""
        return self.mixture.log_weights.exp() @ self.mixture.mean

    def fit(self, z: Tensor, validation: Tensor | None = None) -> PriorDensity:
        """Return the density unchanged, because the prior was trained with the model."""
        return self

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return samples (count, Z) as float32 on the CPU."""
        noise = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        return self.mixture.transform(noise, torch.rand(count, generator=generator, dtype=torch.float64)).float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density (N,) of codes `z` (N, Z) in nats."""
        return self.mixture.log_prob(z.double().cpu())


def as_mixture(density: CodeDensity) -> DiagonalMixture:
    """Return a mixture unchanged, and the Gaussians of N labels as the mixture of them with equal weights.

    Raises:
        TypeError: if the density is neither.
    """
    if isinstance(density, DiagonalMixture):
        return density
    if isinstance(density, DiagonalGaussian):
        count = len(density.mean)
        weights = torch.full((count,), -math.log(count), device=density.mean.device)
        return DiagonalMixture(weights, *density)
    raise TypeError(f"The density must be a mixture or a Gaussian per label, got {type(density).__name__}.")
