"""What does a plane of the latent space look like? A grid of codes, decoded, and what the plane explains."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, mean_and_error, number_of_images, spread_rows
from autoencoders.applications.latent_ranking import common_label, measure_latents, same_label
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

AXES = ("auto", "latents", "components")
EDGE = 0.02
"""The grid reaches from this quantile to its complement along both axes."""


class Plane(NamedTuple):
    """z = mean + a first + b second, with `a` and `b` in standard deviations.

    Attributes:
        mean: (Z,).
        axes: (2, Z), orthogonal; the length of an axis is its standard deviation.
        names: of the axes.
        share: of the mean KL, or of the codes' variance, that lies along the axes, in [0, 1].
        kind: `KL` or `variance`.
    """

    mean: Tensor
    axes: Tensor
    names: tuple[str, str]
    share: float
    kind: str

    def at(self, points: Tensor) -> Tensor:
        """(N, Z) codes of points (N, 2)."""
        return self.mean + points @ self.axes

    def points(self, z: Tensor) -> Tensor:
        """(N, 2) coordinates of codes (N, Z)."""
        return (z - self.mean) @ self.axes.T / self.axes.square().sum(1).clamp(min=1e-12)


def manifold(
    run: Run, *, split: str = "test", side: int = 15, axes: str = "auto", measured: int = 1000
) -> ApplicationResult:
    """A grid of decoded codes, evenly spaced in the quantiles of a standard normal along two axes.

    Two latents are the plane itself. Of more, the two with the highest KL (`latents`, for a model with a prior) or the
    two leading principal components of the codes (`components`) make it, and the others stay at the prior's mean or the
    codes'. The number is how well held-out images are reconstructed from their two coordinates alone, beside the
    whole code, PCA with two components and the mean image; and the share of codes inside the grid, beside what a
    standard normal has.

    Args:
        run: the run.
        split: whose images are reconstructed from the plane.
        side: images along either side of the grid.
        axes: `latents`, `components`, or `auto`: latents under a prior, else components.
        measured: images, at most, that are reconstructed.

    Returns:
        The figure `grid`; the tables `explained` (MSE per pixel of [0, 1]) and `coverage`.

    Raises:
        UserError: where an option makes no sense, or the model has one latent.
    """
    from autoencoders.figures.grids import image_grid

    if axes not in AXES:
        raise UserError(f"axes must be one of {list(AXES)}, and is {axes!r}.")
    if run.model.latent_dim < 2:
        raise UserError(f"A plane takes two latents, and {run.title} has one: ask application=traverse.")
    number_of_images(side, "side", 2)
    number_of_images(measured, "measured", 2)
    plane = find_plane(run, axes)
    steps = torch.special.ndtri(torch.linspace(EDGE, 1 - EDGE, side, dtype=torch.float64)).float()
    points = torch.cartesian_prod(-steps, steps).flip(1)  # rows from top (high second axis) to bottom
    label = common_label(run)
    images = run.decode(plane.at(points), same_label(label, len(points))).unflatten(0, (side, side))
    explained, coverage = measure(run, plane, split, measured, float(steps[-1]))
    mse = explained["mse"].tolist()
    caption = f"{plane.names[0]} to the right, {plane.names[1]} upwards: {plane.share:.0%} of {plane.kind}; "
    caption += f"{split} MSE from the plane {mse[0]:.4f}, from PCA-2 {mse[2]:.4f}"
    if label is not None:
        caption += f"; told {told(run, label)}"
    figures = {"grid": image_grid(to_numpy(images), run.title, caption=caption)}
    return ApplicationResult(flat(explained) | flat(coverage), figures, {"explained": explained, "coverage": coverage})


def told(run: Run, label: Tensor) -> str:
    """The label of the figure, in words."""
    return str(run.model.labels.names[int(label)]) if label.ndim == 0 else "mean attributes"


def find_plane(run: Run, axes: str) -> Plane:
    """The plane of two latents or two principal components of the training codes."""
    latents, z = measure_latents(run), run.codes("train").z
    if axes == "latents" or run.model.latent_dim == 2 or (axes == "auto" and run.model.has_prior):
        pair = latents.order[:2] if run.model.latent_dim > 2 else torch.arange(2)
        directions = torch.zeros(2, len(latents.mean))
        directions[[0, 1], pair] = latents.scale[pair]
        names = tuple(f"latent {i}" for i in pair.tolist())
        share = float(latents.measure[pair].sum() / latents.measure.sum().clamp(min=1e-12))
        return Plane(latents.mean, directions, names, share, latents.kind)
    variance, vectors = torch.linalg.eigh(torch.cov(z.double().T))
    variance, vectors = variance.flip(0), vectors.flip(1).T
    peak = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    directions = (vectors * peak.sign())[:2] * variance[:2, None].clamp(min=0).sqrt()
    share = float(variance[:2].sum() / variance.sum().clamp(min=1e-12))
    return Plane(z.mean(0), directions.float(), ("PC 1 of the codes", "PC 2"), share, "variance")


def measure(run: Run, plane: Plane, split: str, count: int, edge: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables: errors of reconstructions from the plane, and the share of codes inside the grid."""
    batch, pca = run.batch(split, spread_rows(count, len(run.codes(split).z))), run.pca(2)
    z = run.encode(batch.x, batch.y)
    outputs = {
        "plane": run.decode(plane.at(plane.points(z)), batch.y),
        run.model.name: run.decode(z, batch.y),
        pca.name: pca.reconstruct(batch.x),
        "mean image": run.data.mean_image().float().expand_as(batch.x),
    }
    errors = {
        name: {
            "mse": mean_and_error((output.clamp(0, 1) - batch.target).flatten(1).square().mean(1)),
            "images": len(output),
        }
        for name, output in outputs.items()
    }
    inside = (plane.points(run.codes(split).z).abs() <= edge).all(1).double()
    shares = {
        "codes": {"inside the grid": mean_and_error(inside), "images": len(inside)},
        "standard normal": {"inside the grid": (1 - 2 * EDGE) ** 2},
    }
    return comparison(errors), comparison(shares)
