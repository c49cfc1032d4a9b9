"""Which latents matter, and where the codes lie: what `manifold` and `traverse` share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.applications.base import spread_rows
from autoencoders.runs.run import Run

MEASURED = 2000
"""Training images, at most, whose KL is averaged."""


class Latents(NamedTuple):
    """The latents of a model, measured on training images.

    Attributes:
        order: (Z,) latents, the one that matters most first.
        measure: (Z,) mean KL in nats, or variance of the codes where there is no prior.
        kind: what the measure is, `KL` or `variance`.
        mean: (Z,) where a walk starts: 0 under a prior, else the codes' mean.
        scale: (Z,) its unit: 1 under a prior, else the codes' standard deviation.
    """

    order: Tensor
    measure: Tensor
    kind: str
    mean: Tensor
    scale: Tensor


@torch.no_grad()
def measure_latents(run: Run) -> Latents:
    """Order latents by mean KL to the prior where there is one, else by the variance of codes."""
    codes = run.codes("train").z
    if not run.model.has_prior:
        variance = codes.double().var(0)
        order = variance.argsort(descending=True, stable=True)
        return Latents(order, variance, "variance", codes.mean(0), variance.sqrt().float())
    rows, device, parts = spread_rows(MEASURED, len(codes)), run.model.device, []
    for chunk in rows.split(250):
        batch = run.batch("train", chunk)
        y = batch.y.to(device) if run.model.context_size else None
        parts.append(run.model.posterior(batch.x.to(device), y).kl().double().cpu())
    kl = torch.cat(parts).mean(0)  # (Z,)
    order = kl.argsort(descending=True, stable=True)
    return Latents(order, kl, "KL", torch.zeros(run.model.latent_dim), torch.ones(run.model.latent_dim))


def common_label(run: Run) -> Tensor | None:
    """What a conditional model is told where a figure shows codes alone: the commonest class, or mean attributes.

    Returns:
        () int64 or (A,) float32; None for an unconditional model.
    """
    if not run.model.context_size:
        return None
    y = run.codes("train").y
    return y.mode().values if run.model.labels.kind == "classes" else y.mean(0)


def same_label(label: Tensor | None, count: int) -> Tensor | None:
    """A label for each of `count` codes."""
    return None if label is None else label.expand(count, *label.shape)
