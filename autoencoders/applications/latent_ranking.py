"""Ranking of the latents of a model, and a typical label for decoding codes of a conditional model."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor

from autoencoders.applications.base import spread_rows
from autoencoders.applications.representations import conditioned_on_classes, conditioning_labels
from autoencoders.runs.run import Run
from autoencoders.utils.chunks import ROWS_PER_CHUNK

MEASURED = 2000
"""Maximum number of training images from which the mean KL of each latent is computed."""


class Latents(NamedTuple):
    """Importance, center and scale of each latent, measured on training images.

    Attributes:
        order: (Z,) indices of the latents, the most important first.
        measure: (Z,) importance of each latent: its mean KL to the prior in nats, or the variance of the codes for a
            model without a prior or with a mixture as prior.
        kind: name of the importance measure, `KL` or `variance`.
        mean: (Z,) center of each latent: 0 for a model with a standard normal prior, else the mean of the codes.
        scale: (Z,) unit of each latent: 1 for a model with a standard normal prior, else the standard deviation of the
            codes.
    """

    order: Tensor
    measure: Tensor
    kind: str
    mean: Tensor
    scale: Tensor


@torch.no_grad()
def measure_latents(run: Run) -> Latents:
    """Rank the latents by their mean KL to the prior, or by the variance of the codes; see `Latents`."""
    codes = run.codes("train").z
    variance = codes.double().var(0)
    mean, scale = codes.mean(0), variance.sqrt().float()
    if not (run.model.has_prior and run.model.prior.closed_form):
        order = variance.argsort(descending=True, stable=True)
        return Latents(order, variance, "variance", mean, scale)
    if run.model.has_standard_prior:
        mean, scale = torch.zeros(run.model.latent_dim), torch.ones(run.model.latent_dim)
    rows, device = spread_rows(MEASURED, len(codes)), run.model.device
    chunks = []
    for chunk in rows.split(ROWS_PER_CHUNK):
        batch = run.batch("train", chunk)
        y = None
        if run.model.context_size and batch.y is not None:
            y = batch.y.to(device)
        kl = run.model.code_density(y).kl(run.model.posterior(batch.x.to(device), y))
        chunks.append(cast(Tensor, kl).double().cpu())  # the KL divergence has a closed form
    measure = torch.cat(chunks).mean(0)  # (Z,)
    order = measure.argsort(descending=True, stable=True)
    return Latents(order, measure, "KL", mean, scale)


def common_label(run: Run) -> Tensor | None:
    """Return a typical label for decoding arbitrary codes, computed from the training images.

    Returns:
        The most frequent class, () int64, or the mean of each attribute, (A,) float32; None for an unconditional model.
    """
    y = conditioning_labels(run, "train")
    if y is None:
        return None
    return y.mode().values if conditioned_on_classes(run) else y.mean(0)


def same_label(label: Tensor | None, count: int) -> Tensor | None:
    """Repeat one label for `count` codes: (count,) classes or (count, A) attributes. None stays None."""
    return None if label is None else label.expand(count, *label.shape)
