"""Description of the latent space for the page: the plane of the map, the ranges of the latents, and the density."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autoencoders.latent.densities import GaussianFull
from autoencoders.runs.run import Run
from autoencoders.types import Codes
from autoencoders.utils.chunks import ROWS_PER_CHUNK

RANGE = 3.0
"""Sliders reach from the center of a latent minus RANGE scales to the center plus RANGE scales, or further to codes."""


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
    """Rank the latents by their mean KL to the prior, or by the variance of the codes for a model without a prior.

    Args:
        run: run whose model is described.
        split: split of the images.
        rows: (N,) indices of the images in the split.
        codes: codes (N, Z) of these images.

    Returns:
        JSON-compatible dictionary: `order` (Z,) with the most important latent first, `measure` (Z,), `kind` of the
        measure, and `center`, `low` and `high` (Z,) of the sliders.
    """
    if run.model.has_prior:
        measure = torch.cat([_kl(run, split, chunk) for chunk in rows.split(ROWS_PER_CHUNK)]).mean(0)
        center, scale = torch.zeros(run.model.latent_dim), torch.ones(run.model.latent_dim)
    else:
        measure = codes.double().var(0, correction=0)
        center, scale = codes.mean(0), measure.sqrt().float()
    return {
        "order": measure.argsort(descending=True, stable=True).tolist(),
        "measure": measure.tolist(),
        "kind": "KL" if run.model.has_prior else "variance",
        "center": center.tolist(),
        "low": torch.minimum(center - RANGE * scale, codes.amin(0)).tolist(),
        "high": torch.maximum(center + RANGE * scale, codes.amax(0)).tolist(),
    }


def _kl(run: Run, split: str, rows: Tensor) -> Tensor:
    """Return the KL divergence per latent (N, Z) in nats, in float64, for images of a split."""
    batch = run.batch(split, rows).to(run.model.device)
    y = batch.y if run.model.context_size else None
    return run.model.posterior(batch.x, y).kl().double().cpu()


def describe_density(run: Run, split: str, codes: Codes) -> dict[str, Any]:
    """Return the density from which the page samples codes: mean + temperature * root * eps with eps ~ N(0, I).

    It is the prior if z is sampled from a Gaussian whose prior is N(0, I). For any other model, it is a Gaussian that
    is fitted to the codes.

    Args:
        run: run whose model is described.
        split: split of the codes.
        codes: all codes of the split.

    Returns:
        JSON-compatible dictionary: `text`, `mean` (Z,), and `root` (Z, Z), or None for the unit matrix.
    """
    if run.model.has_prior and run.model.posteriors.gaussian:
        return {"text": "the prior N(0, I)", "mean": [0.0] * run.model.latent_dim, "root": None}
    density = GaussianFull().fit(codes.z)
    words = {"train": "training", "val": "validation", "test": "test"}
    count = f"{len(codes.z):,} {words[split]} codes"
    reason = "because the model has no prior" if not run.model.has_prior else "because its codes do not follow N(0, I)"
    return {
        "text": f"a Gaussian fitted to {count}, {reason}",
        "mean": density.mean.tolist(),
        "root": density.root.tolist(),
    }
