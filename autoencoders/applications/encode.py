"""Write the latent codes of a split or of the user's own images to a file, with statistics of each latent."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import (
    comparison_table,
    flatten_table,
    mean_and_error,
    output_folder,
    refuse_own_images,
)
from autoencoders.applications.code_files import WRITERS, code_columns, numbered, read_codes, write_codes
from autoencoders.applications.image_set import ImageSet, own_images, selected_splits, split_images
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult
from autoencoders.utils.checks import require


def encode(
    run: Run, *, split: str = "test", images: str | None = None, format: str = "csv", folder: str | None = None
) -> ApplicationResult:
    """Write the codes of images to `<folder>/encode/codes-<split>.<format>`, or `codes-images.<format>`.

    The file has one row per image: the file name, split, index in the split and labels, as far as they are known, the
    posterior mean in the columns `z0`, `z1`, ..., and the posterior standard deviation in `std0`, `std1`, ... for a
    model with a Gaussian posterior. `application=decode` reads the file.

    Args:
        run: run whose model encodes the images.
        split: split of the images, `train`, `val`, `test` or `all`, if `images` is None.
        images: image file, or folder of your own images.
        format: `csv`, `parquet`, `npz` or `safetensors`; see `autoencoders.applications.code_files`.
        folder: folder in which `encode/` is created; None for the run folder.

    Returns:
        Table `dimensions`: mean and standard deviation of each latent over the images; with a Gaussian posterior also
        the mean posterior standard deviation and the mean rate in nats. Table `errors`: MSE per pixel of the images
        that are decoded from the codes in the file, as a check of the file, compared with reconstructions without the
        file, PCA with as many components as latents, and the mean training image.

    Raises:
        UserError: if an option is invalid, a package for the format is not installed, or `images` is set for a
            conditional model.
    """
    require(format in WRITERS, "format", format, f"one of {list(WRITERS)}")
    splits = selected_splits(split, "split")
    if images is not None:
        refuse_own_images(run)
    selected = split_images(run, splits) if images is None else own_images(run, images)
    computed = compute_codes(selected)
    tables = [selected.table, numbered("z", computed.mean.numpy())]
    if computed.std is not None:
        tables.append(numbered("std", computed.std.numpy()))
    file = output_folder(run, folder, "encode") / f"codes-{'images' if images is not None else split}.{format}"
    write_codes(file, pd.concat(tables, axis=1))
    errors = error_table(selected, computed, file)
    tables_of_result = {"errors": errors, "dimensions": dimension_table(computed)}
    return ApplicationResult(flatten_table(errors), {}, tables_of_result, files=[file])


class ComputedCodes(NamedTuple):
    """Codes of N images, and errors of their reconstructions.

    Attributes:
        mean: (N, Z) posterior means.
        std: (N, Z) posterior standard deviations; None for a model without them.
        rate: (Z,) mean KL divergence of each latent from the prior, in nats; (0,) for a prior that is a mixture.
        mse: name of the method -> (N,) mean squared errors per pixel.
    """

    mean: Tensor
    std: Tensor | None
    rate: Tensor
    mse: dict[str, Tensor]


@torch.no_grad()
def compute_codes(images: ImageSet) -> ComputedCodes:
    """Encode images in chunks that bound the memory."""
    run, model, pca = images.run, images.run.model, images.run.pca()
    mean_image = run.data.mean_image().float()
    means, stds, rates = [], [], []
    mse: dict[str, list[Tensor]] = {f"{model.name} without the file": [], pca.name: [], "mean image": []}
    for batch in images.batches():
        moved = batch.to(model.device)
        posterior = model.posterior(moved.x, moved.y)
        means.append(posterior.mean.float().cpu())
        stds.append((0.5 * posterior.log_variance).exp().float().cpu())
        kl = model.code_density(moved.y).kl(posterior)
        rates.append(torch.zeros(0) if kl is None else kl.double().sum(0).cpu())
        outputs = run.decode(means[-1], batch.y), pca.reconstruct(batch.x), mean_image.expand_as(batch.target)
        for name, output in zip(mse, outputs, strict=True):
            mse[name].append(squared_error(output, batch.target))
    std = torch.cat(stds) if model.posteriors.stochastic else None
    errors = {name: torch.cat(parts) for name, parts in mse.items()}
    return ComputedCodes(torch.cat(means), std, torch.stack(rates).sum(0) / len(images), errors)


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error per pixel (N,) of images that are clipped to [0, 1]."""
    return (output.clamp(0, 1) - target).flatten(1).square().mean(1)


def error_table(images: ImageSet, computed: ComputedCodes, file: Path) -> pd.DataFrame:
    """Return the table `errors`: first the codes in the file, then the same without the file, then the baselines."""
    run = images.run
    table = read_codes(file)
    z = torch.tensor(table[code_columns(table)].to_numpy("float32"))
    mse, start = [], 0
    for batch in images.batches():
        mse.append(squared_error(run.decode(z[start : start + len(batch.x)], batch.y), batch.target))
        start += len(batch.x)
    methods = {run.model.name: torch.cat(mse), **computed.mse}
    return comparison_table({k: {"mse": mean_and_error(v), "images": len(v)} for k, v in methods.items()})


def dimension_table(computed: ComputedCodes) -> pd.DataFrame:
    """Return the table `dimensions`, with one row per latent."""
    mean, std = computed.mean.double(), computed.std
    deviation = mean.std(0) if len(mean) > 1 else torch.full_like(mean[0], torch.nan)
    columns = {"latent": range(mean.shape[1]), "mean": mean.mean(0).numpy(), "deviation": deviation.numpy()}
    if std is not None:
        columns["posterior deviation"] = std.double().mean(0).numpy()
    if std is not None and len(computed.rate):
        columns["rate"] = computed.rate.numpy()
    return pd.DataFrame(columns)
