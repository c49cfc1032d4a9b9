"""What does it draw? Codes from a prior and from densities fitted to the training codes, decoded and measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, listed, mean_and_error, number_of_images, spread_rows
from autoencoders.applications.label_classifiers import TrainedJudge, trained_classifier
from autoencoders.metrics.generation import kernel_distance
from autoencoders.metrics.neighbors import pixel_distances
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from autoencoders.latent.densities import Density

DRAWS = 5000
"""Codes drawn to measure the variance of a density's samples."""
COLUMNS = 10


def sample(
    run: Run,
    *,
    densities: Mapping[str, Density],
    split: str = "test",
    density: str | None = None,
    temperature: float = 1.0,
    count: int = 60,
    measured: int = 200,
    references: int = 10_000,
    seed: int = 0,
    classifier: str | None = None,
) -> ApplicationResult:
    """Images decoded from drawn codes; every density beside the others, in pictures and in numbers.

    Densities are fitted to the codes (posterior means) of training images; bandwidths and counts are chosen on
    validation codes (ex-post density estimation: Ghosh et al., 2020, "From variational to deterministic autoencoders").
    A distance to the nearest image rewards blur, so reconstructions and the mean image stand in the table too, and
    beside it the distance from test images to their nearest sample, which only a varied set makes small; given a classifier,
    also the KID of its features, which asks for both at once.

    Args:
        run: the run.
        densities: name -> density.
        split: held-out codes and images to compare with.
        density: whose samples the main figure shows; None: the prior where there is one, else `pca_kde`.
        temperature: factor on every drawn code's deviation from the density's mean.
        count: images in the main figure.
        measured: images of each density whose distances are measured.
        references: images of a split, at most, evenly apart, that are searched for the nearest.
        seed: of the draws.
        classifier: a run of `model=classifier`, for the KID of `measured` images.

    Returns:
        Figures `samples`, `densities` and `nearest`; the table `densities`: log-density of held-out codes in nats,
        variance of samples over that of training codes, root mean squared distances per pixel of [0, 1], KID.

    Raises:
        UserError: where no density has that name, a number makes no sense, or the classifier does not fit.
    """
    from autoencoders.figures.grids import image_grid

    main = chosen(run, densities, density)
    if split == "train":
        raise UserError("sample measures on images that nothing was fitted to: split must be val or test, not train.")
    if not temperature > 0:
        raise UserError(f"temperature must be a factor above 0, and is {temperature}.")
    number_of_images(count, "count")
    number_of_images(measured, "measured", COLUMNS)
    number_of_images(references, "references", 2)
    trained = None if classifier is None else trained_classifier(run, classifier)
    train, val = run.codes("train"), run.codes("val")
    for one in densities.values():
        one.fit(train.z, val.z)
    images = {
        name: draw(run, one, max(measured, count), temperature, seed).clamp(0, 1) for name, one in densities.items()
    }
    table, nearest = measure(run, densities, images, split, measured, references, temperature, seed, main, trained)
    row = next(r for r in table.to_dict("records") if r["method"] == main)
    warm = f", temperature {temperature:g}" if temperature != 1 else ""
    caption = f"codes from {densities[main].name}{warm}; log-density of {split} codes {row['log-density']:.1f} nats"
    columns = min(COLUMNS, count)
    shown = images[main][: count - count % columns]
    real = run.batch(split, spread_rows(COLUMNS, len(run.prepare().data.images(split)))).target
    rows = {**{name: drawn[:COLUMNS] for name, drawn in images.items()}, f"real {split}": real}
    rows = {name: picture for name, picture in rows.items() if len(picture) == COLUMNS}
    figures = {
        "samples": image_grid(to_numpy(shown.unflatten(0, (-1, columns))), run.title, caption=caption),
        "densities": image_grid(
            np.stack([to_numpy(r) for r in rows.values()]), run.title, rows=list(rows),
            caption=f"samples of each density{warm}",
        ),
        "nearest": image_grid(
            np.stack([to_numpy(images[main][: len(nearest)]), to_numpy(nearest)]), run.title,
            rows=["sample", "nearest training image"],
            caption=f"{main}: {row['to nearest training']:.3f} RMSE from the nearest training image on average",
        ),
    }  # fmt: skip
    return ApplicationResult(flat(table), figures, {"densities": table})


def chosen(run: Run, densities: Mapping[str, Density], density: str | None) -> str:
    """The name of the density that the main figure shows."""
    name = density or ("standard_normal" if run.model.has_prior else "pca_kde")
    if name not in densities:
        raise UserError(f"There is no density {name!r} to sample from. There are: {listed(list(densities))}.")
    return name


def draw(run: Run, density: Density, count: int, temperature: float, seed: int) -> Tensor:
    """(count, C, H, W) images of drawn codes; a conditional model is told labels of training images drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    z = density.sample(count, generator)
    z = (density.mean + temperature * (z - density.mean)).float()
    if not run.model.context_size:
        return run.decode(z)
    y = run.codes("train").y
    return run.decode(z, y[torch.randint(len(y), (count,), generator=generator)])


def measure(
    run: Run, densities: Mapping[str, Density], images: Mapping[str, Tensor], split: str, measured: int,
    references: int, temperature: float, seed: int, main: str, classifier: TrainedJudge | None,
) -> tuple[pd.DataFrame, Tensor]:  # fmt: skip
    """The table of densities and real images, and the training images nearest to the main density's first samples."""
    held_out, train = pick(run, split, references), pick(run, "train", references)
    codes = run.codes(split).z
    codes, variance = codes[spread_rows(2000, len(codes))], run.codes("train").z.double().var(0).sum()
    rows = {}
    for name, density in densities.items():
        draws = density.sample(DRAWS, torch.Generator().manual_seed(seed)).double()
        rows[name] = {
            "log-density": mean_and_error(density.log_density(codes)),
            "variance ratio": float(temperature**2 * draws.var(0).sum() / variance.clamp(min=1e-12)),
        }
        near, training = (
            pixel_distances(images[name][:measured], held_out),
            pixel_distances(images[name][:measured], train),
        )
        rows[name] |= columns_of(near, training)
        if name == main:
            nearest = train[training[:COLUMNS].argmin(1)]
    source, outside = pick(run, "train", measured), pick(run, split, measured)
    blank = {"log-density": math.nan, "log-density +-": math.nan, "variance ratio": math.nan}
    rows["real images"] = blank | columns_of(pixel_distances(source, held_out), pixel_distances(outside, train))
    batch = run.batch("train", spread_rows(measured, len(run.data.images("train"))))
    copies = run.reconstruct(batch.x, batch.y).clamp(0, 1)
    rows["training reconstructions"] = blank | columns_of(
        pixel_distances(copies, held_out), pixel_distances(copies, train)
    )
    if classifier is not None:
        real, drawn = classifier.features(outside), {name: images[name][:measured] for name in densities}
        for name, one in {**drawn, "real images": source, "training reconstructions": copies}.items():
            rows[name]["KID"] = kernel_distance(real, classifier.features(one))
    mean = run.data.mean_image().float()[None]
    rows["mean image"] = blank | columns_of(pixel_distances(mean, held_out), pixel_distances(mean, train))
    for row in rows.values():
        row["codes"], row["images"] = len(codes), measured
    rows["mean image"]["images"] = 1
    return comparison(rows), nearest.float()


def columns_of(near: Tensor, training: Tensor) -> dict[str, tuple[float, float]]:
    """The distance columns, from distances (N, M) to held-out and to training images."""
    return {
        "to nearest held-out": mean_and_error(near.min(1).values),
        "held-out to nearest": mean_and_error(near.min(0).values),
        "to nearest training": mean_and_error(training.min(1).values),
    }


def pick(run: Run, split: str, count: int) -> Tensor:
    """At most `count` images of a split, evenly apart, as clean floats in [0, 1]."""
    store = run.prepare().data.images(split)
    return store[spread_rows(count, len(store))].float() / 255
