"""KL weights between this package's convention and those of other projects, both ways.

Ours: `loss = distortion + beta * rate`, both in nats per image and averaged over images; distortion is
-log p(target | z) summed over the D = C * H * W pixel values, rate is the KL divergence summed over latents.

Every other loss here is, up to a constant, a reconstruction term plus a weight w times a KL term, which
differ from ours by a factor each:

    reconstruction = a * distortion + constant        KL term = k * rate

so that the other loss = a * (distortion + w * k / a * rate), which is ours, a times over, with

    beta = w * k / a

`a` is a product: the error's own coefficient c, times 1 / D where pixels are averaged and B where images are
summed; and, with pixels that span R in the other project and 1 in ours, what one unit of its error is in nats:

    squared errors    2 scale^2 R^2    since a Gaussian's distortion is SSE / (2 scale^2) on pixels in [0, 1]
    absolute errors   scale R          since a Laplace's distortion is SAE / scale
    Bernoulli         1                since a cross-entropy already is in nats

`k` is 1 / Z where latents are averaged, B where images are summed, and B / N where the batch's share of the N
training images weighs the KL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from autoencoders.types import UserError

UNITS = {"squared": "likelihood=gaussian", "absolute": "likelihood=laplace", "bernoulli": "likelihood=bernoulli"}
"""What each kind of error is in this package."""

MEANINGS = {
    "scale": "likelihood.scale, in units of the pixel range [0, 1]",
    "pixels": "pixel values of one image, C * H * W",
    "latents": "the number of latents",
    "batch": "images in a batch",
    "images": "images in the training set",
}


@dataclass(frozen=True)
class Convention:
    """How a project adds up its loss; what is not said is summed over pixels and latents, averaged over images.

    Attributes:
        source: repository, file and version where this was read.
        error: of one pixel value: `squared`, `absolute`, or `bernoulli` for a cross-entropy.
        coefficient: factor before the error: 0.5 for half of the squared errors.
        pixel_range: what its pixels span where ours span 1: 255 for gray levels, 2 for [-1, 1].
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
"""The losses known by name."""


def to_beta(weight: float, convention: str | Convention, **sizes: float) -> float:
    """Our beta for another project's KL weight: beta = weight * k / a, with a and k as in the module's docstring.

    Args:
        weight: the other project's, 0 or more.
        convention: a name in `CONVENTIONS`, or how the other loss is added up.
        **sizes: what that one depends on, of `MEANINGS`: scale, pixels, latents, batch, images. The others
            play no part and may be left out.

    Returns:
        The beta at which the gradients of our loss are proportional to the other's.

    Raises:
        UserError: an unknown convention, or a size that is needed and missing.
    """
    convention = find(convention, sizes)
    return _not_negative("weight", weight) * kl_factor(convention, **sizes) / loss_factor(convention, **sizes)


def from_beta(beta: float, convention: str | Convention, **sizes: float) -> float:
    """Another project's KL weight for our beta: weight = beta * a / k; arguments and errors as in `to_beta`."""
    convention = find(convention, sizes)
    return _not_negative("beta", beta) * loss_factor(convention, **sizes) / kl_factor(convention, **sizes)


def scale_at(weight: float, convention: str | Convention, beta: float = 1.0, **sizes: float) -> float:
    """The `likelihood.scale` with which `beta` is another project's KL weight.

    Solves beta = weight * k / a for the scale within a: a is proportional to scale^2 for squared errors and to
    scale for absolute ones, so with a_1 the factor at scale 1, scale = (weight * k / (a_1 * beta))^(1/2 or 1).

    Args:
        weight: the other project's, above 0.
        convention: see `to_beta`.
        beta: ours, above 0; at 1 the answer is the decoder whose evidence lower bound the other loss is.
        **sizes: see `to_beta`, without the scale.

    Returns:
        A standard deviation (or a Laplace scale) in units of the pixel range [0, 1].

    Raises:
        UserError: a cross-entropy, which has no scale; and as in `to_beta`.
    """
    convention = find(convention, sizes)
    if convention.error == "bernoulli":
        raise UserError("A Bernoulli likelihood has no scale: this loss has a beta alone. Use `to_beta`.")
    _above_zero("weight", weight)
    _above_zero("beta", beta)
    ratio = to_beta(weight, convention, **{**sizes, "scale": 1.0}) / beta
    return math.sqrt(ratio) if convention.error == "squared" else ratio


def loss_factor(convention: str | Convention, **sizes: float) -> float:
    """`a`: how many times ours another project's loss is, constants aside, once the weights agree.

    A learning rate of plain gradient descent divides by it on the way to the other project, and a threshold of
    gradient clipping multiplies; Adam's steps do not depend on it (its epsilon aside).

    Args:
        convention: see `to_beta`.
        **sizes: see `to_beta`.

    Raises:
        UserError: as in `to_beta`.
    """
    convention = find(convention, sizes)
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
    """`k`: how many times our rate another project's KL term is, before its weight; arguments as in `to_beta`."""
    convention = find(convention, sizes)
    factor = 1.0
    if convention.latents == "mean":
        factor /= _size(convention, sizes, "latents")
    if convention.kl_images == "sum":
        factor *= _size(convention, sizes, "batch")
    if convention.share:
        factor *= _size(convention, sizes, "batch") / _size(convention, sizes, "images")
    return factor


def find(convention: str | Convention, sizes: Iterable[str] = ()) -> Convention:
    """A convention by its name in `CONVENTIONS`; one that is given as such is returned.

    Args:
        convention: the name, or the convention itself.
        sizes: names of sizes that come with it.

    Raises:
        UserError: no such convention, or no such size.
    """
    unknown = sorted(set(sizes) - set(MEANINGS))
    if unknown:
        raise UserError(f"A KL weight depends on {', '.join(MEANINGS)} at most, and {unknown[0]!r} was given.")
    if isinstance(convention, Convention):
        return convention
    if convention not in CONVENTIONS:
        raise UserError(
            f"No loss convention is called {convention!r}. Known: {', '.join(CONVENTIONS)}. "
            "Describe any other by a Convention of your own."
        )
    return CONVENTIONS[convention]


def _size(convention: Convention, sizes: Mapping[str, float], name: str) -> float:
    """One of the sizes, which this convention depends on."""
    if name not in sizes:
        of = f", of {UNITS[convention.error]}" if name == "scale" else ""
        raise UserError(
            f"The KL weight of {convention.source} depends on {name} ({MEANINGS[name]}{of}). Give {name}=<number>."
        )
    return _above_zero(name, sizes[name])


def _above_zero(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise UserError(f"{name} must be a number above 0, and is {value}.")
    return value


def _not_negative(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise UserError(f"{name} must be a number from 0 up, and is {value}.")
    return value
