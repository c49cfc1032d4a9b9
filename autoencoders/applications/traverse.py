"""Traversals: images decoded while one latent changes, and a table with the effect of each latent on the images."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import (
    check_count,
    comparison_table,
    flatten_table,
    mean_and_error,
    select_images,
    spread_rows,
)
from autoencoders.applications.latent_ranking import Latents, common_label, measure_latents, same_label
from autoencoders.applications.representations import conditioning_labels
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, Batch, UserError
from autoencoders.utils.arrays import to_numpy


def traverse(
    run: Run,
    *,
    split: str = "test",
    images: str | None = None,
    row: int | None = None,
    latents: int = 10,
    steps: int = 9,
    reach: float = 3.0,
    measured: int = 200,
    seed: int = 0,
) -> ApplicationResult:
    """Plot one row of images per latent: the latent changes from left to right, and all other latents stay constant.

    The latents are ordered by KL, or by variance for a model without a prior. Two effects of each latent are measured
    on images of the split. The first is the change of the image when the latent increases from one standard deviation
    below its mean to one standard deviation above it, as root mean squared difference per pixel. The second is the
    increase of the reconstruction MSE when the latent is set to its mean. The baselines are a random direction with the
    same scale, and the complete code.

    Args:
        run: run whose latents are traversed.
        split: split whose images are measured, and from which `row` is taken.
        images: your own image file to start from, or a folder whose first image is used.
        row: index of the image in the split to start from; None starts from the mean code. `images` takes precedence.
        latents: maximum number of latents in the figure and in the table.
        steps: number of images in a row of the figure.
        reach: largest deviation of the latent from its mean, in standard deviations of the prior, or of the codes for a
            model without a prior.
        measured: maximum number of images that are measured.
        seed: seed of the random direction.

    Returns:
        Figure `rows` and table `latents`.

    Raises:
        UserError: if `row` is not an index of the split, or another option is out of range.
    """
    from autoencoders.figures.grids import image_grid

    check_count(latents, "latents")
    check_count(steps, "steps", 2)
    check_count(measured, "measured", 2)
    if not reach > 0:
        raise UserError(f"reach must be a number > 0, in standard deviations, got {reach}.")
    ranking = measure_latents(run)
    start, label, start_name = starting_point(run, ranking, split, images, row)
    order = ranking.order[:latents].tolist()
    offsets = torch.linspace(-reach, reach, steps)
    decoded = decode_traversals(run, ranking, order, start, label, offsets)
    table = latent_table(run, ranking, order, split, measured, seed)
    unit = "the prior" if run.model.has_standard_prior else "the codes"
    figure = image_grid(
        to_numpy(decoded),
        run.title,
        rows=[f"z {i}, {ranking.kind} {ranking.measure[i]:.2f}" for i in order],
        columns=[f"{offset:+.1f}" for offset in offsets.tolist()],
        caption=f"start: {start_name}; columns: latent minus its mean, in standard deviations of {unit}",
    )
    return ApplicationResult(flatten_table(table), {"rows": figure}, {"latents": table})


def decode_traversals(
    run: Run, ranking: Latents, order: list[int], start: Tensor, label: Tensor | None, offsets: Tensor
) -> Tensor:
    """Decode codes in which one latent changes and all others have their values at the start.

    Args:
        run: run whose latents are traversed.
        ranking: center and scale of the latents.
        order: indices of the R latents that change.
        start: code (Z,) where the traversals start.
        label: label of the start, for a conditional model; see `same_label`.
        offsets: (S,) deviations of the latent from its center, in units of its scale.

    Returns:
        Images (R, S, C, H, W).
    """
    rows, steps = len(order), len(offsets)
    z = start.repeat(rows, steps, 1)
    for i, latent in enumerate(order):
        z[i, :, latent] = ranking.mean[latent] + offsets * ranking.scale[latent]
    return run.decode(z.flatten(0, 1), same_label(label, rows * steps)).unflatten(0, (rows, steps))


def starting_point(
    run: Run, ranking: Latents, split: str, images: str | None, row: int | None
) -> tuple[Tensor, Tensor | None, str]:
    """Return the code (Z,) where the traversal starts, its label for a conditional model, and its display name.

    Args:
        run: run whose latents are traversed.
        ranking: centers of the latents, for the mean code.
        split: split to which `row` refers.
        images: the user's own image file or folder to start from, or None.
        row: index of the image in the split to start from; None for the mean code.

    Raises:
        UserError: if `row` is not an index of the split.
    """
    if images is not None:
        batch, names = select_images(run, split, 1, images)
        return run.encode(batch.x)[0], None, names[0]
    if row is None:
        return ranking.mean.clone(), common_label(run), "the mean code"
    count = len(run.codes(split).z)
    if not 0 <= row < count:
        raise UserError(
            f"row must be an integer between 0 and {count - 1} because split={split} has {count} images, got {row}."
        )
    y = conditioning_labels(run, split)
    label = None if y is None else y[row]
    return run.codes(split).z[row], label, f"{split} image {row}"


def latent_table(run: Run, ranking: Latents, order: list[int], split: str, count: int, seed: int) -> pd.DataFrame:
    """Return a table with the effects of every latent in `order`, of a random direction and of the complete code.

    Args:
        run: run whose latents are measured.
        ranking: importance, center and scale of the latents.
        order: indices of the measured latents.
        split: split of the images.
        count: maximum number of images.
        seed: seed of the random direction.
    """
    rows = spread_rows(count, len(run.codes(split).z))
    batch = run.batch(split, rows)
    z = run.encode(batch.x, batch.y)
    direction = torch.randn(len(ranking.mean), generator=torch.Generator().manual_seed(seed))
    # The length of the direction is the root mean square scale of the latents, so that a random direction changes the
    # code as much as a latent.
    direction *= ranking.scale.square().mean().sqrt() / direction.norm()
    mse = reconstruction_mse(run, z, batch)
    table: dict[str, dict[str, Any]] = {}
    for latent in order:
        axis = torch.zeros(len(ranking.mean))
        axis[latent] = ranking.scale[latent]
        effects = axis_effects(run, batch, z, ranking.mean, axis, mse)
        table[f"z {latent}"] = {ranking.kind: float(ranking.measure[latent])} | effects
    without_code = reconstruction_mse(run, ranking.mean.expand_as(z), batch)
    effects = axis_effects(run, batch, z, ranking.mean, direction, mse)
    table["random direction"] = {ranking.kind: float(ranking.measure.mean())} | effects
    table["entire code"] = {
        ranking.kind: float(ranking.measure.sum()),
        "change": (float("nan"), float("nan")),
        "mse rise": mean_and_error(without_code - mse),
        "images": len(rows),
    }
    return comparison_table(table, first="latent")


def axis_effects(run: Run, batch: Batch, z: Tensor, mean: Tensor, axis: Tensor, mse: Tensor) -> dict[str, Any]:
    """Return the change of images along an axis, and the increase of the MSE when codes have their mean on the axis.

    Args:
        run: run whose model decodes the codes.
        batch: batch of N images.
        z: (N, Z) codes of the images.
        mean: (Z,) center of the codes.
        axis: (Z,) direction of the axis; its length is one standard deviation.
        mse: (N,) MSE of the reconstructions from the complete codes.
    """
    along = ((z - mean) @ axis / axis.square().sum().clamp(min=1e-12))[:, None] * axis
    rest = z - along
    low, high = run.decode(rest - axis, batch.y), run.decode(rest + axis, batch.y)
    change = (high - low).flatten(1).square().mean(1).sqrt()
    rise = reconstruction_mse(run, rest, batch) - mse
    return {"change": mean_and_error(change), "mse rise": mean_and_error(rise), "images": len(z)}


def reconstruction_mse(run: Run, z: Tensor, batch: Batch) -> Tensor:
    """Return the MSE per pixel (N,) between images decoded from codes `z` (N, Z) and the targets of the batch."""
    return (run.decode(z, batch.y).clamp(0, 1) - batch.target).flatten(1).square().mean(1)
