"""Filling of covered pixels: with the model, with PCA, and with a smooth surface."""

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
"""Candidates for the ridge of the PCA fill: the variance of a pixel around its reconstruction from the code."""
CODE_FIT_CHOICES = tuple(itertools.product((0.01, 0.03, 0.1), (0.3, 1.0)))
"""Candidates for the two parameters of `CodeFit`: its ridge (noise) and its trust in the encoder."""


class Corrupted(NamedTuple):
    """Corrupted images.

    Attributes:
        batch: the images and their targets.
        hidden: (B, 1, H, W) bool, True where a pixel is covered; None if the corruption covers nothing.
    """

    batch: Batch
    hidden: Tensor | None

    @property
    def mask(self) -> Tensor:
        """(B, 1, H, W) bool, True where a pixel is covered."""
        if self.hidden is None:
            return torch.zeros_like(self.batch.x[:, :1], dtype=torch.bool)
        return self.hidden


Method = Callable[[Corrupted], Tensor]
"""A restoration method: corrupted images -> (B, C, H, W) restored images."""


def corrupted_rows(run: Run, split: str, rows: Tensor) -> Corrupted:
    """Read rows of a split with the corruption of evaluation, and locate the covered pixels."""
    batch, loader = run.batch(split, rows), run.data.evaluation_batches(split)
    return Corrupted(batch, cover_mask(loader.corruption, batch.x, loader.draws(batch.index)))


def cover_mask(corruption: Callable[[Tensor, Draws], Tensor], x: Tensor, draws: Draws) -> Tensor | None:
    """Return where a corruption covers images, (B, 1, H, W) bool; None if it does not cover pixels.

    The corruption is applied to images of NaN: a pixel that is finite afterwards is covered.
    """
    if not isinstance(corruption, (Occlusion, Erase)):
        return None
    return corruption(torch.full_like(x, math.nan), draws)[:, :1].isfinite()


def inpainting_methods(run: Run, validation: Corrupted) -> dict[str, Method]:
    """Return methods that fill the covered pixels and keep the others: the model, PCA and a biharmonic surface.

    All these methods use the position of the cover. The PCA fill and the fit of the model's code use the known pixels
    only; their parameters are chosen on the validation images.
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
    """Return PCA fills with as many components as latents: without a ridge, and with the one chosen on validation."""
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
    """Fill covered pixels from the code that best explains the known pixels and is probable under two Gaussians.

    argmin_z |known (x - decode(z))|^2 + noise * ((z - m)' S^-1 (z - m) + trust * (z - e)' E^-1 (z - e)), where m and S
    are the mean and covariance of the training codes, e is the encoder's code of the covered image, and E is the
    covariance of its error (e minus the code of the clean image) on validation images. This is Semantic Image
    Inpainting (Yeh et al., 2017) with two Gaussians as the prior; `pca_fill` has one. The code is optimized by Adam
    for a fixed number of steps, starting at the maximum of the product of both Gaussians.

    Args:
        run: a run that was trained on covered images.
        steps: number of steps of Adam.
        rate: initial learning rate of Adam in standard deviations of the prior; it decreases to 0 as a cosine.
    """

    def __init__(self, run: Run, steps: int = 40, rate: float = 0.2) -> None:
        self.run, self.steps, self.rate = run, steps, rate
        codes, batch = run.codes("train").z.double(), run.batch("val")
        error = (run.encode(batch.target, batch.y) - run.encode(batch.x, batch.y)).double()
        self.mean = codes.mean(0)
        self.population = _precision((codes - self.mean).T @ (codes - self.mean) / len(codes), len(codes))
        self.encoder = _precision(error.T @ error / len(error), len(error))

    def __call__(self, corrupted: Corrupted, noise: float, trust: float) -> Tensor:
        """Return the images (N, C, H, W): known pixels unchanged, covered pixels decoded from the fitted code."""
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
        """Optimize the codes (B, Z) of images (B, C, H, W).

        Args:
            x: covered images.
            hidden: (B, 1, H, W) bool.
            start: (B, Z) codes at the maximum of the prior.
            scale: (Z, Z) Cholesky factor of the covariance of the prior.
            y: (B,) or (B, A) labels of a conditional model.
            noise: weight of the prior.
        """
        model = self.run.model
        x, known, start, scale = (t.to(model.device) for t in (x, (~hidden).float(), start, scale))
        y = None if y is None else y.to(model.device)
        offset = torch.zeros_like(start, requires_grad=True)  # from `start`, in standard deviations of the prior
        optimizer = torch.optim.Adam([offset], lr=self.rate)
        for i in range(self.steps):
            optimizer.param_groups[0]["lr"] = self.rate * 0.5 * (1 + math.cos(math.pi * i / self.steps))
            error = ((model.decode(start + offset @ scale.T, y) - x) * known).square().sum()
            (offset.grad,) = torch.autograd.grad(error + noise * offset.square().sum(), offset)
            optimizer.step()
        return (start + offset @ scale.T).detach().cpu()


def _precision(covariance: Tensor, count: int) -> Tensor:
    """Invert a covariance (Z, Z) estimated from `count` codes; only its diagonal is used if there are few codes."""
    if count < 4 * len(covariance):
        covariance = torch.diag(covariance.diagonal())
    floor = 1e-3 * covariance.diagonal().mean() + 1e-12  # inactive latents have almost no variance
    return torch.linalg.inv(covariance + floor * torch.eye(len(covariance), dtype=covariance.dtype))
