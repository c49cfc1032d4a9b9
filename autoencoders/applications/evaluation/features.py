"""FID, KID, density and coverage of samples and reconstructions, computed from the features of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.applications.base import bootstrap_error, mean_and_error, spread_rows
from autoencoders.applications.code_samples import prior_or_gaussian
from autoencoders.applications.evaluation.extractors import FeatureExtractor
from autoencoders.applications.evaluation.table import RESAMPLES, Row
from autoencoders.applications.sample import sample_images
from autoencoders.latent.densities import GaussianFull
from autoencoders.metrics.generation import density_and_coverage, frechet_distance, kernel_distance
from autoencoders.runs.run import Run
from autoencoders.utils.chunks import ROWS_PER_CHUNK

NEIGHBOURS = 5
"""Number of nearest neighbors for density and coverage, as in Naeem et al., 2020."""
FITTED = 10_000
"""Maximum number of training images whose PCA codes the Gaussian of the PCA baseline is fitted to."""
MEASURES = ("FID", "KID", "density", "coverage")
BOOTSTRAP_FEATURES = 512
"""Maximum number of features for which the standard error of FID is computed, because it takes minutes for more."""
KINDS = ("samples", "reconstructions")
"""Kinds of image sets."""


class ImageSet(NamedTuple):
    """A set of images that is compared with real images.

    Attributes:
        kind: one of KINDS.
        method: name of the model or baseline that generated the images.
        images: images (N, C, H, W) in [0, 1].
        note: origin of the images, for the table.
    """

    kind: str
    method: str
    images: Tensor
    note: str


def feature_rows(run: Run, split: str, extractor: FeatureExtractor | None, drawn: int, seed: int) -> list[Row]:
    """Return rows with FID, KID, density and coverage of samples and reconstructions, compared with real images.

    All sets have the same number of images, because FID depends on this number. Baselines are samples from a Gaussian
    fitted to PCA codes, and noise. Real images of other splits are a reference, the best values that can be
    expected. The reconstructed images are not from `split`, so that they are not compared with their own originals.

    Args:
        run: run to evaluate.
        split: split of the real images.
        extractor: network whose features are used. If it is None, the rows contain NaN and a note.
        drawn: maximum number of images per set.
        seed: seed of the samples.
    """
    name = run.model.name
    if extractor is None:
        note = f"n/a: set classifier=<run of model=classifier data={run.data.name}> or features=inception:<weights>"
        return [Row(f"{measure}, {kind}", "", name, math.nan, 0, note) for kind in KINDS for measure in MEASURES]
    source, count = reconstruction_split(split), set_size(run, split, drawn)
    if count <= NEIGHBOURS + 1:
        note = f"n/a: {count} images are too few"
        return [Row(f"{measure}, {kind}", "", name, math.nan, 0, note) for kind in KINDS for measure in MEASURES]
    real = extractor.features(real_images(run, split, count))
    found = {
        one[:2]: (compare_features(real, extractor.features(one.images)), one.note)
        for one in image_sets(run, source, count, seed)
    }
    names = {measure: f"{measure} {extractor.protocol}".rstrip() for measure in MEASURES}
    return [
        Row(f"{names[measure]}, {kind}", "", method, values[measure], count, note)
        for kind in KINDS for measure in MEASURES
        for (of, method), (values, note) in found.items() if of == kind
    ]  # fmt: skip


def reconstruction_split(split: str) -> str:
    """Return the split of the reconstructed images, which differs from `split`: `val` if possible, else `train`."""
    return "train" if split == "val" else "val"


def set_size(run: Run, split: str, drawn: int) -> int:
    """Return the number of images per set: `drawn`, or the size of the smallest split that is used."""
    return min(drawn, *(len(run.prepare().data.images(s)) for s in (split, reconstruction_split(split))))


def compare_features(real: Tensor, features: Tensor) -> dict[str, tuple[float, float]]:
    """Return measure name -> (value, standard error) for features (N, F) of real and of generated images."""
    error = math.nan
    if real.shape[1] <= BOOTSTRAP_FEATURES:
        error = bootstrap_error(lambda i: frechet_distance(real[i], features[i]), len(real), resamples=RESAMPLES)
    density, coverage = density_and_coverage(real, features, NEIGHBOURS)
    return {
        "FID": (frechet_distance(real, features), error),
        "KID": kernel_distance(real, features),
        "density": mean_and_error(density),
        "coverage": mean_and_error(coverage),
    }


def image_sets(run: Run, source: str, count: int, seed: int) -> Iterator[ImageSet]:
    """Yield the samples of the model and of all baselines, then the reconstructions of the model and of PCA.

    Args:
        run: run to evaluate.
        source: split of the reconstructed images.
        count: number of images in every set.
        seed: seed of the samples.
    """
    name, pca, generator = run.model.name, run.pca(), torch.Generator().manual_seed(seed)
    density = prior_or_gaussian(run)
    labels = ", labels of training images" if run.model.context_size else ""
    note = f"mean images of p(x | z) for codes from {density.name}{labels}"
    yield ImageSet("samples", name, sample_images(run, density, count, 1.0, seed), note)
    train = real_images(run, "train", FITTED)
    linear = GaussianFull().fit(pca.encode(train)).sample(count, generator)
    note = "codes from a Gaussian fitted to PCA codes of training images"
    yield ImageSet("samples", pca.name, pca.decode(linear), note)
    for split in dict.fromkeys((source, "train")):
        yield ImageSet("samples", f"real {split} images", real_images(run, split, count), "best case: real images")
    noise = torch.rand(count, *run.model.shape, generator=generator)
    yield ImageSet("samples", "noise", noise, "independent pixels, uniform in [0, 1]")
    rows = spread_rows(count, len(run.data.images(source)))
    for method, reconstruct in ((name, run.reconstruct), (pca.name, lambda x, y: pca.reconstruct(x))):
        batches = (run.batch(source, some) for some in rows.split(ROWS_PER_CHUNK))
        images = torch.cat([reconstruct(batch.x, batch.y) for batch in batches])
        yield ImageSet("reconstructions", method, images, f"reconstructions of {source} images")


def real_images(run: Run, split: str, count: int) -> Tensor:
    """Return the targets (N, C, H, W) of at most `count` evenly spaced images of a split."""
    rows = spread_rows(count, len(run.data.images(split)))
    return torch.cat([run.batch(split, some).target for some in rows.split(ROWS_PER_CHUNK)])
