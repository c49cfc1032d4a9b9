"""Likelihood of images: negative ELBO, distortion, rate, and the importance-weighted bound on -log p(x)."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor

from autoencoders.applications.base import mean_and_error, spread_rows
from autoencoders.applications.evaluation.table import Row
from autoencoders.metrics.likelihood import Estimate, importance_weighted
from autoencoders.objectives.likelihoods import Bernoulli
from autoencoders.runs.run import Run
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pixels import to_unit

FITTED = 2000
"""Maximum number of training images that the likelihood scale of the mean-image baseline is fitted to."""


def likelihood_rows(run: Run, split: str) -> list[Row]:
    """Return rows with the negative ELBO, distortion and rate (KL divergence of the posterior from the prior).

    The baseline of the distortion is the mean training image. A model without a prior has neither ELBO nor rate, and no
    rows for them.
    """
    name, codes = run.model.name, run.codes(split)
    distortion, rate, count = codes.distortion.double(), codes.rate.double(), len(codes.z)
    mean = mean_image_nll(run, split)
    distortions = [
        Row("distortion", "nats", name, mean_and_error(distortion), count),
        Row("distortion", "nats", "mean image", mean_and_error(mean), count, "same likelihood, mean image as its mean"),
    ]
    if not run.model.has_prior:
        return distortions
    given = " given the label" if run.model.context_size else ""
    gaussian = run.model.posteriors.gaussian
    bounds = f"upper bound on -log p(x){given}" if gaussian else "no bound on -log p(x), see notes in run.json"
    elbo = Row("-ELBO", "nats", name, mean_and_error(distortion + rate), count, bounds)
    return [elbo, *distortions, Row("rate", "nats", name, mean_and_error(rate), count)]


@torch.no_grad()
def mean_image_nll(run: Run, split: str) -> Tensor:
    """Return -log p(x) in nats (N,) for N images of a split, with the mean training image as the mean of p(x).

    The likelihood is that of the model. A learned scale is replaced: it is fitted to the differences between training
    images and the mean image.
    """
    family, mean, train = deepcopy(run.model.family).cpu(), run.data.mean_image().float(), run.data.images("train")
    sample = to_unit(train[spread_rows(FITTED, len(train))])
    family.fit(mean.expand_as(sample), sample)
    output = torch.logit(mean, 1e-3) if family.activation == "sigmoid" else mean
    parts = [family(output.expand_as(b.target)).nll(b.target) for b in run.data.evaluation_batches(split)]
    return torch.cat(parts).double()


def bound_rows(run: Run, split: str, measured: int, samples: int, together: int, seed: int) -> list[Row]:
    """Return rows with the importance-weighted bound on -log p(x) and related values; none for a model without a prior.

    The related values are the negative ELBO of the same images and the same posterior samples, the difference between
    the two, the effective number of samples, and the bits per dimension. All of them are measured on the same images,
    which may be fewer than those of the row `-ELBO`.

    Args:
        run: run to evaluate.
        split: split of the images.
        measured: number of images, evenly spaced in the split.
        samples: K, the number of posterior samples per image.
        together: number of pairs of image and sample that are decoded at a time.
        seed: seed of the posterior samples.
    """
    name, index = run.model.name, spread_rows(measured, len(run.prepare().data.images(split)))
    if not run.model.has_prior:
        return []
    reason, parts = code_length_objection(run, split, index), []
    for some in index.split(ROWS_PER_CHUNK):
        batch, options = run.batch(split, some), {"samples": samples, "seed": seed, "together": together}
        parts.append(importance_weighted(run.model, batch.x, batch.target, batch.y, batch.index, **options))
    found = Estimate(*(torch.cat(column) for column in zip(*parts, strict=True)))
    per_bit = math.prod(run.model.shape) * math.log(2)
    few = float((found.effective < 2).double().mean())
    return [
        Row(f"IW-NLL, K={samples}", "nats", name, mean_and_error(found.nll), measured, reason or ""),
        Row("-ELBO, images of IW-NLL", "nats", name, mean_and_error(found.negative_elbo), measured,
            "same images and same samples as IW-NLL: compare these two"),
        Row("gained over ELBO", "nats", name, mean_and_error(found.negative_elbo - found.nll), measured,
            "-ELBO, images of IW-NLL, minus IW-NLL"),
        Row("effective samples", f"of {samples}", name, mean_and_error(found.effective), measured,
            f"fewer than 2 for {few:.1%} of the images"),
        Row("bits per dimension", "bits", name, math.nan if reason else mean_and_error(found.nll / per_bit), measured,
            f"n/a: {reason}" if reason else ""),
    ]  # fmt: skip


def code_length_objection(run: Run, split: str, index: Tensor) -> str | None:
    """Return the reason why -log p(x) is not the length of a lossless code for the images, or None if it is.

    -log p(x) is a code length only for a Bernoulli likelihood and binary pixels.

    Args:
        run: run with the likelihood.
        split: split of the images.
        index: indices of the images. The first ROWS_PER_CHUNK images are checked.
    """
    target = run.batch(split, index[:ROWS_PER_CHUNK]).target
    if not isinstance(run.model.family, Bernoulli):
        return "a density, but the 8-bit pixels are not dequantized"
    if not ((target == 0) | (target == 1)).all():
        return "cross-entropy of gray levels, which is not a likelihood (train with data.binarize=dynamic)"
    return None
