"""Description of the latent space for the page: the plane of the map, the ranges of the latents, and the density."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from autoencoders.latent.densities import GaussianFull
from autoencoders.models.prior_codes import PriorDensity
from autoencoders.runs.run import Run
from autoencoders.types import Codes
from autoencoders.utils.chunks import ROWS_PER_CHUNK

RANGE = 3.0
"""Sliders reach from the center of a latent minus RANGE scales to the center plus RANGE scales, or further to codes."""

MAX_NUMBERS = 50_000
"""Maximum number of means of a mixture on the page, about 1 MB of text together with the deviations."""


def describe_plane(codes: Tensor) -> dict[str, Any]:
    """Return the plane of the map, with points a (z - origin) for the axes a.

    Args:
        codes: codes (N, Z).

    Returns:
        JSON-compatible dictionary: `origin` (Z,), `axes` (2, Z), and `names` of the two axes. For Z = 1 and Z = 2, the
        coordinates are the latents. For Z > 2, they are the two leading principal components of the codes.
    """
    z = codes.double()
    size = z.shape[1]
    if size <= 2:
        axes = torch.zeros(2, size)
        axes.fill_diagonal_(1)
        return {"origin": [0.0] * size, "axes": axes.tolist(), "names": ["z 1", "z 2"][:size]}
    origin = z.mean(0)
    centered = z - origin
    _, values, rows = torch.linalg.svd(centered, full_matrices=size > len(z))
    # The sign of a principal component is arbitrary. A fixed sign gives the same page for the same run.
    rows = rows[:2] * rows[:2].gather(1, rows[:2].abs().argmax(1, keepdim=True)).sign()
    total = values.square().sum().clamp(min=1e-12)
    shares = [float(value.square() / total) for value in values[:2]] + [0.0] * (2 - len(values))
    names = [f"PC {i} of codes ({share:.0%} of variance)" for i, share in enumerate(shares, 1)]
    return {"origin": origin.tolist(), "axes": rows.tolist(), "names": names}


@torch.no_grad()
def rank_latents(run: Run, split: str, rows: Tensor, codes: Tensor) -> dict[str, Any]:
    """Rank the latents by their mean KL to the prior, or by the variance of the codes if the KL has no closed form.

    Args:
        run: run whose model is described.
        split: split of the images.
        rows: (N,) indices of the images in the split.
        codes: codes (N, Z) of these images.

    Returns:
        JSON-compatible dictionary: `order` (Z,) with the most important latent first, `measure` (Z,), `kind` of the
        measure, and `center`, `low` and `high` (Z,) of the sliders.
    """
    variance = codes.double().var(0, correction=0)
    center, scale = codes.mean(0), variance.sqrt().float()
    if run.model.has_standard_prior:
        center, scale = torch.zeros(run.model.latent_dim), torch.ones(run.model.latent_dim)
    has_kl = run.model.has_prior and run.model.prior.closed_form
    measure = variance
    if has_kl:
        measure = torch.cat([_kl(run, split, chunk) for chunk in rows.split(ROWS_PER_CHUNK)]).mean(0)
    return {
        "order": measure.argsort(descending=True, stable=True).tolist(),
        "measure": measure.tolist(),
        "kind": "KL" if has_kl else "variance",
        "center": center.tolist(),
        "low": torch.minimum(center - RANGE * scale, codes.amin(0)).tolist(),
        "high": torch.maximum(center + RANGE * scale, codes.amax(0)).tolist(),
    }


def _kl(run: Run, split: str, rows: Tensor) -> Tensor:
    """Return the KL divergence per latent (N, Z) in nats, in float64, for images of a split."""
    batch = run.batch(split, rows).to(run.model.device)
    y = batch.y if run.model.context_size else None
    kl = run.model.code_density(y).kl(run.model.posterior(batch.x, y))
    return cast(Tensor, kl).double().cpu()  # the KL divergence has a closed form


def describe_density(run: Run, split: str, codes: Codes) -> dict[str, Any]:
    """Return the density from which the page samples codes: mean + temperature * root * eps with eps ~ N(0, I).

    It is the prior if z is sampled from a Gaussian. For other models, and for a prior with more than MAX_NUMBERS means
    or one that depends on attributes, it is a Gaussian that is fitted to the codes.

    Args:
        run: run whose model is described.
        split: split of the codes.
        codes: all codes of the split.

    Returns:
        JSON-compatible dictionary: `text`, `mean` (Z,), and `root` (Z, Z), or None for the unit matrix. For a prior
        that is a mixture, also `components`; see `describe_components`.
    """
    if run.model.has_standard_prior and run.model.posteriors.gaussian:
        return {"text": run.model.prior.description, "mean": [0.0] * run.model.latent_dim, "root": None}
    components = describe_components(run)
    if components is not None:
        return components
    density = GaussianFull().fit(codes.z)
    words = {"train": "training", "val": "validation", "test": "test"}
    count = f"{len(codes.z):,} {words[split]} codes"
    reason = "because its codes do not follow N(0, I)"
    if not run.model.has_prior:
        reason = "because the model has no prior"
    elif not run.model.has_standard_prior:
        reason = f"because the page does not contain {run.model.prior.description}"
    return {
        "text": f"a Gaussian fitted to {count}, {reason}",
        "mean": density.mean.tolist(),
        "root": density.root.tolist(),
    }


def describe_components(run: Run) -> dict[str, Any] | None:
    """Return the Gaussians of a trained prior: those of a mixture, or one for each class of a conditional prior.

    Args:
        run: run whose model is described.

    Returns:
        JSON-compatible dictionary: `text`, `mean` (Z,) of the prior, `root` None, and `components` with `weights` (K,),
        `mean` (K, Z), `std` (K, Z), and `byClass`, whether the selected class selects the Gaussian. None if the model
        has no such prior, or if the prior is too large for the page.
    """
    model, context = run.model, run.model.labels
    if not model.has_prior or model.has_standard_prior:
        return None
    labels = None
    if model.prior.conditional:
        if context is None or context.kind != "classes":
            return None
        labels = torch.arange(context.size)
    density = PriorDensity(model, labels)
    mixture = density.mixture
    if mixture.mean.numel() > MAX_NUMBERS:
        return None
    components = {
        "weights": mixture.log_weights.exp().tolist(),
        "mean": mixture.mean.tolist(),
        "std": (0.5 * mixture.log_variance).exp().tolist(),
        "byClass": model.prior.conditional,
    }
    return {"text": density.name, "mean": density.mean.tolist(), "root": None, "components": components}
