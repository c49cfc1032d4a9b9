"""What does each latent do? One at a time is walked, and what it changes is measured."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, mean_and_error, number_of_images, shown, spread_rows
from autoencoders.applications.latent_ranking import Latents, common_label, measure_latents, same_label
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
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
    """A row per latent, walked through its range while the others stay; latents ordered by KL, or by variance.

    Two numbers per latent, on held-out images: how far the image moves when the latent goes from one standard deviation
    below its mean to one above (root mean squared per pixel), and how much the reconstruction's MSE rises when the
    latent is put to its mean. Beside them the same for a random direction of equal scale and for the whole code.

    Args:
        run: the run.
        split: whose images are measured, and of whom `row` is one.
        images: a picture of your own to start from; the first where it is a folder.
        row: the image of the split to start from; None starts from the mean code.
        latents: rows of the figure and of the table, at most.
        steps: images in a row.
        reach: of the walk, in standard deviations (of the prior, or of the codes where there is none).
        measured: images, at most, that are measured.
        seed: of the random direction.

    Returns:
        The figure `rows`; the table `latents`.

    Raises:
        UserError: where the row is not in the split, or a number makes no sense.
    """
    from autoencoders.figures.grids import image_grid

    number_of_images(latents, "latents")
    number_of_images(steps, "steps", 2)
    number_of_images(measured, "measured", 2)
    if not reach > 0:
        raise UserError(f"reach must be above 0 standard deviations, and is {reach}.")
    found = measure_latents(run)
    start, label, words = origin(run, found, split, images, row)
    order = found.order[:latents].tolist()
    walk = torch.linspace(-reach, reach, steps)
    z = start.repeat(len(order), steps, 1)
    for i, latent in enumerate(order):
        z[i, :, latent] = found.mean[latent] + walk * found.scale[latent]
    pictures = run.decode(z.flatten(0, 1), same_label(label, len(order) * steps)).unflatten(0, (len(order), steps))
    table = measure(run, found, order, split, measured, seed)
    figure = image_grid(
        to_numpy(pictures), run.title, rows=[f"z {i}, {found.kind} {found.measure[i]:.2f}" for i in order],
        columns=[f"{w:+.1f}" for w in walk.tolist()],
        caption=f"from {words}, in standard deviations of {'the prior' if run.model.has_prior else 'the codes'}",
    )  # fmt: skip
    return ApplicationResult(flat(table), {"rows": figure}, {"latents": table})


def origin(
    run: Run, found: Latents, split: str, images: str | None, row: int | None
) -> tuple[Tensor, Tensor | None, str]:
    """The code (Z,) that the walk starts from, the label that goes with it, and both in words."""
    if images is not None:
        batch, names = shown(run, split, 1, images)
        return run.encode(batch.x)[0], None, names[0]
    if row is None:
        return found.mean.clone(), common_label(run), "the mean code"
    count = len(run.codes(split).z)
    if not 0 <= row < count:
        raise UserError(f"row must be one of the {count} images of {split}, 0 to {count - 1}, and is {row}.")
    y = run.codes(split).y
    label = y[row] if run.model.context_size else None
    return run.codes(split).z[row], label, f"{split} image {row}"


def measure(run: Run, found: Latents, order: list[int], split: str, count: int, seed: int) -> pd.DataFrame:
    """The table of what every latent in `order` does, and its baselines."""
    rows = spread_rows(count, len(run.codes(split).z))
    batch = run.batch(split, rows)
    z = run.encode(batch.x, batch.y)
    direction = torch.randn(len(found.mean), generator=torch.Generator().manual_seed(seed))
    # As long as a latent's unit on average, so that both step equally far.
    direction *= found.scale.square().mean().sqrt() / direction.norm()
    squares = (run.decode(z, batch.y).clamp(0, 1) - batch.target).flatten(1).square().mean(1)

    def effects(axis: Tensor) -> dict[str, object]:
        along = ((z - found.mean) @ axis / axis.square().sum().clamp(min=1e-12))[:, None] * axis
        rest = z - along
        low, high = run.decode(rest - axis, batch.y), run.decode(rest + axis, batch.y)
        without = (run.decode(rest, batch.y).clamp(0, 1) - batch.target).flatten(1).square().mean(1)
        change = (high - low).flatten(1).square().mean(1).sqrt()
        return {"change": mean_and_error(change), "mse rise": mean_and_error(without - squares), "images": len(rows)}

    table: dict[str, dict] = {}
    for latent in order:
        axis = torch.zeros(len(found.mean))
        axis[latent] = found.scale[latent]
        table[f"z {latent}"] = {found.kind: float(found.measure[latent])} | effects(axis)
    nothing = run.decode(found.mean.expand_as(z), batch.y).clamp(0, 1)
    rise = (nothing - batch.target).flatten(1).square().mean(1) - squares
    average = float(found.measure.mean())
    table["random direction"] = {found.kind: average} | effects(direction)
    table["whole code"] = {
        found.kind: float(found.measure.sum()), "change": (float("nan"), float("nan")),
        "mse rise": mean_and_error(rise), "images": len(rows),
    }  # fmt: skip
    return comparison(table, first="latent")
