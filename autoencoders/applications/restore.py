"""Restoration of corrupted images, compared with PCA and with classical methods tuned on validation images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import check_count, flatten_table, select_images, spread_rows
from autoencoders.applications.inpainting import Corrupted, Method, corrupted_rows, cover_mask
from autoencoders.applications.restoration import denoisers, error_table, fast_methods, slow_methods
from autoencoders.data.transforms import Draws, GaussianNoise, NoCorruption
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL_TUNING = 12
"""Validation images on which the classical methods are tuned at each level of noise."""


def restore(
    run: Run,
    *,
    split: str = "test",
    images: str | None = None,
    count: int = 8,
    subset: int = 200,
    tuning: int = 24,
    levels: Sequence[float] = (0.05, 0.1, 0.2, 0.25, 0.5),
    bm3d: bool = False,
) -> ApplicationResult:
    """Draw corrupted, restored and original images; measure errors against the clean images.

    Args:
        run: a run that was trained with a corruption. The fills use the position of the cover; the model does not.
        split: the split on which errors are measured; its images are drawn unless `images` is set.
        images: an image file or a folder of your own clean images, which are corrupted, restored and drawn.
        count: number of images that are drawn.
        subset: number of evenly spaced images on which all methods, including the slow ones, are measured.
        tuning: number of validation images on which the parameter of each classical method is chosen.
        levels: standard deviations of Gaussian noise, in units of [0, 1].
        bm3d: also measure BM3D if the corruption is Gaussian noise; it takes seconds per image.

    Returns:
        Figure `rows`; for Gaussian noise also `levels` and `level_rows`. Tables `errors` (complete split, fast
        methods), `comparison` (subset, all methods) and `levels`: MSE per pixel of [0, 1], PSNR of the mean MSE and
        mean PSNR per image in dB, SSIM; for covered images also the PSNR inside and outside of the cover.

    Raises:
        UserError: if the run was trained without a corruption.
    """
    corruption = trained_corruption(run)
    check_count(subset, "subset", 2)
    check_count(tuning, "tuning")
    total = len(run.data.images(split))
    validation = corrupted_rows(run, "val", spread_rows(tuning, len(run.data.images("val"))))
    fast = fast_methods(run)
    methods = {**fast, **slow_methods(run, corruption, validation, bm3d)}
    errors = error_table(fast, (corrupted_rows(run, split, rows) for rows in torch.arange(total).split(500)))
    chosen = corrupted_rows(run, split, spread_rows(subset, total))
    compared = error_table(methods, [chosen])
    example, names = example_images(run, corruption, split, count, images)
    figures = {"rows": draw_rows(run, methods, example, names, best_method_caption(run, split, compared))}
    tables = {"errors": errors, "comparison": compared}
    metrics = {**flatten_table(errors), **{f"subset/{key}": value for key, value in flatten_table(compared).items()}}
    if isinstance(corruption, GaussianNoise):
        curves, strips, tables["levels"] = measure_levels(run, corruption, split, chosen.batch.index, levels)
        figures["levels"] = draw_levels(run, corruption, curves, f"{len(chosen.batch.x)} {split} images")
        figures["level_rows"] = draw_level_rows(run, strips, levels)
        metrics |= {f"level/{key}": value for key, value in flatten_table(tables["levels"]).items()}
    return ApplicationResult(metrics, figures, tables)


def trained_corruption(run: Run) -> Callable[[Tensor, Draws], Tensor]:
    """Return the corruption of the run's data.

    Raises:
        UserError: if the run was trained without a corruption.
    """
    corruption = run.prepare().data.evaluation_options["corruption"]
    if isinstance(corruption, NoCorruption):
        raise UserError(
            "application=restore needs a run that was trained with a corruption, and this run was trained without. "
            "Train one: python -m autoencoders.train corruption=gaussian_noise (or salt_pepper, occlusion, erase)."
        )
    return cast("Callable[[Tensor, Draws], Tensor]", corruption)  # `views` holds options of several types


def example_images(
    run: Run, corruption: Callable[[Tensor, Draws], Tensor], split: str, count: int, images: str | None
) -> tuple[Corrupted, Sequence[str]]:
    """Return the corrupted images that are drawn, and the file names of the user's own images."""
    batch, names = select_images(run, split, count, images)
    if images is None:
        return corrupted_rows(run, split, batch.index), ()
    x = corruption(batch.target, Draws(0, batch.index))
    return Corrupted(batch._replace(x=x), cover_mask(corruption, x, Draws(0, batch.index))), names


def best_method_caption(run: Run, split: str, table: pd.DataFrame) -> str:
    """Return a caption with the PSNR of the model and of the best method that does not use the model."""
    best = table[~table["method"].str.startswith(run.model.name)].sort_values("mse").iloc[0]
    return (
        f"{table['images'][0]} {split} images: {run.model.name} {table['psnr of mean mse'][0]:.2f} dB, "
        f"best baseline {best['method']} {best['psnr of mean mse']:.2f} dB"
    )


def draw_rows(
    run: Run, methods: Mapping[str, Method], example: Corrupted, columns: Sequence[str], caption: str
) -> Figure:
    """Draw a row for the corrupted input, for each method and for the original."""
    from autoencoders.figures.grids import image_grid

    rows = {"input": to_numpy(example.batch.x)}
    for name, method in methods.items():
        if name not in ("input", "mean image"):
            rows[name] = to_numpy(method(example))
    rows["original"] = to_numpy(example.batch.target)
    return image_grid(np.stack(list(rows.values())), run.title, list(rows), columns, caption)


def measure_levels(
    run: Run, trained: GaussianNoise, split: str, rows: Tensor, levels: Sequence[float]
) -> tuple[dict[str, list], dict[str, list[np.ndarray]], pd.DataFrame]:
    """Measure all methods at several levels of noise.

    The classical methods are given the level and are tuned at each level. The model is not: it was trained at one.

    Returns:
        Method -> (level, PSNR, its standard error) per level; row name -> one image (C, H, W) per level; the table.
    """
    validation = spread_rows(LEVEL_TUNING, len(run.data.images("val")))
    model, pca = run.model.name, run.pca()
    curves: dict[str, list[tuple[Any, ...]]] = {}
    strips: dict[str, list[np.ndarray]] = {"input": [], model: [], "original": []}
    tables = []
    for sigma in levels:
        noise = GaussianNoise(sigma, trained.clamp)
        noisy = noisy_rows(run, noise, split, rows)
        methods: dict[str, Method] = {
            model: lambda c: run.reconstruct(c.batch.x, c.batch.y),
            "input": lambda c: c.batch.x,
            pca.name: lambda c: pca.reconstruct(c.batch.x),
            **denoisers(sigma, noisy_rows(run, noise, "val", validation)),
        }
        table = error_table(methods, [noisy])
        tables.append(table.assign(method=[f"{name} at {sigma:g}" for name in table["method"]]))
        for name, value, error in table[["method", "psnr of mean mse", "psnr of mean mse +-"]].itertuples(index=False):
            curves.setdefault(name, []).append((sigma, value, error))
        strips["input"].append(to_numpy(noisy.batch.x[0]))
        strips[model].append(to_numpy(methods[model](noisy)[0]))
        strips["original"].append(to_numpy(noisy.batch.target[0]))
    return curves, strips, pd.concat(tables, ignore_index=True)


def noisy_rows(run: Run, noise: GaussianNoise, split: str, rows: Tensor) -> Corrupted:
    """Read rows of a split with the given noise; the random numbers are the same at every level."""
    batch = run.batch(split, rows)
    return Corrupted(batch._replace(x=noise(batch.target, run.data.evaluation_batches(split).draws(rows))), None)


def draw_levels(run: Run, trained: GaussianNoise, curves: Mapping[str, list], images: str) -> Figure:
    """Draw the PSNR of each method over the level of noise."""
    from autoencoders.figures.line_plot import line_plot

    lines = {name: np.array(points) for name, points in curves.items()}
    mark = (trained.sigma, f"trained at {trained.sigma:g}")
    x = f"standard deviation of the noise, for pixels in [0, 1]; {images}"
    return line_plot(lines, run.title, x, "PSNR of the mean MSE, dB", mark)


def draw_level_rows(run: Run, strips: Mapping[str, list[np.ndarray]], levels: Sequence[float]) -> Figure:
    """Draw input, output and original of one image at each level of noise."""
    from autoencoders.figures.grids import image_grid

    columns = [f"{sigma:g}" for sigma in levels]
    caption = "columns: standard deviation of the noise, for pixels in [0, 1]"
    return image_grid(np.array(list(strips.values())), run.title, list(strips), columns, caption)
