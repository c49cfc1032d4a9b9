"""How well does it reconstruct? Pictures, their codes as heat maps, and errors beside PCA and the mean image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, mean_and_error, shown
from autoencoders.metrics.images import psnr_per_image, ssim
from autoencoders.metrics.running_sums import psnr
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult
from autoencoders.utils.arrays import to_numpy


def reconstruct(run: Run, *, split: str = "test", images: str | None = None, count: int = 10) -> ApplicationResult:
    """Rows of input, target and output; original, code and output; a table of errors on the whole split.

    Args:
        run: the run.
        split: whose errors are measured, and whose rows are shown unless `images` are given.
        images: a picture or a folder of pictures of your own, to show.
        count: images shown.

    Returns:
        Figures `rows` and `codes`; the table `errors`: MSE per pixel of [0, 1], the same less the model's of the same
        image, PSNR of the mean MSE and mean PSNR per image, in dB, mean SSIM, of the model, of PCA with as many
        components and of the mean training image.
    """
    from autoencoders.figures.code_heatmaps import code_heatmaps
    from autoencoders.figures.grids import image_grid

    batch, names = shown(run, split, count, images)
    z = run.encode(batch.x, batch.y)
    output = run.decode(z, batch.y)
    table = errors(run, split)
    model, *others = table.to_dict("records")
    beside = ", ".join(f"{r['method']} {r['mse']:.4g}" for r in others)
    caption = f"{split} MSE {model['mse']:.4g} ({model['psnr of mean mse']:.1f} dB); {beside}"
    rows = {"input": to_numpy(batch.x), "target": to_numpy(batch.target), "output": to_numpy(output)}
    if batch.x is batch.target:
        del rows["target"]
    columns = names if images is not None else ()
    figures = {
        "rows": image_grid(np.stack(list(rows.values())), run.title, rows=list(rows), columns=columns, caption=caption),
        "codes": code_heatmaps(rows["input"], z.numpy(), rows["output"], run.title, caption),
    }
    return ApplicationResult(flat(table), figures, {"errors": table})


def errors(run: Run, split: str) -> object:
    """The table of errors on a whole split."""
    data, pca = run.prepare().data, run.pca()
    average = data.mean_image().float()
    methods = {run.model.name: run.reconstruct, pca.name: lambda x, y: pca.reconstruct(x)}
    methods["mean image"] = lambda x, y: average.expand_as(x)
    gathered: dict[str, list[Tensor]] = {name: [] for name in methods}
    for batch in data.evaluation(split):
        for name, method in methods.items():
            output = method(batch.x, batch.y).clamp(0, 1)
            square = (output - batch.target).flatten(1).square().mean(1)
            gathered[name].append(torch.stack([square, psnr_per_image(square), ssim(output, batch.target)], 1))
    rows = {}
    own = torch.cat(gathered[run.model.name])[:, 0]
    for name, parts in gathered.items():
        mse, decibel, similarity = torch.cat(parts).unbind(1)
        rows[name] = {
            "mse": mean_and_error(mse),
            "mse above the model's": mean_and_error(mse - own),  # of the same images: errors of both largely cancel
            "psnr of mean mse": psnr(float(mse.mean())),
            "psnr per image": mean_and_error(decibel),
            "ssim": mean_and_error(similarity),
            "images": len(mse),
        }
    return comparison(rows)
