"""Interpolation: images decoded along linear and spherical paths between codes, compared with pixel cross-fades."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import check_count, comparison_table, flatten_table, mean_and_error, spread_rows
from autoencoders.applications.interpolation_ends import (
    Ends,
    Strips,
    ends_of_rows,
    group_strips,
    own_image_strips,
    random_image_strips,
    random_pairs,
    sampled_strips,
)
from autoencoders.latent.paths import linear, spherical
from autoencoders.metrics.neighbors import pixel_distances
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult
from autoencoders.utils.arrays import to_numpy
from autoencoders.utils.pixels import to_unit


def interpolate(
    run: Run,
    *,
    split: str = "test",
    images: str | None = None,
    pairs: int = 3,
    steps: int = 9,
    measured: int = 100,
    references: int = 5000,
    least: int = 5,
    gif: bool = False,
    seed: int = 0,
) -> ApplicationResult:
    """Plot strips of images decoded between two images, between two group means, and between two sampled codes.

    Two quantities are measured on random pairs of images from the split. The first is the length of the decoded path,
    divided by the distance between its two ends; both are distances between pixels. A pixel cross-fade has the value 1.
    The second is the root mean squared error (RMSE) between the middle image and its nearest training image. Blur alone
    makes this error small. Therefore the table also contains a cross-fade between reconstructions, which are as
    blurred as decoded images, and the error of the reconstructed ends.

    Args:
        run: run whose model decodes the paths. A model conditioned on classes decodes each path with one class. For a
            model conditioned on attributes, the attributes are interpolated like the code.
        split: split whose images are paired.
        images: folder of your own images, each of which is paired with the next one; None for images of the split.
        pairs: number of strips in each figure.
        steps: number of images in a strip, including the ends.
        measured: number of random pairs in the measurement.
        references: maximum number of training images that are searched for the nearest image, evenly spaced.
        least: minimum number of images of a group (such as a person) in the split. Smaller groups are not used.
        gif: whether to return the strips also as animations that play forward and backward.
        seed: seed of the random pairs and of the sampled codes.

    Returns:
        Figures `images`, `random` and `groups`, animations with the same names if `gif` is set, and the table `paths`.
        `groups` needs two groups that are large enough, and a model that is not conditioned on classes.

    Raises:
        UserError: if there are fewer than two images, or an option is out of range.
    """
    from autoencoders.figures.grids import image_grid

    check_count(pairs, "pairs")
    check_count(steps, "steps", 3)
    check_count(measured, "measured", 2)
    check_count(least, "least")
    generator = torch.Generator().manual_seed(seed)
    table = path_table(run, split, measured, references, steps, generator)
    if images is None:
        image_strips = random_image_strips(run, split, pairs, seed)
    else:
        image_strips = own_image_strips(run, split, images, pairs)
    kinds = {
        "images": (image_strips, distance_caption(table)),
        "groups": (group_strips(run, split, pairs, least), "paths between the mean codes of two groups"),
        "random": (sampled_strips(run, pairs, generator), "paths between two sampled codes"),
    }
    figures, animations = {}, {}
    for name, (strips, caption) in kinds.items():
        if strips is None:
            continue
        grid, rows = strip_images(run, strips, steps)
        figures[name] = image_grid(grid, run.title, rows=rows, caption=caption)
        if gif:
            animations[name] = forward_and_back(grid)
    return ApplicationResult(flatten_table(table), figures, {"paths": table}, animations)


def distance_caption(table: pd.DataFrame) -> str:
    """Return a figure caption with the mean RMSE between middle images and their nearest training images."""
    distances = table.set_index("method")["to nearest"]
    values = [f"{name} {distances[name]:.3f}" for name in ("linear", "spherical", "pixel cross-fade")]
    return f"RMSE between the middle image and its nearest training image: {', '.join(values)}"


def strip_images(run: Run, strips: Strips, steps: int) -> tuple[np.ndarray, list[str]]:
    """Decode the rows of a figure: a linear path, a spherical path and, between real images, a pixel cross-fade.

    Returns:
        Images (R, S, C, H, W) for R rows with S = `steps` images, and the display name of each row.
    """
    t = torch.linspace(0, 1, steps)
    rows, labels = [], []
    for i in range(len(strips.ends.start)):
        for kind, images in decode_paths(run, strips.ends.select(i), steps).items():
            rows.append(to_numpy(images[0]))
            labels.append(strips.names[i] if kind == "linear" and strips.names else kind)
        if strips.images is not None:
            start, end = (images[i].flatten()[None] for images in strips.images)
            rows.append(to_numpy(linear(start, end, t)[0].unflatten(1, run.model.shape)))
            labels.append("pixel cross-fade")
    return np.stack(rows), labels


def forward_and_back(grid: np.ndarray) -> np.ndarray:
    """Return the frames (2 S - 2, H', W', 3) of an animation that plays strips (R, S, C, H, W) forward and backward.

    Each frame shows one step of all R strips. H' and W' are the size of a frame in pixels.
    """
    from autoencoders.figures.grids import tile_images

    steps = grid.shape[1]
    order = [*range(steps), *range(steps - 2, 0, -1)]
    return np.stack([tile_images(grid[None, :, i]) for i in order])


def decode_paths(run: Run, ends: Ends, steps: int) -> dict[str, Tensor]:
    """Decode the linear and the spherical path between the ends of N paths.

    Returns:
        `linear` and `spherical` -> images (N, S, C, H, W) for S = `steps`.
    """
    t = torch.linspace(0, 1, steps)
    center = torch.zeros(run.model.latent_dim) if run.model.has_standard_prior else run.codes("train").z.mean(0)
    paths = {
        "linear": linear(ends.start, ends.end, t),
        "spherical": spherical(ends.start, ends.end, t, center),
    }
    y = path_labels(ends, t)
    return {name: run.decode(z.flatten(0, 1), y).unflatten(0, (-1, steps)) for name, z in paths.items()}


def path_labels(ends: Ends, t: Tensor) -> Tensor | None:
    """Return the labels with which N paths are decoded at the positions `t` (S,) in [0, 1].

    Returns:
        Classes (N * S,) or attributes (N * S, A); None for an unconditional model.
    """
    if ends.start_labels is None or ends.end_labels is None:
        return None
    if ends.start_labels.ndim == 1:  # a path is decoded with the class of its start
        return ends.start_labels.repeat_interleave(len(t))
    return linear(ends.start_labels, ends.end_labels, t).flatten(0, 1)


def path_table(
    run: Run, split: str, count: int, references: int, steps: int, generator: torch.Generator
) -> pd.DataFrame:
    """Return a table that measures paths and cross-fades between `count` random pairs of images.

    The table has one row per kind of path or cross-fade, one row for the reconstructed ends and one for the real ends.
    """
    starts, stops = random_pairs(run, split, count, generator)
    ends = ends_of_rows(run, split, starts, stops)
    store = run.prepare().data.images("train")
    training = to_unit(store[spread_rows(references, len(store))])
    real = (run.batch(split, starts).target, run.batch(split, stops).target)
    decoded = (
        run.decode(ends.start, ends.start_labels).clamp(0, 1),
        run.decode(ends.end, ends.end_labels).clamp(0, 1),
    )
    odd_steps = steps | 1  # an odd number of images has a middle one
    t = torch.linspace(0, 1, odd_steps)[:, None, None, None]
    strips = {name: strip.clamp(0, 1) for name, strip in decode_paths(run, ends, odd_steps).items()}
    strips["reconstruction cross-fade"] = torch.lerp(decoded[0][:, None], decoded[1][:, None], t)
    strips["pixel cross-fade"] = torch.lerp(real[0][:, None], real[1][:, None], t)
    rows: dict[str, dict[str, Any]] = {}
    for name, strip in strips.items():
        rows[name] = {**path_lengths(strip), **nearest_distance(strip[:, odd_steps // 2], training)}
    rows["reconstructed ends"] = nearest_distance(decoded[0], training)
    rows["real ends"] = nearest_distance(real[0], training)
    return comparison_table(rows)


def path_lengths(strip: Tensor) -> dict[str, tuple[float, float]]:
    """Measure decoded paths (N, S, C, H, W) by distances between pixels.

    Returns:
        `length`: the length of the path, divided by the distance between its ends. `largest step over mean`: the
        largest step between two images, divided by the mean step. Each value is a mean and its standard error.
    """
    moved = (strip[:, 1:] - strip[:, :-1]).flatten(2).norm(dim=2)  # (N, S - 1)
    straight = (strip[:, -1] - strip[:, 0]).flatten(1).norm(dim=1).clamp(min=1e-12)
    return {
        "length": mean_and_error(moved.sum(1) / straight),
        "largest step over mean": mean_and_error(moved.max(1).values / moved.mean(1).clamp(min=1e-12)),
    }


def nearest_distance(images: Tensor, training: Tensor) -> dict[str, Any]:
    """Return the mean RMSE between images (N, C, H, W) and their nearest images in `training` (M, C, H, W)."""
    return {"to nearest": mean_and_error(pixel_distances(images, training).min(1).values), "pairs": len(images)}
