"""Dimension of the codes: spectrum, intrinsic dimension, error over the number of kept components."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import (
    bootstrap_error,
    check_count,
    comparison_table,
    flatten_table,
    mean_and_error,
    spread_rows,
)
from autoencoders.applications.representations import representations
from autoencoders.metrics.dimension import components_for, neighbor_ratios, participation_ratio, spectrum, two_nn
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult
from autoencoders.utils.pca import PCABaseline

SHARES = (0.9, 0.95, 0.99)
STEPS = 10


def dimension(run: Run, *, split: str = "test", rows: int = 3000, measured: int = 500) -> ApplicationResult:
    """Measure the explained variance of codes, their intrinsic dimension, and the error with fewer components.

    Args:
        run: the run.
        split: split whose codes are projected and decoded, and whose intrinsic dimension is estimated.
        rows: maximum number of training images for the spectra (and of images of `split` for TwoNN).
        measured: maximum number of images of `split` that are decoded at every number of components.

    Returns:
        Figure `dimension`; tables `spectrum`: components that explain 90, 95 and 99 % of the variance, participation
        ratio and TwoNN of codes, image principal components and pixels; `kept`: MSE per pixel of [0, 1] with only the
        leading components of the codes, and with as many image components.
    """
    from autoencoders.figures.dimension import spectra_and_errors

    pca = run.pca()
    check_count(rows, "rows", 10)
    total = {part: len(run.data.images(part)) for part in ("train", split)}
    train = representations(run, "train", spread_rows(rows, total["train"]), pca)
    held_out = representations(run, split, spread_rows(rows, total[split]), pca)
    variances = {name: spectrum(z) for name, z in train.items()}
    table = comparison_table({name: describe_representation(variances[name], held_out[name]) for name in train})
    kept = kept_table(run, split, spread_rows(check_count(measured, "measured", 2), total[split]), pca)
    pixels = {run.model.name: variances[run.model.name], "pixels": variances["pixels"]}
    first = table.iloc[0]
    caption = (
        f"codes: {first['for 90 %']:.0f} / {first['for 95 %']:.0f} / {first['for 99 %']:.0f} of {run.model.latent_dim} "
        f"components explain 90 / 95 / 99 %; participation ratio {first['participation ratio']:.1f}; "
        f"TwoNN {first['two-nn']:.1f}"
    )
    figure = spectra_and_errors(pixels, kept, pca.name, run.title, caption)
    return ApplicationResult(
        flatten_table(table) | flatten_table(kept), {"dimension": figure}, {"spectrum": table, "kept": kept}
    )


def describe_representation(variances: np.ndarray, held_out: Tensor) -> dict[str, object]:
    """Return the row of one representation, from its training variances, and from held-out features for TwoNN."""
    ratios = neighbor_ratios(held_out)
    counts = {f"for {share:.0%}".replace("%", " %"): components_for(variances, share) for share in SHARES}
    return {
        **counts,
        "participation ratio": participation_ratio(variances),
        "two-nn": (two_nn(ratios), bootstrap_error(lambda i: two_nn(ratios[i]), len(ratios))),
        "numbers": held_out.shape[1],
        "images": len(held_out),
    }


def kept_table(run: Run, split: str, rows: Tensor, pca: PCABaseline) -> pd.DataFrame:
    """Return one row per number of components: the MSE of decoded projected codes, and of image PCA.

    The components of the codes are those of the complete training split.
    """
    train, batch = run.codes("train").z.double(), run.batch(split, rows)
    mean = train.mean(0)
    basis = torch.linalg.eigh((train - mean).T @ (train - mean))[1].flip(1)  # (Z, Z), leading first
    z = run.codes(split).z[rows].double() - mean
    counts = np.unique(np.geomspace(1, z.shape[1], STEPS).round().astype(int)).tolist()
    found = {}
    for k in counts:
        projected = (mean + z @ basis[:, :k] @ basis[:, :k].T).float()
        linear = PCABaseline(pca.mean, pca.components[:k], pca.shape)
        found[k] = {
            "mse, codes": mean_and_error(image_errors(run.decode(projected, batch.y), batch.target)),
            "mse, image PCA": mean_and_error(image_errors(linear.reconstruct(batch.x), batch.target)),
            "images": len(rows),
        }
    return comparison_table(found, "components")


def image_errors(output: Tensor, target: Tensor) -> Tensor:
    """Return the (N,) MSE per pixel of each image."""
    return (output.clamp(0, 1) - target).flatten(1).square().mean(1)
