"""How well does it undo the corruption it was trained on? Beside PCA and classical methods tuned on validation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, mean_and_error, number_of_images, shown, spread_rows
from autoencoders.applications.inpainting import Method, Seen, covered, filling, seen
from autoencoders.data.transforms import Draws, GaussianNoise
from autoencoders.metrics import classical_restoration
from autoencoders.metrics.images import psnr_per_image, ssim
from autoencoders.metrics.running_sums import psnr
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

CHOICES = list(itertools.product((0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0), (True, False), (3, 5, 7)))
WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)
"""What validation chooses from: h of non-local means over sigma, and whether it is told sigma, and the side of a
patch; the weight of total variation."""


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
    """Corrupted, restored and original images; errors against the clean image, of the model and of other methods.

    Args:
        run: a run trained with a corruption; covered pixels are known to all methods but the model.
        split: whose errors are measured, and whose rows are shown unless `images` are given.
        images: a picture or a folder of clean pictures of your own, corrupted and restored, to show.
        count: images shown.
        subset: images, evenly apart, on which slow methods are measured, the model and the others too.
        tuning: validation images on which each classical method's free number is chosen.
        levels: of Gaussian noise, standard deviations in units of [0, 1].
        bm3d: measure BM3D too where the corruption is Gaussian noise: seconds per image.

    Returns:
        Figure `rows`, and for Gaussian noise `levels` and `level_rows`; tables `errors` (the whole split, fast
        methods), `comparison` (the subset, all methods) and `levels`: MSE per pixel of [0, 1], PSNR of the mean
        MSE and mean PSNR per image in dB, SSIM; for covered images also inside and outside of the cover.

    Raises:
        UserError: where the run was trained without a corruption.
    """
    from autoencoders.figures.grids import image_grid

    corruption = run.prepare().data.views["corruption"]
    if not corruption.changes:
        raise UserError(
            "application=restore asks a run that was trained to restore, and this one saw its targets. Train one: "
            "python -m autoencoders.train corruption=gaussian_noise (or salt_pepper, occlusion, erase)."
        )
    number_of_images(subset, "subset", 2)
    number_of_images(tuning, "tuning")
    total = len(run.data.images(split))
    fast, slow = methods(run, seen(run, "val", spread_rows(tuning, len(run.data.images("val")))), bm3d)
    parts = (seen(run, split, rows) for rows in torch.arange(total).split(500))
    everything = errors(fast, parts)
    chosen = seen(run, split, spread_rows(subset, total))
    beside = errors({**fast, **slow}, [chosen])
    batch, names = shown(run, split, count, images)
    if images is None:
        example = seen(run, split, batch.index)
    else:
        x = corruption(batch.target, Draws(0, batch.index))
        example = Seen(batch._replace(x=x), covered(corruption, x, Draws(0, batch.index)))
    drawn = {"input": fast["input"], **fast, **slow}
    rows = {name: to_numpy(method(example)) for name, method in drawn.items() if name != "mean image"}
    rows["original"] = to_numpy(batch.target)
    best = beside[~beside["method"].str.startswith(run.model.name)].sort_values("mse").iloc[0]
    caption = f"{split}: {run.model.name} {beside['psnr of mean mse'][0]:.2f} dB, {best['method']} " + (
        f"{best['psnr of mean mse']:.2f} dB, the best of the others on {len(chosen.batch.x)} images"
    )
    columns = names if images is not None else ()
    figures = {"rows": image_grid(np.stack(list(rows.values())), run.title, list(rows), columns, caption)}
    tables = {"errors": everything, "comparison": beside}
    metrics = {**flat(everything), **{f"subset/{k}": v for k, v in flat(beside).items()}}
    if isinstance(corruption, GaussianNoise):
        figures["levels"], figures["level_rows"], tables["levels"] = over_levels(run, chosen, split, levels)
        metrics |= {f"level/{k}": v for k, v in flat(tables["levels"]).items()}
    return ApplicationResult(metrics, figures, tables)


def methods(run: Run, validation: Seen, bm3d: bool) -> tuple[dict[str, Method], dict[str, Method]]:
    """The model and fast baselines, and slow baselines, tuned on validation images."""
    model, pca, corruption = run.model.name, run.pca(), run.data.views["corruption"]
    fast: dict[str, Method] = {
        model: lambda s: run.reconstruct(s.batch.x, s.batch.y),
        "input": lambda s: s.batch.x,
        pca.name: lambda s: pca.reconstruct(s.batch.x),
        "mean image": lambda s: run.data.mean_image().float().expand_as(s.batch.x),
    }
    x, target, hidden = validation.batch.x, validation.batch.target, validation.hidden
    if hidden is not None:
        return fast, filling(run, validation)
    if not isinstance(corruption, GaussianNoise):
        size = classical_restoration.tune_parameter(classical_restoration.median, (3, 5, 7), x, target)
        return fast, {f"median of {size:g} pixels": lambda s: classical_restoration.median(s.batch.x, size)}
    slow = denoisers(corruption.sigma, validation)
    if bm3d:
        slow["BM3D"] = lambda s: classical_restoration.bm3d(s.batch.x, corruption.sigma)
    return fast, slow


def denoisers(sigma: float, validation: Seen) -> dict[str, Method]:
    """Non-local means and total variation for noise of a known level, each with the number validation chose."""
    x, target = validation.batch.x, validation.batch.target
    weight = classical_restoration.tune_parameter(classical_restoration.total_variation, WEIGHTS, x, target)
    choice = classical_restoration.tune_parameter(
        lambda a, c: classical_restoration.non_local_means(a, sigma, c), CHOICES, x, target
    )
    return {
        "non-local means": lambda s: classical_restoration.non_local_means(s.batch.x, sigma, choice),
        "total variation": lambda s: classical_restoration.total_variation(s.batch.x, weight),
    }


def errors(methods: Mapping[str, Method], parts: Iterable[Seen]) -> pd.DataFrame:
    """The table of errors of methods on the same images, with their count."""
    gathered: dict[str, list[Tensor]] = {name: [] for name in methods}
    covers = False
    for part in parts:
        target, hidden = part.batch.target, part.hidden
        covers = covers or hidden is not None
        inside = torch.zeros_like(target[:, :1]) if hidden is None else hidden.float()
        share = inside.flatten(1).mean(1)  # (B,)
        for name, method in methods.items():
            output = method(part).clamp(0, 1)
            square = (output - target).square().mean(1, keepdim=True)  # (B, 1, H, W)
            within = (square * inside).flatten(1).mean(1)
            mse = square.flatten(1).mean(1)
            gathered[name].append(torch.stack([mse, psnr_per_image(mse), ssim(output, target), within, share], 1))
    rows = {}
    for name, columns in gathered.items():
        mse, decibel, similarity, within, share = torch.cat(columns).double().unbind(1)
        rows[name] = {
            "mse": mean_and_error(mse),
            "psnr of mean mse": in_decibels(mse),
            "psnr per image": mean_and_error(decibel),
            "ssim": mean_and_error(similarity),
        }
        if covers:
            rows[name]["psnr inside"] = in_decibels(within, share)
            rows[name]["psnr outside"] = in_decibels(mse - within, 1 - share)
        rows[name]["images"] = len(mse)
    return comparison(rows)


def in_decibels(square: Tensor, weight: Tensor | None = None) -> tuple[float, float]:
    """PSNR of a mean (weighted: of a ratio of means) of errors (N,), and its standard error to first order."""
    weight = torch.ones_like(square) if weight is None else weight
    ratio = float(square.sum() / weight.sum())
    if ratio <= 1e-12:  # pixels kept as they are
        return math.nan, math.nan
    error = mean_and_error((square - ratio * weight) / weight.mean())[1]
    return psnr(ratio), 10 / math.log(10) * error / ratio


def over_levels(run: Run, chosen: Seen, split: str, levels: Sequence[float]) -> tuple:
    """PSNR over the strength of the noise, and one image at each: two figures and a table.

    Every method knows the level but the model, which was trained at one; each is tuned on validation at each level.
    """
    from autoencoders.figures.grids import image_grid
    from autoencoders.figures.line_plot import line_plot

    trained, validation = run.data.views["corruption"], spread_rows(12, len(run.data.images("val")))
    lines, tables, strips = {}, [], {"input": [], run.model.name: [], "original": []}
    for sigma in levels:
        noise = GaussianNoise(sigma, trained.clamp)
        noisy = noisy_batch(run, noise, split, chosen.batch.index)
        tuning = noisy_batch(run, noise, "val", validation)
        compared = {
            run.model.name: lambda s: run.reconstruct(s.batch.x, s.batch.y),
            "input": lambda s: s.batch.x,
            run.pca().name: lambda s: run.pca().reconstruct(s.batch.x),
            **denoisers(sigma, tuning),
        }
        table = errors(compared, [noisy])
        tables.append(table.assign(method=[f"{name} at {sigma:g}" for name in table["method"]]))
        for name, value, error in table[["method", "psnr of mean mse", "psnr of mean mse +-"]].itertuples(index=False):
            lines.setdefault(name, []).append((sigma, value, error))
        pictures = (noisy.batch.x, compared[run.model.name](noisy), noisy.batch.target)
        for name, picture in zip(strips, pictures, strict=True):
            strips[name].append(to_numpy(picture[0]))
    mark = (trained.sigma, f"trained at {trained.sigma:g}")
    x = f"standard deviation of the noise, of [0, 1]; {len(chosen.batch.x)} {split} images"
    curve = line_plot({k: np.array(v) for k, v in lines.items()}, run.title, x, "PSNR of the mean MSE, dB", mark)
    columns = [f"{sigma:g}" for sigma in levels]
    grid = image_grid(np.array(list(strips.values())), run.title, list(strips), columns, "over the level of the noise")
    return curve, grid, pd.concat(tables, ignore_index=True)


def noisy_batch(run: Run, noise: GaussianNoise, split: str, rows: Tensor) -> Seen:
    """Rows of a split with another level of noise, the same draws at each."""
    batch = run.batch(split, rows)
    return Seen(batch._replace(x=noise(batch.target, run.data.evaluation(split).draws(rows))), None)
