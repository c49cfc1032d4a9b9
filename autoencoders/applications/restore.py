"""Restoration of corrupted images, compared with PCA and with classical methods that are tuned on validation images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import check_count, flatten_table, refuse_validation, select_images, spread_rows
from autoencoders.applications.inpainting import Corrupted, Method, corrupted_rows, cover_mask
from autoencoders.applications.restoration import denoisers, error_table, fast_methods, slow_methods
from autoencoders.data.transforms import Draws, GaussianNoise, NoCorruption
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL_TUNING = 12
"""Number of validation images on which the classical methods are tuned at each noise level."""


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
    """Plot corrupted, restored and original images, and measure the errors between restored and original images.

    The parameters of the inpainting methods and of the classical methods are chosen on validation images. Therefore the
    errors are not measured on the split `val`.

    If the corruption masks pixels, the inpainting methods use the position of the masked pixels, but the model does
    not.

    Args:
        run: run that was trained with a corruption.
        split: split on which errors are measured, `test` or `train`. Its images are plotted if `images` is None.
        images: image file, or folder of your own clean images, which are corrupted, restored and plotted.
        count: number of images that are plotted.
        subset: number of evenly spaced images on which all methods, including the slow methods, are measured.
        tuning: number of validation images on which the parameters of each classical method are chosen.
        levels: standard deviations of Gaussian noise, for pixels in [0, 1].
        bm3d: whether to measure BM3D too if the corruption is Gaussian noise. BM3D takes seconds per image.

    Returns:
        Figure `rows`. For Gaussian noise also the figures `levels` (PSNR as a function of the noise level) and
        `level_rows` (one image at each noise level).

        Tables `errors` (fast methods on the complete split), `comparison` (all methods on the subset) and, for Gaussian
        noise, `levels`. Columns: MSE per pixel for pixels in [0, 1], PSNR of the mean MSE and mean PSNR per image in
        dB, SSIM, and, for masked images, PSNR inside and outside of the mask. The column `note` states where parameters
        were chosen.

    Raises:
        UserError: if the run was trained without a corruption, the split is `val`, or an option is out of range.
    """
    corruption = trained_corruption(run)
    refuse_validation(split, "the best parameter of each restoration method")
    check_count(subset, "subset", 2)
    check_count(tuning, "tuning")
    total = len(run.data.images(split))
    validation = corrupted_rows(run, "val", spread_rows(tuning, len(run.data.images("val"))))
    fast = fast_methods(run)
    methods = {**fast, **slow_methods(run, corruption, validation, bm3d)}
    errors = error_table(fast, (corrupted_rows(run, split, rows) for rows in torch.arange(total).split(500)))
    chosen = corrupted_rows(run, split, spread_rows(subset, total))
    compared = error_table(methods, [chosen], methods.keys() - fast.keys())
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
    """Return the corruption with which the run was trained.

    Raises:
        UserError: if the run was trained without a corruption.
    """
    corruption = run.prepare().data.evaluation_options["corruption"]
    if isinstance(corruption, NoCorruption):
        raise UserError(
            "application=restore needs a run that was trained with a corruption, but this run was trained without a "
            "corruption. Train a new run: python -m autoencoders.train corruption=gaussian_noise (or salt_pepper, "
            "occlusion, erase)."
        )
    return cast("Callable[[Tensor, Draws], Tensor]", corruption)  # the dict contains several types


def example_images(
    run: Run, corruption: Callable[[Tensor, Draws], Tensor], split: str, count: int, images: str | None
) -> tuple[Corrupted, Sequence[str]]:
    """Return the corrupted images for the figure, and the file names of the user's own images.

    Args:
        run: run whose data is used.
        corruption: corruption with which the run was trained.
        split: split of the images if `images` is None. There are no file names in this case.
        count: maximum number of images.
        images: image file, or folder of the user's own clean images; None for images of the split.
    """
    batch, names = select_images(run, split, count, images)
    if images is None:
        return corrupted_rows(run, split, batch.index), ()
    x = corruption(batch.target, Draws(0, batch.index))
    return Corrupted(batch._replace(x=x), cover_mask(corruption, x, Draws(0, batch.index))), names


def best_method_caption(run: Run, split: str, table: pd.DataFrame) -> str:
    """Return a caption with the PSNR of the model and of the best method that does not use the model."""
    best = table[~table["method"].str.startswith(run.model.name)].sort_values("mse").iloc[0]
    return (
        f"PSNR on {table['images'][0]} {split} images: {run.model.name} {table['psnr of mean mse'][0]:.2f} dB, "
        f"best baseline {best['method']} {best['psnr of mean mse']:.2f} dB"
    )


def draw_rows(
    run: Run, methods: Mapping[str, Method], example: Corrupted, columns: Sequence[str], caption: str
) -> Figure:
    """Plot one row of images for the corrupted input, one for each method and one for the original.

    Args:
        run: run whose title is shown.
        methods: name -> restoration method. The input and the mean image get no row of their own.
        example: corrupted images, one per column.
        columns: display names of the columns; empty for none.
        caption: text below the title.
    """
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
    """Measure all methods at several noise levels.

    The classical methods get the noise level as a parameter and are tuned at each level. The model does not get the
    noise level, and was trained at one level only.

    Args:
        run: run that was trained with Gaussian noise.
        trained: the noise with which the run was trained.
        split: split of the images.
        rows: (N,) indices of the images in the split.
        levels: standard deviations of the noise, for pixels in [0, 1].

    Returns:
        Name of the method -> (noise level, PSNR, standard error of the PSNR) for each level. Name of a row in the
        figure -> one image (C, H, W) for each level. The table with the errors of all methods at all levels.
    """
    validation = spread_rows(LEVEL_TUNING, len(run.data.images("val")))
    model, pca = run.model.name, run.pca()
    curves: dict[str, list[tuple[Any, ...]]] = {}
    strips: dict[str, list[np.ndarray]] = {"input": [], model: [], "original": []}
    tables = []
    for sigma in levels:
        noise = GaussianNoise(sigma, trained.clamp)
        noisy = noisy_rows(run, noise, split, rows)
        tuned = denoisers(sigma, noisy_rows(run, noise, "val", validation))
        methods: dict[str, Method] = {
            model: lambda c: run.reconstruct(c.batch.x, c.batch.y),
            "input": lambda c: c.batch.x,
            pca.name: lambda c: pca.reconstruct(c.batch.x),
            **tuned,
        }
        table = error_table(methods, [noisy], tuned)
        tables.append(table.assign(method=[f"{name} at {sigma:g}" for name in table["method"]]))
        for name, value, error in table[["method", "psnr of mean mse", "psnr of mean mse +-"]].itertuples(index=False):
            curves.setdefault(name, []).append((sigma, value, error))
        strips["input"].append(to_numpy(noisy.batch.x[0]))
        strips[model].append(to_numpy(methods[model](noisy)[0]))
        strips["original"].append(to_numpy(noisy.batch.target[0]))
    return curves, strips, pd.concat(tables, ignore_index=True)


def noisy_rows(run: Run, noise: GaussianNoise, split: str, rows: Tensor) -> Corrupted:
    """Return images of a split with the given noise. The random numbers are the same for every noise level.

    Args:
        run: run whose data is used.
        noise: noise to add to the clean images.
        split: split of the images.
        rows: (B,) indices of the images in the split.
    """
    batch = run.batch(split, rows)
    return Corrupted(batch._replace(x=noise(batch.target, run.data.evaluation_batches(split).draws(rows))), None)


def draw_levels(run: Run, trained: GaussianNoise, curves: Mapping[str, list], images: str) -> Figure:
    """Plot the PSNR of each method as a function of the noise level.

    Args:
        run: run whose title is shown.
        trained: the noise with which the run was trained; its level is marked.
        curves: name of the method -> (noise level, PSNR, standard error of the PSNR) for each level.
        images: number and split of the measured images, for the axis label.
    """
    from autoencoders.figures.line_plot import line_plot

    lines = {name: np.array(points) for name, points in curves.items()}
    mark = (trained.sigma, f"trained at {trained.sigma:g}")
    x = f"standard deviation of the noise, for pixels in [0, 1]; {images}"
    return line_plot(lines, run.title, x, "PSNR of the mean MSE, dB", mark)


def draw_level_rows(run: Run, strips: Mapping[str, list[np.ndarray]], levels: Sequence[float]) -> Figure:
    """Plot input, output and original of one image at each noise level.

    Args:
        run: run whose title is shown.
        strips: name of the row -> one image (C, H, W) for each level.
        levels: standard deviations of the noise, one per column.
    """
    from autoencoders.figures.grids import image_grid

    columns = [f"{sigma:g}" for sigma in levels]
    caption = "columns: standard deviation of the noise, for pixels in [0, 1]"
    return image_grid(np.array(list(strips.values())), run.title, list(strips), columns, caption)
