"""Linear and spherical paths between codes, decoded to images and compared with a cross-fade of pixels."""

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
    """Draw strips between two images, between the means of two groups (such as persons), and between sampled codes.

    Two numbers are measured over random pairs of held-out images. The first is the length of the decoded path divided
    by the straight distance of its ends in pixels; a cross-fade has 1. The second is the root mean squared distance of
    the middle image to the nearest training image. Blur alone makes this distance small. Therefore the table also
    contains a cross-fade of the reconstructions, which are as blurred as decoded images, and the distance of the
    reconstructed ends themselves.

    Args:
        run: the run. With a model conditioned on classes, both ends have the same class; attributes are interpolated
            together with the code.
        split: the split whose images are paired.
        images: a folder of your own images; each is paired with the next.
        pairs: number of strips of each kind.
        steps: number of images in a strip, including the ends.
        measured: number of pairs that are measured.
        references: maximum number of evenly spaced training images among which the nearest is searched.
        least: minimum number of images of a group in the split for its mean to be used.
        gif: also return the strips as animations, forward and back.
        seed: seed of the pairs and of the sampled codes.

    Returns:
        Figures `images`, `groups` (if there are two such groups) and `random`, and animations with the same names if
        `gif` is set. Table `paths`.

    Raises:
        UserError: if there are fewer than two images, or a number is out of range.
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
        "groups": (group_strips(run, split, pairs, least), "between the mean codes of two groups"),
        "random": (sampled_strips(run, pairs, generator), "between two sampled codes"),
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
    """Return a caption with the distances of middle images to the nearest training image."""
    distances = table.set_index("method")["to nearest"]
    values = [f"{name} {distances[name]:.3f}" for name in ("linear", "spherical", "pixel cross-fade")]
    return f"RMSE of the middle image to the nearest training image: {'; '.join(values)}"


def strip_images(run: Run, strips: Strips, steps: int) -> tuple[np.ndarray, list[str]]:
    """Decode strips.

    Returns:
        Images (R, S, C, H, W): for each pair a linear path, a spherical path and, between real images, a cross-fade.
        A label per row.
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
    """Convert strips (R, S, C, H, W) to frames (2 S - 2, H', W', 3) of all rows, forward and back."""
    from autoencoders.figures.grids import tile_images

    steps = grid.shape[1]
    order = [*range(steps), *range(steps - 2, 0, -1)]
    return np.stack([tile_images(grid[None, :, i]) for i in order])


def decode_paths(run: Run, ends: Ends, steps: int) -> dict[str, Tensor]:
    """Decode linear and spherical paths to images (N, S, C, H, W)."""
    t = torch.linspace(0, 1, steps)
    center = torch.zeros(run.model.latent_dim) if run.model.has_prior else run.codes("train").z.mean(0)
    paths = {
        "linear": linear(ends.start, ends.end, t),
        "spherical": spherical(ends.start, ends.end, t, center),
    }
    y = path_labels(ends, t)
    return {name: run.decode(z.flatten(0, 1), y).unflatten(0, (-1, steps)) for name, z in paths.items()}


def path_labels(ends: Ends, t: Tensor) -> Tensor | None:
    """Return the labels of N paths at `t` (S,): (N * S,) classes, (N * S, A) attributes, or None."""
    if ends.start_labels is None or ends.end_labels is None:
        return None
    if ends.start_labels.ndim == 1:  # classes are the same at both ends
        return ends.start_labels.repeat_interleave(len(t))
    return linear(ends.start_labels, ends.end_labels, t).flatten(0, 1)


def path_table(
    run: Run, split: str, count: int, references: int, steps: int, generator: torch.Generator
) -> pd.DataFrame:
    """Return the measures of paths and cross-fades over random pairs: a row per kind of path."""
    starts, stops = random_pairs(run, split, count, generator)
    ends = ends_of_rows(run, split, starts, stops)
    store = run.prepare().data.images("train")
    training = store[spread_rows(references, len(store))].float() / 255
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
    """Return the relative length and the relative largest step of decoded paths (N, S, C, H, W), in pixels."""
    moved = (strip[:, 1:] - strip[:, :-1]).flatten(2).norm(dim=2)  # (N, S - 1)
    straight = (strip[:, -1] - strip[:, 0]).flatten(1).norm(dim=1).clamp(min=1e-12)
    return {
        "length": mean_and_error(moved.sum(1) / straight),
        "largest step over mean": mean_and_error(moved.max(1).values / moved.mean(1).clamp(min=1e-12)),
    }


def nearest_distance(images: Tensor, training: Tensor) -> dict[str, Any]:
    """Return the mean distance of images (N, C, H, W) to their nearest training image."""
    return {"to nearest": mean_and_error(pixel_distances(images, training).min(1).values), "pairs": len(images)}
