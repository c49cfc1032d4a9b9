"""A grid of decoded codes from a plane of the latent space, and how much of the codes the plane explains."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import check_count, comparison_table, flatten_table, mean_and_error, spread_rows
from autoencoders.applications.latent_ranking import common_label, measure_latents, same_label
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

AXES = ("auto", "latents", "components")
EDGE = 0.02
"""The grid extends from this quantile of a standard normal to its complement along both axes."""


class Plane(NamedTuple):
    """A plane of codes, z = mean + a * axes[0] + b * axes[1], with `a` and `b` in standard deviations.

    Attributes:
        mean: (Z,).
        axes: (2, Z), orthogonal; the length of an axis is the standard deviation of the codes along it.
        names: names of the axes.
        share: share of the mean KL, or of the variance of the codes, along the axes, in [0, 1].
        kind: `KL` or `variance`.
    """

    mean: Tensor
    axes: Tensor
    names: tuple[str, str]
    share: float
    kind: str

    def at(self, points: Tensor) -> Tensor:
        """Return the codes (N, Z) of points (N, 2)."""
        return self.mean + points @ self.axes

    def points(self, z: Tensor) -> Tensor:
        """Project codes (N, Z) to coordinates (N, 2)."""
        return (z - self.mean) @ self.axes.T / self.axes.square().sum(1).clamp(min=1e-12)


def manifold(
    run: Run, *, split: str = "test", side: int = 15, axes: str = "auto", measured: int = 1000
) -> ApplicationResult:
    """Draw a grid of decoded codes, evenly spaced in the quantiles of a standard normal along two axes.

    With two latents, the plane is the latent space. With more, its axes are the two latents with the highest KL
    (`latents`, for a model with a prior) or the two leading principal components of the codes (`components`); the
    remaining coordinates stay at their mean. Two results are measured: the error of held-out images reconstructed from
    their two coordinates alone, compared with the complete code, PCA with two components and the mean image; and the
    share of codes inside the grid, compared with a standard normal.

    Args:
        run: the run.
        split: the split whose images are reconstructed from the plane.
        side: number of images along each side of the grid.
        axes: `latents`, `components`, or `auto`: latents for a model with a prior, else components.
        measured: maximum number of images that are reconstructed.

    Returns:
        Figure `grid`. Tables `explained` (MSE per pixel of [0, 1]) and `coverage`.

    Raises:
        UserError: if an option is out of range, or the model has only one latent.
    """
    from autoencoders.figures.grids import image_grid

    if axes not in AXES:
        raise UserError(f"axes must be one of {list(AXES)}, got {axes!r}.")
    if run.model.latent_dim < 2:
        raise UserError(f"A plane needs two latents, and {run.title} has one. Use application=traverse.")
    check_count(side, "side", 2)
    check_count(measured, "measured", 2)
    plane = find_plane(run, axes)
    steps = torch.special.ndtri(torch.linspace(EDGE, 1 - EDGE, side, dtype=torch.float64)).float()
    points = torch.cartesian_prod(-steps, steps).flip(1)  # rows from top (high second axis) to bottom
    label = common_label(run)
    images = run.decode(plane.at(points), same_label(label, len(points))).unflatten(0, (side, side))
    explained = explained_table(run, plane, split, measured)
    coverage = coverage_table(run, plane, split, float(steps[-1]))
    mse = explained["mse"].tolist()
    caption = f"right: {plane.names[0]}, up: {plane.names[1]}; {plane.share:.0%} of the {plane.kind}; "
    caption += f"{split} MSE from the plane {mse[0]:.4f}, from PCA-2 {mse[2]:.4f}"
    if label is not None:
        caption += f"; label: {label_text(run, label)}"
    figures = {"grid": image_grid(to_numpy(images), run.title, caption=caption)}
    return ApplicationResult(
        flatten_table(explained) | flatten_table(coverage), figures, {"explained": explained, "coverage": coverage}
    )


def label_text(run: Run, label: Tensor) -> str:
    """Return the name of the class, or `mean attributes`, for the caption of the figure."""
    context = run.model.labels
    if context is None or label.ndim > 0:
        return "mean attributes"
    return str(context.names[int(label)])


def find_plane(run: Run, axes: str) -> Plane:
    """Return the plane of two latents or of two principal components of the training codes."""
    if axes == "latents" or run.model.latent_dim == 2 or (axes == "auto" and run.model.has_prior):
        return latent_plane(run)
    z = run.codes("train").z
    variance, vectors = torch.linalg.eigh(torch.cov(z.double().T))
    variance, vectors = variance.flip(0), vectors.flip(1).T
    peak = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    directions = (vectors * peak.sign())[:2] * variance[:2, None].clamp(min=0).sqrt()
    share = float(variance[:2].sum() / variance.sum().clamp(min=1e-12))
    return Plane(z.mean(0), directions.float(), ("PC 1 of the codes", "PC 2"), share, "variance")


def latent_plane(run: Run) -> Plane:
    """Return the plane of the two most important latents, or of both latents in their own order."""
    latents = measure_latents(run)
    pair = latents.order[:2] if run.model.latent_dim > 2 else torch.arange(2)
    directions = torch.zeros(2, len(latents.mean))
    directions[[0, 1], pair] = latents.scale[pair]
    names = (f"latent {int(pair[0])}", f"latent {int(pair[1])}")
    share = float(latents.measure[pair].sum() / latents.measure.sum().clamp(min=1e-12))
    return Plane(latents.mean, directions, names, share, latents.kind)


def explained_table(run: Run, plane: Plane, split: str, count: int) -> pd.DataFrame:
    """Return the errors of reconstructions from the plane, from the complete code and by the baselines."""
    batch, pca = run.batch(split, spread_rows(count, len(run.codes(split).z))), run.pca(2)
    z = run.encode(batch.x, batch.y)
    outputs = {
        "plane": run.decode(plane.at(plane.points(z)), batch.y),
        run.model.name: run.decode(z, batch.y),
        pca.name: pca.reconstruct(batch.x),
        "mean image": run.data.mean_image().float().expand_as(batch.x),
    }
    rows: dict[str, dict[str, Any]] = {}
    for name, output in outputs.items():
        mse = (output.clamp(0, 1) - batch.target).flatten(1).square().mean(1)
        rows[name] = {"mse": mean_and_error(mse), "images": len(output)}
    return comparison_table(rows)


def coverage_table(run: Run, plane: Plane, split: str, edge: float) -> pd.DataFrame:
    """Return the share of codes inside the grid, whose sides are at +-`edge`, and that of a standard normal."""
    inside = (plane.points(run.codes(split).z).abs() <= edge).all(1).double()
    rows: dict[str, dict[str, Any]] = {
        "codes": {"inside the grid": mean_and_error(inside), "images": len(inside)},
        "standard normal": {"inside the grid": (1 - 2 * EDGE) ** 2},
    }
    return comparison_table(rows)
