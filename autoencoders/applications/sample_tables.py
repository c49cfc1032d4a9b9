"""Table of the quality of samples: log-density of held-out codes, distances to real images, and KID."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison_table, mean_and_error, spread_rows
from autoencoders.applications.label_classifiers import TrainedClassifier
from autoencoders.metrics.generation import kernel_distance
from autoencoders.metrics.neighbors import pixel_distances
from autoencoders.runs.run import Run
from autoencoders.utils.pixels import to_unit

if TYPE_CHECKING:
    from autoencoders.latent.densities import Density

DRAWS = 5000
"""Number of codes that are sampled to measure the variance of a density."""
HELD_OUT_CODES = 2000
"""Maximum number of held-out codes whose log-density is measured."""


@dataclass(frozen=True)
class Measurement:
    """Settings and real images for the measurement of samples.

    Attributes:
        split: the held-out split.
        count: number of measured samples from each density.
        temperature: factor on the deviation of a sampled code from the mean of its density.
        seed: seed of the sampled codes.
        held_out: (M, C, H, W) held-out images that are searched for the nearest image.
        training: (M, C, H, W) training images that are searched for the nearest image.
    """

    split: str
    count: int
    temperature: float
    seed: int
    held_out: Tensor
    training: Tensor

    @property
    def choice(self) -> str:
        """Return the codes on which the hyperparameters of the densities are chosen; never those of `split`."""
        return "every tenth training code" if self.split == "val" else "validation codes"

    def distances(self, images: Tensor) -> dict[str, tuple[float, float]]:
        """Return the mean RMSE between images (N, C, H, W) and their nearest held-out and training images."""
        return distance_columns(images, images, self)


def spread_images(run: Run, split: str, count: int) -> Tensor:
    """Return at most `count` evenly spaced images of a split, without corruption, as floats in [0, 1]."""
    store = run.prepare().data.images(split)
    return to_unit(store[spread_rows(count, len(store))])


def density_table(
    run: Run,
    densities: Mapping[str, Density],
    images: Mapping[str, Tensor],
    measurement: Measurement,
    classifier: TrainedClassifier | None,
) -> pd.DataFrame:
    """Return a table with one row per density, and rows for real images, training reconstructions and the mean image.

    Args:
        run: run whose codes and images are used.
        densities: name -> fitted density.
        images: name of the density -> samples (N, C, H, W).
        measurement: settings and real images.
        classifier: classifier from whose features the KID is computed; None for no KID.
    """
    count, codes = measurement.count, run.codes(measurement.split).z
    codes = codes[spread_rows(HELD_OUT_CODES, len(codes))]
    images = {name: images[name][:count] for name in densities}
    rows: dict[str, dict[str, Any]] = {}
    for name, density in densities.items():
        rows[name] = {**density_columns(run, density, codes, measurement), **measurement.distances(images[name])}
        rows[name]["note"] = f"{density.name}; hyperparameters, if any, chosen on {measurement.choice}"
    training, held_out = spread_images(run, "train", count), spread_images(run, measurement.split, count)
    batch = run.batch("train", spread_rows(count, len(run.data.images("train"))))
    reconstructions = run.reconstruct(batch.x, batch.y).clamp(0, 1)
    mean_image = run.data.mean_image().float()[None]
    # Training images are compared with held-out images, and held-out images with training images, so that no image is
    # its own neighbor.
    references = {
        "real images": distance_columns(training, held_out, measurement),
        "training reconstructions": measurement.distances(reconstructions),
        "mean image": measurement.distances(mean_image),
    }
    for name, columns in references.items():
        rows[name] = {"log-density": math.nan, "log-density +-": math.nan, "variance ratio": math.nan, **columns}
        rows[name]["note"] = ""
    if classifier is not None:
        real = classifier.features(held_out)
        compared = {**images, "real images": training, "training reconstructions": reconstructions}
        for name, one in compared.items():
            rows[name]["KID"] = kernel_distance(real, classifier.features(one))
    for row in rows.values():
        row["codes"], row["images"] = len(codes), count
    rows["mean image"]["images"] = 1
    return comparison_table(rows)


def density_columns(run: Run, density: Density, codes: Tensor, measurement: Measurement) -> dict[str, Any]:
    """Return the mean log-density of held-out codes, and the variance of sampled codes relative to training codes.

    Args:
        run: run whose training codes are used.
        density: fitted density.
        codes: (N, Z) held-out codes.
        measurement: settings of the sampled codes.
    """
    variance = run.codes("train").z.double().var(0).sum()
    draws = density.sample(DRAWS, torch.Generator().manual_seed(measurement.seed)).double()
    ratio = measurement.temperature**2 * draws.var(0).sum() / variance.clamp(min=1e-12)
    return {"log-density": mean_and_error(density.log_density(codes)), "variance ratio": float(ratio)}


def distance_columns(images: Tensor, others: Tensor, measurement: Measurement) -> dict[str, tuple[float, float]]:
    """Return the mean RMSE between images and their nearest held-out and training images.

    Args:
        images: (N, C, H, W) images that are compared with held-out images.
        others: (N, C, H, W) images that are compared with training images.
        measurement: the held-out and training images that are searched.

    Returns:
        Means and standard errors: `to nearest held-out` from `images` to held-out images, `held-out to nearest` from
        held-out images to `images`, `to nearest training` from `others` to training images.
    """
    to_held_out = pixel_distances(images, measurement.held_out)  # (N, M)
    to_training = pixel_distances(others, measurement.training)
    return {
        "to nearest held-out": mean_and_error(to_held_out.min(1).values),
        "held-out to nearest": mean_and_error(to_held_out.min(0).values),
        "to nearest training": mean_and_error(to_training.min(1).values),
    }
