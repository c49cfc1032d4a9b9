"""Ranking of the latents of a model, and a typical label to decode codes with."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.applications.base import spread_rows
from autoencoders.applications.representations import conditioned_on_classes, conditioning_labels
from autoencoders.runs.run import Run
from autoencoders.utils.chunks import ROWS_PER_CHUNK

MEASURED = 2000
"""Maximum number of training images over which the KL is averaged."""


class Latents(NamedTuple):
    """Location, scale and importance of each latent, measured on training images.

    Attributes:
        order: (Z,) indices of the latents, the most important first.
        measure: (Z,) importance: mean KL in nats, or the variance of the codes for a model without a prior.
        kind: name of the measure, `KL` or `variance`.
        mean: (Z,) center: 0 for a model with a prior, else the mean of the codes.
        scale: (Z,) unit: 1 for a model with a prior, else the standard deviation of the codes.
    """

    order: Tensor
    measure: Tensor
    kind: str
    mean: Tensor
    scale: Tensor


@torch.no_grad()
def measure_latents(run: Run) -> Latents:
    """Order the latents by mean KL to the prior, or by the variance of the codes for a model without a prior."""
    codes = run.codes("train").z
    if not run.model.has_prior:
        variance = codes.double().var(0)
        order = variance.argsort(descending=True, stable=True)
        return Latents(order, variance, "variance", codes.mean(0), variance.sqrt().float())
    rows, device = spread_rows(MEASURED, len(codes)), run.model.device
    chunks = []
    for chunk in rows.split(ROWS_PER_CHUNK):
        batch = run.batch("train", chunk)
        y = None
        if run.model.context_size and batch.y is not None:
            y = batch.y.to(device)
        chunks.append(run.model.posterior(batch.x.to(device), y).kl().double().cpu())
    kl = torch.cat(chunks).mean(0)  # (Z,)
    order = kl.argsort(descending=True, stable=True)
    return Latents(order, kl, "KL", torch.zeros(run.model.latent_dim), torch.ones(run.model.latent_dim))


def common_label(run: Run) -> Tensor | None:
    """Return a label to decode arbitrary codes with: the commonest class, or the mean of each attribute.

    Returns:
        () int64 or (A,) float32; None for an unconditional model.
    """
    y = conditioning_labels(run, "train")
    if y is None:
        return None
    return y.mode().values if conditioned_on_classes(run) else y.mean(0)


def same_label(label: Tensor | None, count: int) -> Tensor | None:
    """Repeat a label for `count` codes."""
    return None if label is None else label.expand(count, *label.shape)
