"""Dimension of the codes: explained variance, intrinsic dimension, and error with only the leading components."""

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
"""Fractions of the variance. For each, the table `spectrum` contains the number of components that explain it."""
STEPS = 10
"""Maximum number of component counts in the table `kept`."""


def dimension(run: Run, *, split: str = "test", rows: int = 3000, measured: int = 500) -> ApplicationResult:
    """Measure the explained variance of codes, their intrinsic dimension, and the error of codes with fewer components.

    Args:
        run: trained run whose codes are measured.
        split: split whose intrinsic dimension is estimated, and whose codes are projected and decoded.
        rows: maximum number of images: training images for the explained variance, and images of `split` for the
            intrinsic dimension.
        measured: maximum number of images of `split` that are decoded for every number of components.

    Returns:
        Figure `dimension`. Table `spectrum`, with one row each for codes, PCA codes, whitened PCA codes and pixels:
        number of components that explain 90, 95 and 99 % of the variance, participation ratio, and intrinsic dimension
        (TwoNN). Table `kept`, with one row per number K of components: MSE of pixels in [0, 1] after decoding codes
        that are projected onto the K leading principal components of codes, and after projecting images onto the K
        leading principal components of images.

    Raises:
        UserError: if `rows` is below 10 or `measured` is below 2.
    """
    from autoencoders.figures.dimension import spectra_and_errors

    pca = run.pca()
    check_count(rows, "rows", 10)
    total = {part: len(run.data.images(part)) for part in ("train", split)}
    train = representations(run, "train", spread_rows(rows, total["train"]))
    held_out = representations(run, split, spread_rows(rows, total[split]))
    variances = {name: spectrum(z) for name, z in train.items()}
    table = comparison_table({name: describe_representation(variances[name], held_out[name]) for name in train})
    kept = kept_table(run, split, spread_rows(check_count(measured, "measured", 2), total[split]), pca)
    pixels = {run.model.name: variances[run.model.name], "pixels": variances["pixels"]}
    first = table.iloc[0]
    caption = (
        f"{first['for 90 %']:.0f} / {first['for 95 %']:.0f} / {first['for 99 %']:.0f} of {run.model.latent_dim} "
        f"components explain 90 / 95 / 99 % of the variance of codes; participation ratio "
        f"{first['participation ratio']:.1f}; TwoNN dimension {first['two-nn']:.1f}"
    )
    figure = spectra_and_errors(pixels, kept, pca.name, run.title, caption)
    return ApplicationResult(
        flatten_table(table) | flatten_table(kept), {"dimension": figure}, {"spectrum": table, "kept": kept}
    )


def describe_representation(variances: np.ndarray, held_out: Tensor) -> dict[str, object]:
    """Return the row of the table `spectrum` for one representation of the images, such as codes or pixels.

    Args:
        variances: variances of the principal components of the training features, largest first.
        held_out: features of held-out images (N, D), for the intrinsic dimension.
    """
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
    """Return a table with one row per number K of kept components and two reconstruction errors.

    `mse, codes` is the MSE after projecting codes onto their K leading principal components and decoding them.
    `mse, image PCA` is the MSE after projecting images onto their K leading principal components. Both sets of
    components are fitted to the complete training split.

    Args:
        run: trained run whose codes are projected.
        split: split of the measured images.
        rows: indices (N,) of the measured images in the split.
        pca: PCA of the training images.
    """
    train, batch = run.codes("train").z.double(), run.batch(split, rows)
    mean = train.mean(0)
    basis = torch.linalg.eigh((train - mean).T @ (train - mean))[1].flip(1)  # (Z, Z), one component per column
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
    """Return the MSE (N,) of every image, averaged over its channels and pixels, after clipping `output` to [0, 1]."""
    return (output.clamp(0, 1) - target).flatten(1).square().mean(1)
