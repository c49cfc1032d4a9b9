"""Conversion between beta, the KL weight of this package, and the KL weights of other projects.

The loss of this package is `distortion + beta * rate`. Distortion and rate are in nats per image, averaged over images.
The distortion is -log p(target | z), summed over the D = C * H * W pixel values of an image. The rate is the KL
divergence of the posterior from the prior, summed over the Z latents.

The loss of another project is `reconstruction + w * KL`, up to a constant. Its terms are proportional to the terms of
this package:

    reconstruction = a * distortion + constant        KL = k * rate

Therefore the loss of the other project is `a * (distortion + w * k / a * rate)`, which is `a` times the loss of this
package with

    beta = w * k / a

The factor `a` is the product of

    c                                    the coefficient of the error in the other loss
    1 / D                                only if the error is averaged over pixels
    B (batch size)                       only if the error is summed over images
    2 scale^2 R^2                        for squared errors: the Gaussian distortion is SSE / (2 scale^2)
    scale R                              for absolute errors: the Laplace distortion is SAE / scale
    1                                    for a cross-entropy, which is already in nats

Here SSE and SAE are the sums of the squared and of the absolute errors for pixels in [0, 1], `scale` is
`likelihood.scale`, and R is the width of the pixel range in the other project. The factor `k` is the product of

    1 / Z                                only if the KL is averaged over latents
    B                                    only if the KL is summed over images
    B / N (N training images)            only if the KL is multiplied by this fraction
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from autoencoders.types import UserError
from autoencoders.utils.checks import check_not_negative, check_positive

UNITS = {"squared": "likelihood=gaussian", "absolute": "likelihood=laplace", "bernoulli": "likelihood=bernoulli"}
"""For each kind of error, the option that selects the corresponding likelihood of this package."""

MEANINGS = {
    "scale": "likelihood.scale, in units of the pixel range [0, 1]",
    "pixels": "the number of pixel values of one image, C * H * W",
    "latents": "the number of latents",
    "batch": "the number of images in a batch",
    "images": "the number of training images",
}
"""Names and descriptions of the sizes that a conversion may depend on."""


@dataclass(frozen=True)
class Convention:
    """Reductions and factors in the VAE loss of another project.

    By default, the error is summed over pixels, the KL is summed over latents, and error and KL are averaged over
    images.

    Attributes:
        source: repository, file and version of the loss.
        error: error of one pixel value: `squared`, `absolute`, or `bernoulli` for a cross-entropy.
        coefficient: factor of the error, for example 0.5 for half of the squared errors.
        pixel_range: width of the pixel range: 1 for pixels in [0, 1] as in this package, 255 for gray levels, 2 for
            pixels in [-1, 1].
        pixels: whether the error is summed or averaged over the pixel values of an image.
        images: whether the error is summed or averaged over the images of a batch.
        latents: whether the KL is summed or averaged over latents.
        kl_images: whether the KL is summed or averaged over the images of a batch.
        share: whether the KL is multiplied by (batch size) / (number of training images).
    """

    source: str
    error: Literal["squared", "absolute", "bernoulli"]
    coefficient: float = 1.0
    pixel_range: float = 1.0
    pixels: Literal["sum", "mean"] = "sum"
    images: Literal["sum", "mean"] = "mean"
    latents: Literal["sum", "mean"] = "sum"
    kl_images: Literal["sum", "mean"] = "mean"
    share: bool = False


PYTHAE = "clementchadebec/benchmark_VAE src/pythae/models/beta_vae/beta_vae_model.py"
DISENTANGLING = "YannDubs/disentangling-vae disvae/models/losses.py@0a38ac7"

# Symbols in the derivations: D pixel values per image, Z latents, B batch size, N training images, s likelihood.scale,
# SSE / SAE / BCE the squared errors / absolute errors / cross-entropy of an image, summed over pixels.
CONVENTIONS: dict[str, Convention] = {
    # SSE / D + w KL. a = 2 s^2 / D, k = 1: beta = w D / (2 s^2)
    "pytorch-vae": Convention(
        "AntixK/PyTorch-VAE models/vanilla_vae.py@8bf7be5, w = kld_weight", "squared", pixels="mean"
    ),
    # 4 SSE / D + w B / N KL, because the pixels are in [-1, 1]. a = 8 s^2 / D, k = B / N: beta = w B D / (8 N s^2)
    "pytorch-vae-2020": Convention(
        "AntixK/PyTorch-VAE models/vanilla_vae.py@2946d7a with M_N of experiment.py@09c4451, w = 1",
        "squared",
        pixel_range=2,
        pixels="mean",
        share=True,
    ),
    # SSE / 2 + w KL. a = s^2, k = 1: beta = w / s^2
    "pythae-mse": Convention(f"{PYTHAE}@24939dc (0.1.2), w = beta", "squared", coefficient=0.5),
    # SSE + w KL. a = 2 s^2, k = 1: beta = w / (2 s^2)
    "pythae-0.1.1-mse": Convention(f"{PYTHAE}@06d582a (to 0.1.1), w = beta", "squared"),
    # BCE + w KL. a = k = 1: beta = w
    "pythae-bce": Convention(f"{PYTHAE}@24939dc (0.1.2), w = beta", "bernoulli"),
    # 255^2 SSE / 255 + w KL. a = 510 s^2, k = 1: beta = w / (510 s^2)
    "disentangling-vae-gaussian": Convention(f"{DISENTANGLING}, w = betaH_B", "squared", coefficient=255),
    # SAE + w KL. a = s, k = 1: beta = w / s
    "disentangling-vae-laplace": Convention(f"{DISENTANGLING}, w = betaH_B", "absolute"),
    # BCE + w KL. a = k = 1: beta = w
    "disentangling-vae-bernoulli": Convention(f"{DISENTANGLING}, w = betaH_B", "bernoulli"),
    # B BCE + w B KL. a = k = B: beta = w
    "pytorch-examples": Convention(
        "pytorch/examples vae/main.py@cd01f93, w = 1", "bernoulli", images="sum", kl_images="sum"
    ),
    # SSE / D + w KL / Z. a = 2 s^2 / D, k = 1 / Z: beta = w D / (2 Z s^2)
    "lightning-bolts": Convention(
        "Lightning-Universe/lightning-bolts src/pl_bolts/models/autoencoders/basic_vae/basic_vae_module.py@310d238, "
        "w = kl_coeff",
        "squared",
        pixels="mean",
        latents="mean",
    ),
    # 255^2 SSE / D + w B KL. a = 2 * 255^2 s^2 / D, k = B: beta = w B D / (2 * 255^2 s^2)
    "s4": Convention(
        "j1a0m0e4sNTU/Variational-Autoencoder-for-images util.py, model_manager.py@acc6e64, w = sigma",
        "squared",
        pixel_range=255,
        pixels="mean",
        kl_images="sum",
    ),
}
"""Losses of other projects: name -> convention."""


def to_beta(weight: float, convention: str | Convention, **sizes: float) -> float:
    """Convert the KL weight of another project to beta.

    beta = weight * k / a, where `k` is `kl_factor` and `a` is `loss_factor`. The module docstring derives this formula.

    Args:
        weight: KL weight of the other project, >= 0.
        convention: loss of the other project: a name in `CONVENTIONS`, or a `Convention`.
        **sizes: the sizes that the conversion depends on, among `scale`, `pixels`, `latents`, `batch` and `images` (see
            `MEANINGS`). Sizes that the conversion does not depend on can be omitted and have no effect.

    Returns:
        The beta for which the loss of this package and the loss of the other project have proportional gradients.

    Raises:
        UserError: if the weight is negative, the convention is unknown, or a size is missing, unknown or out of range.
    """
    convention = find_convention(convention, sizes)
    check_not_negative("weight", weight)
    return weight * kl_factor(convention, **sizes) / loss_factor(convention, **sizes)


def from_beta(beta: float, convention: str | Convention, **sizes: float) -> float:
    """Convert beta to the KL weight of another project: weight = beta * a / k, the inverse of `to_beta`.

    Args:
        beta: beta of this package, >= 0.
        convention: see `to_beta`.
        **sizes: see `to_beta`.

    Raises:
        UserError: as `to_beta`.
    """
    convention = find_convention(convention, sizes)
    check_not_negative("beta", beta)
    return beta * loss_factor(convention, **sizes) / kl_factor(convention, **sizes)


def scale_at(weight: float, convention: str | Convention, beta: float = 1.0, **sizes: float) -> float:
    """Return the `likelihood.scale` for which `beta` is equivalent to the KL weight of another project.

    The scale is the solution of beta = weight * k / a (see `to_beta`). The factor `a` is proportional to scale^2 for
    squared errors, and to scale for absolute errors. Let a_1 be the factor for scale 1. Then the scale is
    sqrt(weight * k / (a_1 * beta)) for squared errors, and weight * k / (a_1 * beta) for absolute errors.

    Args:
        weight: KL weight of the other project, > 0.
        convention: see `to_beta`.
        beta: beta of this package, > 0. With beta = 1, the loss of the other project is proportional to the negative
            ELBO of a decoder with the returned scale.
        **sizes: see `to_beta`, without `scale`.

    Returns:
        The standard deviation of a Gaussian likelihood (squared errors), or the scale of a Laplace likelihood (absolute
        errors), in units of the pixel range [0, 1].

    Raises:
        UserError: if the error is a cross-entropy, which has no scale, or for the reasons given in `to_beta`.
    """
    convention = find_convention(convention, sizes)
    if convention.error == "bernoulli":
        raise UserError(
            "A convention with the Bernoulli error has no scale to compute. Compute beta with `to_beta` instead."
        )
    check_positive("weight", weight)
    check_positive("beta", beta)
    ratio = to_beta(weight, convention, **{**sizes, "scale": 1.0}) / beta
    return math.sqrt(ratio) if convention.error == "squared" else ratio


def loss_factor(convention: str | Convention, **sizes: float) -> float:
    """Return the factor `a` in (loss of another project) = a * (loss of this package) + constant.

    To convert the hyperparameters of this package to the other project, divide the learning rate of plain gradient
    descent by `a`, and multiply the threshold of gradient clipping by `a`. The steps of Adam do not depend on `a`,
    except through epsilon.

    Args:
        convention: see `to_beta`.
        **sizes: see `to_beta`.

    Raises:
        UserError: if the convention is unknown, or a size is missing, unknown or out of range.
    """
    convention = find_convention(convention, sizes)
    factor = convention.coefficient
    if convention.error == "squared":
        factor *= 2 * (_size(convention, sizes, "scale") * convention.pixel_range) ** 2
    elif convention.error == "absolute":
        factor *= _size(convention, sizes, "scale") * convention.pixel_range
    if convention.pixels == "mean":
        factor /= _size(convention, sizes, "pixels")
    if convention.images == "sum":
        factor *= _size(convention, sizes, "batch")
    return factor


def kl_factor(convention: str | Convention, **sizes: float) -> float:
    """Return the factor `k` in (KL term of another project, without its weight) = k * rate.

    Args:
        convention: see `to_beta`.
        **sizes: see `to_beta`.

    Raises:
        UserError: if the convention is unknown, or a size is missing, unknown or out of range.
    """
    convention = find_convention(convention, sizes)
    factor = 1.0
    if convention.latents == "mean":
        factor /= _size(convention, sizes, "latents")
    if convention.kl_images == "sum":
        factor *= _size(convention, sizes, "batch")
    if convention.share:
        factor *= _size(convention, sizes, "batch") / _size(convention, sizes, "images")
    return factor


def find_convention(convention: str | Convention, sizes: Iterable[str] = ()) -> Convention:
    """Return the convention with a given name in `CONVENTIONS`. A `Convention` is returned unchanged.

    Args:
        convention: name of the convention, or a `Convention`.
        sizes: names of the sizes that the caller was given, to be checked.

    Raises:
        UserError: if the convention or one of the sizes is unknown.
    """
    unknown = sorted(set(sizes) - set(MEANINGS))
    if unknown:
        raise UserError(f"The name of a size must be one of {', '.join(MEANINGS)}, got {unknown[0]!r}.")
    if isinstance(convention, Convention):
        return convention
    if convention not in CONVENTIONS:
        raise UserError(
            f"The loss convention must be one of {', '.join(CONVENTIONS)}, or a Convention, got {convention!r}. "
            "Choose one of these names, or describe the loss with a Convention."
        )
    return CONVENTIONS[convention]


def _size(convention: Convention, sizes: Mapping[str, float], name: str) -> float:
    """Return the size `name`, or raise UserError if this size is missing or not above 0."""
    if name not in sizes:
        likelihood = f", for {UNITS[convention.error]}" if name == "scale" else ""
        raise UserError(
            f"{name} ({MEANINGS[name]}{likelihood}) is missing, but the loss of {convention.source} depends on {name}. "
            f"Pass {name}=<number>."
        )
    check_positive(name, sizes[name])
    return sizes[name]
