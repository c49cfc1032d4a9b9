"""Anomaly scores from a trained model and from baselines, and anomalous images from other datasets or noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoencoders.applications.base import spread_rows
from autoencoders.applications.representations import code_baselines
from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.loader import Batches, Split
from autoencoders.latent.densities import GaussianFull
from autoencoders.metrics.detection import total_variation
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.runs.run import Run
from autoencoders.types import Batch
from autoencoders.utils.arrays import to_numpy
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pixels import to_stored, to_unit, white_level


class AnomalyScores:
    """Compute anomaly scores of images. A higher score means a more anomalous image.

    The baselines and the density over codes are fitted to training images. The squared norm of whitened PCA codes is,
    up to a constant, twice the negative log-density of a Gaussian that is fitted to PCA codes.

    Args:
        run: trained run whose model computes the scores.
    """

    def __init__(self, run: Run) -> None:
        self.run, (self.pca, self.whitened) = run, code_baselines(run)
        self.density = GaussianFull().fit(run.codes("train").z)

    @property
    def candidates(self) -> int:
        """Number of labels with which each image is scored."""
        model, labels = self.run.model, self.run.model.labels
        if labels is None or not model.context_size or labels.kind == "attributes":
            return 1
        return max(labels.size - len(self.run.data.excluded), 1)

    @torch.no_grad()
    def scores(self, batch: Batch, split: str) -> dict[str, np.ndarray]:
        """Return score name -> scores (N,) for a batch of N images.

        A model conditioned on classes scores each image once with every training class. The lowest score is returned.

        Args:
            batch: the images.
            split: name that seeds the noise of the posterior.
        """
        run, model, found = self.run, self.run.model, []
        for pairs in self._pairs(batch):
            terms = []
            for chunk in pairs.chunks(ROWS_PER_CHUNK):
                moved = chunk.to(model.device)
                terms.append(model.terms(moved, evaluation_noise(model, moved.index, split)))
            distortion, rate = (torch.cat([getattr(t, name).cpu() for t in terms]) for name in ("distortion", "rate"))
            z = torch.cat([t.posterior.mean.float().cpu() for t in terms])
            rows = torch.stack([distortion, distortion + rate, -self.density.log_density(z)])
            found.append(rows.unflatten(1, (-1, len(batch.x))).amin(1))  # (scores, label candidates, N) -> (scores, N)
        distortion, neg_elbo, density = torch.stack(found).amin(0)
        columns: dict[str, Any] = {"distortion": distortion}
        if model.has_prior:
            columns["negative elbo"] = neg_elbo
        columns["latent density"] = density
        columns[self.pca.name] = (self.pca.reconstruct(batch.x) - batch.target).flatten(1).square().sum(1)
        columns[self.whitened.name] = self.whitened.encode(batch.x).square().sum(1)
        columns["mean image"] = (batch.target - run.data.mean_image()).flatten(1).square().sum(1)
        scores = {name: values.double().numpy() for name, values in columns.items()}
        return {**scores, "total variation": total_variation(to_numpy(batch.target))}

    def _pairs(self, batch: Batch) -> Iterator[Batch]:
        """Yield batches (G * N images) of the N images with each of G label candidates, first all with the first one.

        The candidates are every training class, or the batch's own labels, with G = 1. Several candidates share a
        batch, because a network processes one large batch faster than many small ones.
        """
        model, labels, count = self.run.model, self.run.model.labels, len(batch.x)
        if labels is None or not model.context_size or labels.kind == "attributes":
            yield batch
            return
        known = torch.tensor(sorted(set(range(labels.size)) - set(self.run.data.excluded.tolist())))
        for group in known.split(max(1, ROWS_PER_CHUNK // count)):
            rows = torch.arange(count).repeat(len(group))
            yield batch._replace(y=None).select(rows)._replace(y=group.repeat_interleave(count))

    def output(self, batch: Batch) -> Tensor:
        """Return the reconstructions (N, C, H, W) of the images.

        A model conditioned on classes reconstructs each image with the class that gives the lowest squared error.
        """
        count = len(batch.x)
        lowest, best = torch.full((count,), math.inf), torch.zeros_like(batch.target)
        for pairs in self._pairs(batch):
            outputs = self.run.reconstruct(pairs.x, pairs.y)
            errors, group = (outputs - pairs.target).flatten(1).square().sum(1).unflatten(0, (-1, count)).min(0)
            lower = errors < lowest
            lowest = torch.where(lower, errors, lowest)
            best[lower] = outputs.unflatten(0, (-1, count))[group, torch.arange(count)][lower]
        return best


def concatenate(batches: list[Batch]) -> Batch:
    """Concatenate batches into one batch of N images, with `index` from 0 to N - 1.

    Labels are kept only if every batch has labels.
    """
    labels = [batch.y for batch in batches if batch.y is not None]
    y = torch.cat(labels) if len(labels) == len(batches) else None
    x, target = torch.cat([b.x for b in batches]), torch.cat([b.target for b in batches])
    return Batch(x, target, y, torch.arange(len(x)))


def other_images(run: Run, other: str, normal: Batch, limit: int) -> Batch:
    """Return anomalous images (N, C, H, W) from another source, preprocessed like the images of the run.

    Args:
        run: run whose image shape and preprocessing are used.
        other: name of a dataset; `noise` for uniform pixels; or `shuffled` for the normal images with shuffled pixels.
        normal: batch of normal images. It sets the number of images for `noise` and `shuffled`.
        limit: maximum number of images from a dataset.
    """
    generator = torch.Generator().manual_seed(0)
    dtype = run.prepare().data.images("test").dtype
    images = to_stored(normal.target, dtype)
    if other == "noise":
        images = torch.randint(0, white_level(dtype) + 1, images.shape, generator=generator).to(dtype)
    elif other == "shuffled":
        order = torch.rand(len(images), images[0, 0].numel(), generator=generator).argsort(1)
        images = images.flatten(2).gather(2, order[:, None].expand(-1, images.shape[1], -1)).view_as(images)
    else:
        images = convert_images(load_dataset(run, other), run.model.shape, limit)
    views: dict[str, Any] = dict(run.data.evaluation_options)
    if views["binarize"] == "static":  # `Batches` binarizes only with "dynamic", by a fixed seed and the image's index
        views["binarize"] = "dynamic"
    y = normal.y if other == "shuffled" else None
    return Batches(Split(images, y), "test", batch_size=len(images), **views).batch(torch.arange(len(images)))


def load_dataset(run: Run, name: str) -> Any:
    """Return the test images of a dataset, uint8 or uint16 (N, C, H, W).

    Args:
        run: run whose data folder and cache are used. The dataset is downloaded to this folder if it is missing.
        name: name of the dataset.
    """
    from autoencoders.data.cartoons import CartoonsDataModule
    from autoencoders.data.digits import DigitsDataModule
    from autoencoders.data.fashion import FashionMNISTDataModule
    from autoencoders.data.lfw import LFWDataModule
    from autoencoders.data.mnist import MNISTDataModule

    options: dict[str, Any] = {"name": name, "root": str(run.data.root), "batch_size": 1}
    data: ImageDataModule
    if name == "digits":
        data = DigitsDataModule(**options)
    elif name == "mnist":
        data = MNISTDataModule(**options)
    elif name == "fashion":
        data = FashionMNISTDataModule(**options)
    elif name == "lfw":
        data = LFWDataModule(**options, cache=run.data.cache, split="alphabetical", test=0.2)
    else:
        data = CartoonsDataModule(**options, cache=run.data.cache, count=2000, test=0.2)
    data.prepare_data()
    data.setup()
    return data.images("test")


def convert_images(images: Any, shape: tuple[int, ...], limit: int) -> Tensor:
    """Resize images and convert their color channels.

    Args:
        images: stored images with any height and width, in gray or RGB.
        shape: (C, H, W) of the converted images.
        limit: maximum number N of images. They are evenly spaced in `images`.

    Returns:
        uint8 images (N, C, H, W).
    """
    images = to_unit(images[spread_rows(limit, len(images))])
    images = torch.nn.functional.interpolate(images, size=shape[1:], mode="bilinear", antialias=True)
    if shape[0] != 3 and images.shape[1] == 3:
        images = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return to_stored(images.expand(-1, shape[0], -1, -1), torch.uint8)
