"""Methods that restore corrupted images (the model, PCA, classical methods), and the errors of restored images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison_table, mean_and_error
from autoencoders.applications.inpainting import Corrupted, Method, inpainting_methods
from autoencoders.data.transforms import GaussianNoise
from autoencoders.metrics import classical_restoration
from autoencoders.metrics.images import psnr, psnr_per_image, ssim
from autoencoders.runs.run import Run

NON_LOCAL_MEANS_CHOICES = list(itertools.product((0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0), (True, False), (3, 5, 7)))
"""Candidate parameters (h / sigma, whether patch distances are corrected for noise, patch size) for non-local means."""
TOTAL_VARIATION_WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
"""Candidate weights for total-variation denoising."""
MEDIAN_SIZES = (3, 5, 7)
"""Candidate sizes of the median filter, in pixels per side."""


def fast_methods(run: Run) -> dict[str, Method]:
    """Return the methods that are measured on a complete split: the model, the unchanged input, PCA, the mean image."""
    pca = run.pca()
    return {
        run.model.name: lambda c: run.reconstruct(c.batch.x, c.batch.y),
        "input": lambda c: c.batch.x,
        pca.name: lambda c: pca.reconstruct(c.batch.x),
        "mean image": lambda c: run.data.mean_image().float().expand_as(c.batch.x),
    }


def slow_methods(run: Run, corruption: object, validation: Corrupted, bm3d: bool) -> dict[str, Method]:
    """Return the methods that are measured on a subset of the images, with parameters chosen on validation images.

    Masked pixels are filled by inpainting methods. Gaussian noise is removed by denoisers. For any other corruption,
    the method is a median filter.

    Args:
        run: run whose model and PCA fill masked pixels.
        corruption: corruption with which the run was trained.
        validation: corrupted validation images.
        bm3d: whether to include BM3D if the corruption is Gaussian noise.
    """
    if validation.hidden is not None:
        return inpainting_methods(run, validation)
    if not isinstance(corruption, GaussianNoise):
        size = classical_restoration.tune_parameter(
            classical_restoration.median, MEDIAN_SIZES, validation.batch.x, validation.batch.target
        )
        return {f"median of {size:g} pixels": lambda c: classical_restoration.median(c.batch.x, size)}
    methods = denoisers(corruption.sigma, validation)
    if bm3d:
        sigma = corruption.sigma
        methods["BM3D"] = lambda c: classical_restoration.bm3d(c.batch.x, sigma)
    return methods


def denoisers(sigma: float, validation: Corrupted) -> dict[str, Method]:
    """Return non-local means and total-variation denoising, with parameters chosen on validation images.

    Args:
        sigma: standard deviation of the Gaussian noise, for pixels in [0, 1].
        validation: noisy validation images.
    """
    x, target = validation.batch.x, validation.batch.target
    weight = classical_restoration.tune_parameter(
        classical_restoration.total_variation, TOTAL_VARIATION_WEIGHTS, x, target
    )
    choice = classical_restoration.tune_parameter(
        lambda images, value: classical_restoration.non_local_means(images, sigma, value),
        NON_LOCAL_MEANS_CHOICES,
        x,
        target,
    )
    return {
        "non-local means": lambda c: classical_restoration.non_local_means(c.batch.x, sigma, choice),
        "total variation": lambda c: classical_restoration.total_variation(c.batch.x, weight),
    }


def error_table(
    methods: Mapping[str, Method], chunks: Iterable[Corrupted], tuned: Collection[str] = ()
) -> pd.DataFrame:
    """Return the errors of all methods on the same images, with one row per method.

    Columns: MSE per pixel for pixels in [0, 1], PSNR of the mean MSE and mean PSNR per image in dB, SSIM, and number of
    images. For masked images, the table also contains the PSNR inside and outside of the mask.

    Args:
        methods: name -> restoration method.
        chunks: batches of corrupted images.
        tuned: names of the methods whose parameters, if they have any, were chosen on validation images. The column
            `note` states this.
    """
    collected: dict[str, list[Tensor]] = {name: [] for name in methods}
    has_mask = False
    for chunk in chunks:
        has_mask = has_mask or chunk.hidden is not None
        for name, method in methods.items():
            collected[name].append(image_errors(method(chunk).clamp(0, 1), chunk))
    rows: dict[str, dict[str, Any]] = {}
    for name, columns in collected.items():
        mse, decibels, similarity, within, fraction = torch.cat(columns).double().unbind(1)
        rows[name] = {
            "mse": mean_and_error(mse),
            "psnr of mean mse": psnr_and_error(mse),
            "psnr per image": mean_and_error(decibels),
            "ssim": mean_and_error(similarity),
        }
        if has_mask:
            rows[name]["psnr inside"] = psnr_and_error(within, fraction)
            rows[name]["psnr outside"] = psnr_and_error(mse - within, 1 - fraction)
        rows[name]["images"] = len(mse)
        if tuned:
            rows[name]["note"] = "parameters, if any, chosen on validation images" if name in tuned else ""
    return comparison_table(rows)


def image_errors(output: Tensor, corrupted: Corrupted) -> Tensor:
    """Return five errors (B, 5) of restored images `output` (B, C, H, W).

    Columns: MSE, PSNR in dB, SSIM, the contribution of masked pixels to the MSE, and the fraction of masked pixels.
    """
    target, inside = corrupted.batch.target, corrupted.mask.float()
    square = (output - target).square().mean(1, keepdim=True)  # (B, 1, H, W)
    within = (square * inside).flatten(1).mean(1)
    mse = square.flatten(1).mean(1)
    return torch.stack([mse, psnr_per_image(mse), ssim(output, target), within, inside.flatten(1).mean(1)], 1)


def psnr_and_error(square: Tensor, weight: Tensor | None = None) -> tuple[float, float]:
    """Return the PSNR of a mean squared error and its standard error by the delta method, in dB.

    Args:
        square: (N,) squared error of each image, averaged over all pixels of the image. Pixels that are not measured
            contribute 0.
        weight: (N,) fraction of measured pixels in each image; None if all pixels are measured. The mean squared error
            is sum(square) / sum(weight).

    Returns:
        The PSNR and its standard error. They are NaN if the mean squared error is 0, for example for unchanged pixels.
    """
    weight = torch.ones_like(square) if weight is None else weight
    ratio = float(square.sum() / weight.sum())
    if ratio <= 1e-12:
        return math.nan, math.nan
    error = mean_and_error((square - ratio * weight) / weight.mean())[1]
    return psnr(ratio), 10 / math.log(10) * error / ratio
