"""A grid of images decoded from a plane in latent space, and how much of the codes' variation the plane explains."""

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
"""Along both axes, the grid extends from the quantile EDGE to the quantile 1 - EDGE of a standard normal."""


class Plane(NamedTuple):
    """A plane in latent space: the codes z = mean + a * axes[0] + b * axes[1] for all coordinates (a, b).

    Attributes:
        mean: (Z,) code at the center of the plane.
        axes: (2, Z) orthogonal vectors. The length of each vector is one standard deviation of the prior, or of the
            codes if the axes are principal components or the model has no prior.
        names: display names of the axes.
        share: fraction of the total KL, or of the total variance of the codes, along the two axes, in [0, 1].
        kind: the quantity of `share`: `KL` or `variance`.
    """

    mean: Tensor
    axes: Tensor
    names: tuple[str, str]
    share: float
    kind: str

    def at(self, points: Tensor) -> Tensor:
        """Return the codes (N, Z) at coordinates `points` (N, 2) in the plane."""
        return self.mean + points @ self.axes

    def points(self, z: Tensor) -> Tensor:
        """Return the coordinates (N, 2) of codes `z` (N, Z) after projection to the plane."""
        return (z - self.mean) @ self.axes.T / self.axes.square().sum(1).clamp(min=1e-12)


def manifold(
    run: Run, *, split: str = "test", side: int = 15, axes: str = "auto", measured: int = 1000
) -> ApplicationResult:
    """Plot a grid of images decoded from a plane in latent space.

    Along both axes, the codes are evenly spaced in the quantiles of a standard normal. If the model has two latents,
    the plane is the complete latent space. If it has more latents, `axes` selects the plane, and all other coordinates
    are set to their mean.

    Two quantities are measured on images of the split. The first is the error of images that are reconstructed from
    their two coordinates in the plane, compared with the complete code, PCA with two components and the mean image. The
    second is the fraction of codes inside the grid, compared with a standard normal.

    Args:
        run: run whose codes are decoded.
        split: split whose images are reconstructed from the plane.
        side: number of images along each side of the grid.
        axes: `latents` (the two latents with the highest KL, or variance for a model without a prior), `components`
            (the two leading principal components of the codes), or `auto`: `latents` for a model with a standard normal
            prior, else `components`.
        measured: maximum number of images that are reconstructed.

    Returns:
        Figure `grid`. Tables `explained` (MSE per pixel, for pixels in [0, 1]) and `coverage` (fraction of codes inside
        the grid).

    Raises:
        UserError: if an option is out of range, or the model has only one latent.
    """
    from autoencoders.figures.grids import image_grid

    if axes not in AXES:
        raise UserError(f"axes must be one of {list(AXES)}, got {axes!r}.")
    if run.model.latent_dim < 2:
        raise UserError(
            f"application=manifold needs a model with at least two latents, but {run.title} has one. Choose "
            "application=traverse."
        )
    check_count(side, "side", 2)
    check_count(measured, "measured", 2)
    plane = find_plane(run, axes)
    steps = torch.special.ndtri(torch.linspace(EDGE, 1 - EDGE, side, dtype=torch.float64)).float()
    points = torch.cartesian_prod(-steps, steps).flip(1)  # the second coordinate is highest in the top row
    label = common_label(run)
    images = run.decode(plane.at(points), same_label(label, len(points))).unflatten(0, (side, side))
    explained = explained_table(run, plane, split, measured)
    coverage = coverage_table(run, plane, split, float(steps[-1]))
    mse = explained["mse"].tolist()
    caption = (
        f"axes: {plane.names[0]} (horizontal), {plane.names[1]} (vertical), {plane.share:.0%} of the {plane.kind}; "
    )
    caption += f"{split} MSE: plane {mse[0]:.4f}, PCA-2 {mse[2]:.4f}"
    if label is not None:
        caption += f"; label of all images: {label_text(run, label)}"
    figures = {"grid": image_grid(to_numpy(images), run.title, caption=caption)}
    return ApplicationResult(
        flatten_table(explained) | flatten_table(coverage), figures, {"explained": explained, "coverage": coverage}
    )


def label_text(run: Run, label: Tensor) -> str:
    """Return the text for a label in the figure caption: the name of the class, or `mean attributes`."""
    context = run.model.labels
    if context is None or label.ndim > 0:
        return "mean attributes"
    return str(context.names[int(label)])


def find_plane(run: Run, axes: str) -> Plane:
    """Return the plane that `axes` selects: two latents, or two principal components of the training codes."""
    if axes == "latents" or run.model.latent_dim == 2 or (axes == "auto" and run.model.has_standard_prior):
        return latent_plane(run)
    z = run.codes("train").z
    variance, vectors = torch.linalg.eigh(torch.cov(z.double().T))
    variance, vectors = variance.flip(0), vectors.flip(1).T
    peak = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    directions = (vectors * peak.sign())[:2] * variance[:2, None].clamp(min=0).sqrt()
    share = float(variance[:2].sum() / variance.sum().clamp(min=1e-12))
    return Plane(z.mean(0), directions.float(), ("PC 1 of the codes", "PC 2 of the codes"), share, "variance")


def latent_plane(run: Run) -> Plane:
    """Return the plane of the two most important latents. If the model has only two latents, their order is kept."""
    latents = measure_latents(run)
    pair = latents.order[:2] if run.model.latent_dim > 2 else torch.arange(2)
    directions = torch.zeros(2, len(latents.mean))
    directions[[0, 1], pair] = latents.scale[pair]
    names = (f"latent {int(pair[0])}", f"latent {int(pair[1])}")
    share = float(latents.measure[pair].sum() / latents.measure.sum().clamp(min=1e-12))
    return Plane(latents.mean, directions, names, share, latents.kind)


def explained_table(run: Run, plane: Plane, split: str, count: int) -> pd.DataFrame:
    """Return the MSE of reconstructions from the plane, from the complete code, by PCA and by the mean image.

    Args:
        run: run whose images are reconstructed.
        plane: plane to which the codes are projected.
        split: split of the images.
        count: maximum number of images.
    """
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
    """Return the fraction of codes, and of a standard normal, inside the grid from -`edge` to `edge` on both axes."""
    inside = (plane.points(run.codes(split).z).abs() <= edge).all(1).double()
    rows: dict[str, dict[str, Any]] = {
        "codes": {"inside the grid": mean_and_error(inside), "images": len(inside)},
        "standard normal": {"inside the grid": (1 - 2 * EDGE) ** 2},
    }
    return comparison_table(rows)
