"""Inpainting: methods that fill the masked pixels of images with the model, with PCA, or with a smooth surface."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data.transforms import Draws, Erase, Occlusion
from autoencoders.metrics import classical_restoration
from autoencoders.runs.run import Run
from autoencoders.types import Batch
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pca import principal_components

PCA_NOISES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2)
"""Candidate ridges for the PCA fill. The ridge is the variance of a pixel in [0, 1] around its PCA reconstruction."""
CODE_FIT_CHOICES = tuple(itertools.product((0.01, 0.03, 0.1), (0.3, 1.0)))
"""Candidate pairs (noise, trust) for the parameters of `CodeFit`."""


class Corrupted(NamedTuple):
    """Corrupted images, and the position of their masked pixels.

    Attributes:
        batch: corrupted images `x` and clean images `target`, (B, C, H, W) each, with their labels and indices.
        hidden: mask (B, 1, H, W) bool, True at masked pixels; None if the corruption masks no pixels.
    """

    batch: Batch
    hidden: Tensor | None

    @property
    def mask(self) -> Tensor:
        """Return the mask (B, 1, H, W) bool, True at masked pixels. It is all False if no pixels are masked."""
        if self.hidden is None:
            return torch.zeros_like(self.batch.x[:, :1], dtype=torch.bool)
        return self.hidden


Method = Callable[[Corrupted], Tensor]
"""A restoration method: a function that maps corrupted images to restored images (B, C, H, W)."""


def corrupted_rows(run: Run, split: str, rows: Tensor) -> Corrupted:
    """Return images of a split, corrupted as in evaluation, and the position of their masked pixels.

    Args:
        run: run whose data module reads and corrupts the images.
        split: split of the images.
        rows: (B,) indices of the images in the split.
    """
    batch, loader = run.batch(split, rows), run.data.evaluation_batches(split)
    return Corrupted(batch, cover_mask(loader.corruption, batch.x, loader.draws(batch.index)))


def cover_mask(corruption: Callable[[Tensor, Draws], Tensor], x: Tensor, draws: Draws) -> Tensor | None:
    """Return the mask (B, 1, H, W) bool of the pixels that a corruption replaces; None if it masks no pixels.

    The corruption is applied to images that contain only NaN. Pixels that are finite afterwards are masked.

    Args:
        corruption: corruption from the run's data.
        x: (B, C, H, W) images; only their shape is used.
        draws: the random numbers with which the images are corrupted.
    """
    if not isinstance(corruption, (Occlusion, Erase)):
        return None
    return corruption(torch.full_like(x, math.nan), draws)[:, :1].isfinite()


def inpainting_methods(run: Run, validation: Corrupted) -> dict[str, Method]:
    """Return methods that fill masked pixels and keep known pixels: the model, PCA and a biharmonic surface.

    All methods use the mask. The PCA fill and `CodeFit` fit a code to the known pixels only. Their parameters are
    chosen on the corrupted `validation` images.
    """
    name = run.model.name
    code_fit = CodeFit(run)
    noise, trust = classical_restoration.tune_parameter(
        lambda _, choice: code_fit(validation, *choice), CODE_FIT_CHOICES, validation.batch.x, validation.batch.target
    )
    return {
        f"{name}, known kept": lambda c: torch.where(c.mask, run.reconstruct(c.batch.x, c.batch.y), c.batch.x),
        f"{name} fill, ridge {noise:g}, trust {trust:g}": lambda c: code_fit(c, noise, trust),
        **pca_methods(run, validation),
        "biharmonic": lambda c: classical_restoration.biharmonic(c.batch.x, c.mask),
    }


def pca_methods(run: Run, validation: Corrupted) -> dict[str, Method]:
    """Return PCA fills with as many components as the model has latents.

    One PCA fill has no ridge. The other has the ridge with the lowest error on the corrupted `validation` images. It is
    omitted if this ridge is 0.
    """
    count = run.pca().components.shape[0]
    components = principal_components(run.data.images("train"), count)  # mean, components, variances

    def fill(corrupted: Corrupted, noise: float) -> Tensor:
        return classical_restoration.pca_fill(corrupted.batch.x, corrupted.mask, *components, noise)

    noise = classical_restoration.tune_parameter(
        lambda _, value: fill(validation, value), PCA_NOISES, validation.batch.x, validation.batch.target
    )
    methods: dict[str, Method] = {f"PCA-{count} fill": lambda c: fill(c, 0.0)}
    if noise:
        methods[f"PCA-{count} fill, ridge {noise:g}"] = lambda c: fill(c, noise)
    return methods


class CodeFit:
    """Fill masked pixels by decoding the code that best explains the known pixels and is probable under two Gaussians.

    The code z minimizes

        |known (x - decode(z))|^2 + noise * ((z - m)' S^-1 (z - m) + trust * (z - e)' E^-1 (z - e))

    `known` is 1 at known pixels and 0 at masked pixels. m and S are the mean and covariance of the training codes. e is
    the encoder's code of the masked image. E is the covariance of the encoder's error on validation images: the code of
    the masked image minus the code of the clean image.

    This is Semantic Image Inpainting (Yeh et al., 2017) with the product of two Gaussians as the prior. `pca_fill` uses
    one Gaussian. Adam optimizes the code for a fixed number of steps and starts at the maximum of the prior.

    Args:
        run: run of a model that was trained on masked images.
        steps: number of Adam steps.
        rate: initial learning rate of Adam, in standard deviations of the prior. It decreases to 0 along a cosine.
    """

    def __init__(self, run: Run, steps: int = 40, rate: float = 0.2) -> None:
        self.run, self.steps, self.rate = run, steps, rate
        codes, batch = run.codes("train").z.double(), run.batch("val")
        error = (run.encode(batch.target, batch.y) - run.encode(batch.x, batch.y)).double()
        self.mean = codes.mean(0)
        self.population = _precision((codes - self.mean).T @ (codes - self.mean) / len(codes), len(codes))
        self.encoder = _precision(error.T @ error / len(error), len(error))

    def __call__(self, corrupted: Corrupted, noise: float, trust: float) -> Tensor:
        """Return the restored images (N, C, H, W): known pixels unchanged, masked pixels decoded from the fitted code.

        Args:
            corrupted: masked images.
            noise: weight of the prior.
            trust: weight of the Gaussian around the encoder's code, relative to the Gaussian of the training codes.
        """
        batch, hidden = corrupted.batch, corrupted.mask
        y = batch.y if self.run.model.context_size else None
        precision = self.population + trust * self.encoder
        covariance = torch.linalg.inv(precision)
        weighted = self.population @ self.mean + trust * self.run.encode(batch.x, batch.y).double() @ self.encoder
        start, scale = (weighted @ covariance).float(), torch.linalg.cholesky(covariance).float()
        codes = []
        for rows in torch.arange(len(start)).split(ROWS_PER_CHUNK):
            labels = None if y is None else y[rows]
            codes.append(self._fit(batch.x[rows], hidden[rows], start[rows], scale, labels, noise))
        return torch.where(hidden, self.run.decode(torch.cat(codes), batch.y).clamp(0, 1), batch.x)

    @torch.enable_grad()
    def _fit(self, x: Tensor, hidden: Tensor, start: Tensor, scale: Tensor, y: Tensor | None, noise: float) -> Tensor:
        """Return the optimized codes (B, Z) of masked images.

        Args:
            x: (B, C, H, W) masked images.
            hidden: (B, 1, H, W) bool mask, True at masked pixels.
            start: (B, Z) codes at the maximum of the prior, where the optimization starts.
            scale: (Z, Z) Cholesky factor of the prior's covariance.
            y: (B,) classes or (B, A) attributes; None for an unconditional model.
            noise: weight of the prior.
        """
        model = self.run.model
        x, known, start, scale = (t.to(model.device) for t in (x, (~hidden).float(), start, scale))
        y = None if y is None else y.to(model.device)
        offset = torch.zeros_like(start, requires_grad=True)  # relative to `start`, in standard deviations of the prior
        optimizer = torch.optim.Adam([offset], lr=self.rate)
        for i in range(self.steps):
            optimizer.param_groups[0]["lr"] = self.rate * 0.5 * (1 + math.cos(math.pi * i / self.steps))
            error = ((model.decode(start + offset @ scale.T, y) - x) * known).square().sum()
            (offset.grad,) = torch.autograd.grad(error + noise * offset.square().sum(), offset)
            optimizer.step()
        return (start + offset @ scale.T).detach().cpu()


def _precision(covariance: Tensor, count: int) -> Tensor:
    """Return the inverse of a covariance matrix (Z, Z) that was estimated from `count` codes.

    If there are fewer than 4 Z codes, only the diagonal of the covariance is used.
    """
    if count < 4 * len(covariance):
        covariance = torch.diag(covariance.diagonal())
    floor = 1e-3 * covariance.diagonal().mean() + 1e-12  # inactive latents have almost no variance
    return torch.linalg.inv(covariance + floor * torch.eye(len(covariance), dtype=covariance.dtype))
