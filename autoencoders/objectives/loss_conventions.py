"""Conversion of KL weights between this package and other projects.

The loss of this package is `distortion + beta * rate`, both in nats per image and averaged over images. The distortion
is -log p(target | z), summed over the D = C * H * W pixel values. The rate is the KL divergence, summed over latents.

Each of the other losses is, up to a constant, a reconstruction term plus a weight w times a KL term. Each term is the
corresponding term of this package times a factor:

    reconstruction = a * distortion + constant        KL term = k * rate

Therefore the other loss is a * (distortion + w * k / a * rate): the loss of this package times a, with

    beta = w * k / a

`a` is a product of the coefficient c of the error, 1 / D if the error is averaged over pixels, B if it is summed over
images, and the value in nats of one unit of the error, where the pixels of the other project have the range R:

    squared errors    2 scale^2 R^2    since the distortion of a Gaussian is SSE / (2 scale^2) on pixels in [0, 1]
    absolute errors   scale R          since the distortion of a Laplace distribution is SAE / scale
    Bernoulli         1                since a cross-entropy is in nats already

`k` is a product of 1 / Z if the KL is averaged over latents, B if it is summed over images, and B / N if it is
multiplied by the fraction of the N training images that are in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from autoencoders.types import UserError
from autoencoders.utils.checks import check_not_negative, check_positive

UNITS = {"squared": "likelihood=gaussian", "absolute": "likelihood=laplace", "bernoulli": "likelihood=bernoulli"}
"""The likelihood of this package for each kind of error."""

MEANINGS = {
    "scale": "likelihood.scale, in units of the pixel range [0, 1]",
    "pixels": "pixel values of one image, C * H * W",
    "latents": "the number of latents",
    "batch": "images in a batch",
    "images": "images in the training set",
}


@dataclass(frozen=True)
class Convention:
    """Reductions and factors in the loss of a project.

    By default, errors are summed over pixels, the KL is summed over latents, and both are averaged over images.

    Attributes:
        source: repository, file and version of the loss.
        error: error of one pixel value: `squared`, `absolute`, or `bernoulli` for a cross-entropy.
        coefficient: factor of the error: 0.5 for half of the squared errors.
        pixel_range: range of the pixels, which is 1 in this package: 255 for gray levels, 2 for [-1, 1].
        pixels: whether the error is summed or averaged over the pixel values of an image.
        images: whether the error is summed or averaged over the images of a batch.
        latents: whether the KL is summed or averaged over latents.
        kl_images: whether the KL is summed or averaged over the images of a batch.
        share: whether the KL is multiplied by batch size / images in the training set.
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

# D, Z, B, N, s in the derivations: pixel values, latents, batch size, training images, likelihood scale.
CONVENTIONS: dict[str, Convention] = {
    # SSE / D + w KL. a = 2 s^2 / D, k = 1: beta = w D / (2 s^2)
    "pytorch-vae": Convention(
        "AntixK/PyTorch-VAE models/vanilla_vae.py@8bf7be5, w = kld_weight", "squared", pixels="mean"
    ),
    # 4 SSE / D + w B / N KL, since its pixels lie in [-1, 1]. a = 8 s^2 / D, k = B / N: beta = w B D / (8 N s^2)
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
"""The known losses by name."""


def to_beta(weight: float, convention: str | Convention, **sizes: float) -> float:
    """Convert the KL weight of another project to beta: beta = weight * k / a (see the module's docstring).

    Args:
        weight: KL weight of the other project, at least 0.
        convention: a name in `CONVENTIONS`, or a `Convention`.
        **sizes: the sizes of `MEANINGS` that the convention depends on: scale, pixels, latents, batch, images. The
            other sizes have no effect and may be left out.

    Returns:
        The beta at which the gradients of the loss of this package are proportional to those of the other loss.

    Raises:
        UserError: if the convention is unknown, or a size is missing or out of range.
    """
    convention = find_convention(convention, sizes)
    check_not_negative("weight", weight)
    return weight * kl_factor(convention, **sizes) / loss_factor(convention, **sizes)


def from_beta(beta: float, convention: str | Convention, **sizes: float) -> float:
    """Convert beta to the KL weight of another project: weight = beta * a / k; arguments and errors as `to_beta`."""
    convention = find_convention(convention, sizes)
    check_not_negative("beta", beta)
    return beta * loss_factor(convention, **sizes) / kl_factor(convention, **sizes)


def scale_at(weight: float, convention: str | Convention, beta: float = 1.0, **sizes: float) -> float:
    """Return the `likelihood.scale` at which `beta` is equivalent to the KL weight of another project.

    Solves beta = weight * k / a for the scale. `a` is proportional to scale^2 for squared errors and to scale for
    absolute errors. With a_1 the factor at scale 1, scale = (weight * k / (a_1 * beta))^(1/2 or 1).

    Args:
        weight: KL weight of the other project, above 0.
        convention: see `to_beta`.
        beta: beta of this package, above 0. At 1, the other loss is the negative ELBO of a decoder with this scale.
        **sizes: see `to_beta`, without the scale.

    Returns:
        A standard deviation, or the scale of a Laplace distribution, in units of the pixel range [0, 1].

    Raises:
        UserError: if the error is a cross-entropy, which has no scale; otherwise as `to_beta`.
    """
    convention = find_convention(convention, sizes)
    if convention.error == "bernoulli":
        raise UserError("A Bernoulli likelihood has no scale, so only beta can be computed. Use `to_beta`.")
    check_positive("weight", weight)
    check_positive("beta", beta)
    ratio = to_beta(weight, convention, **{**sizes, "scale": 1.0}) / beta
    return math.sqrt(ratio) if convention.error == "squared" else ratio


def loss_factor(convention: str | Convention, **sizes: float) -> float:
    """Return `a`, the ratio of the loss of another project to that of this package, without constants.

    To convert hyperparameters to the other project, divide the learning rate of plain gradient descent by `a`, and
    multiply a threshold of gradient clipping by `a`. The steps of Adam do not depend on it, except through epsilon.

    Args:
        convention: see `to_beta`.
        **sizes: see `to_beta`.

    Raises:
        UserError: as in `to_beta`.
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
    """Return `k`, the ratio of another project's KL term, without its weight, to the rate; arguments as `to_beta`."""
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
    """Return a convention by its name in `CONVENTIONS`; a `Convention` is returned unchanged.

    Args:
        convention: the name, or a `Convention`.
        sizes: names of sizes to check.

    Raises:
        UserError: if the convention or one of the sizes is unknown.
    """
    unknown = sorted(set(sizes) - set(MEANINGS))
    if unknown:
        raise UserError(f"The size of a KL weight must be one of {', '.join(MEANINGS)}, got {unknown[0]!r}.")
    if isinstance(convention, Convention):
        return convention
    if convention not in CONVENTIONS:
        raise UserError(
            f"There is no loss convention {convention!r}. Known: {', '.join(CONVENTIONS)}. "
            "Describe another loss by a Convention."
        )
    return CONVENTIONS[convention]


def _size(convention: Convention, sizes: Mapping[str, float], name: str) -> float:
    """Return a size that the convention depends on, or raise UserError if it is missing or not above 0."""
    if name not in sizes:
        likelihood = f", of {UNITS[convention.error]}" if name == "scale" else ""
        raise UserError(
            f"The KL weight of {convention.source} depends on {name} ({MEANINGS[name]}{likelihood}). "
            f"Pass {name}=<number>."
        )
    check_positive(name, sizes[name])
    return sizes[name]
