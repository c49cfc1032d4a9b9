"""Reconstructed images, heat maps of their codes, and reconstruction errors compared with PCA and the mean image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison_table, flatten_table, mean_and_error, select_images
from autoencoders.metrics.images import psnr, psnr_per_image, ssim
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult
from autoencoders.utils.arrays import to_numpy


def reconstruct(run: Run, *, split: str = "test", images: str | None = None, count: int = 10) -> ApplicationResult:
    """Plot input, target, code and output of images, and measure the reconstruction errors on the complete split.

    Args:
        run: run whose model reconstructs the images.
        split: split on which errors are measured. Its images are plotted if `images` is None.
        images: image file, or folder of your own images, to plot.
        count: number of images that are plotted.

    Returns:
        Figures `rows` (input, target and output images) and `codes` (inputs, heat maps of their codes, and outputs).
        Table `errors` for the model, PCA with as many components as latents, and the mean training image: MSE per
        pixel for pixels in [0, 1], difference from the model's MSE on the same images, PSNR of the mean MSE and mean
        PSNR per image in dB, and mean SSIM.

    Raises:
        UserError: if the images cannot be read, or `images` is set for a conditional model.
    """
    from autoencoders.figures.code_heatmaps import code_heatmaps
    from autoencoders.figures.grids import image_grid

    batch, names = select_images(run, split, count, images)
    z = run.encode(batch.x, batch.y)
    output = run.decode(z, batch.y)
    table = reconstruction_errors(run, split)
    model, *baselines = table.to_dict("records")
    baseline_errors = ", ".join(f"{row['method']} {row['mse']:.4g}" for row in baselines)
    caption = f"{split} MSE: {model['mse']:.4g} (PSNR {model['psnr of mean mse']:.1f} dB); baselines: {baseline_errors}"
    rows = {"input": to_numpy(batch.x), "target": to_numpy(batch.target), "output": to_numpy(output)}
    if batch.x is batch.target:
        del rows["target"]
    columns = names if images is not None else ()
    figures = {
        "rows": image_grid(np.stack(list(rows.values())), run.title, rows=list(rows), columns=columns, caption=caption),
        "codes": code_heatmaps(rows["input"], z.numpy(), rows["output"], run.title, caption),
    }
    return ApplicationResult(flatten_table(table), figures, {"errors": table})


def reconstruction_errors(run: Run, split: str) -> pd.DataFrame:
    """Return the reconstruction errors on a complete split, with one row per method and the model first."""
    data, pca = run.prepare().data, run.pca()
    mean_image = data.mean_image().float()
    methods: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
        run.model.name: run.reconstruct,
        pca.name: lambda x, y: pca.reconstruct(x),
        "mean image": lambda x, y: mean_image.expand_as(x),
    }
    collected: dict[str, list[Tensor]] = {name: [] for name in methods}
    for batch in data.evaluation_batches(split):
        for name, method in methods.items():
            output = method(batch.x, batch.y).clamp(0, 1)
            mse = (output - batch.target).flatten(1).square().mean(1)
            collected[name].append(torch.stack([mse, psnr_per_image(mse), ssim(output, batch.target)], 1))
    model_mse = torch.cat(collected[run.model.name])[:, 0]
    rows: dict[str, dict[str, Any]] = {}
    for name, chunks in collected.items():
        mse, decibels, similarity = torch.cat(chunks).unbind(1)
        rows[name] = {
            "mse": mean_and_error(mse),
            # The difference on the same images has a smaller standard error, because variation between images cancels.
            "mse above the model's": mean_and_error(mse - model_mse),
            "psnr of mean mse": psnr(float(mse.mean())),
            "psnr per image": mean_and_error(decibels),
            "ssim": mean_and_error(similarity),
            "images": len(mse),
        }
    return comparison_table(rows)
