"""Codes that are sampled from the prior of a run's model or from another density, and their images."""

from __future__ import annotations

import torch
from torch import Tensor

from autoencoders.applications.representations import conditioning_labels
from autoencoders.latent.densities import Density, GaussianFull, StandardNormal
from autoencoders.models.prior_codes import PriorDensity, PriorNoise, draw_noise, prior_codes
from autoencoders.runs.run import Run


def prior_or_gaussian(run: Run) -> Density:
    """Return the prior of the model, or a Gaussian fitted to the training codes for a model without a prior."""
    if run.model.has_prior and not run.model.has_standard_prior:
        return PriorDensity(run.model, conditioning_labels(run, "train"))
    density = StandardNormal() if run.model.has_prior else GaussianFull()
    return density.fit(run.codes("train").z)


def sample_codes(
    run: Run, density: Density, count: int, temperature: float, generator: torch.Generator
) -> tuple[Tensor, Tensor | None]:
    """Sample codes from a density, and labels of random training images for a conditional model.

    Args:
        run: run whose model decodes the codes.
        density: fitted density. Codes of a prior per label are sampled for the returned labels.
        count: number of codes.
        temperature: factor on the deviation of every code from the mean of the density, or of its component for the
            prior of the model.
        generator: generator of the random numbers, on the CPU.

    Returns:
        Codes (count, Z) on the CPU, and classes (count,) or attributes (count, A), or None.
    """
    if isinstance(density, PriorDensity):
        noise = draw_noise(run.model, count, generator)
        y = sample_labels(run, count, generator)
        return prior_codes(run.model, noise, y, temperature).cpu(), y
    z = density.sample(count, generator)
    z = (density.mean + temperature * (z - density.mean)).float()
    return z, sample_labels(run, count, generator)


def sample_labels(run: Run, count: int, generator: torch.Generator) -> Tensor | None:
    """Return the labels of random training images: classes (count,) or attributes (count, A).

    Returns:
        None for an unconditional model.
    """
    labels = conditioning_labels(run, "train")
    return None if labels is None else labels[torch.randint(len(labels), (count,), generator=generator)]


def decode_prior(run: Run, noise: PriorNoise, y: Tensor | None) -> Tensor:
    """Return the images (n, C, H, W) of codes that are sampled from the prior.

    Args:
        run: run whose model has a prior.
        noise: random numbers for n samples.
        y: class indices (n,) or attributes (n, A), for a conditional model.
    """
    return run.decode(prior_codes(run.model, noise, y).cpu(), y)
