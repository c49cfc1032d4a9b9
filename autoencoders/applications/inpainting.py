"""What may be under a cover: by the model, told where it is or not, by PCA, and by a smooth surface."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data.transforms import Draws, Erase, Occlusion
from autoencoders.metrics import classical_restoration
from autoencoders.runs.run import ROWS_PER_CHUNK, Run
from autoencoders.types import Batch
from autoencoders.utils.pca import principal_components

NOISES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2)
"""What validation chooses a PCA fill's ridge from: the variance of a pixel around what the code says of it."""
CHOICES = tuple(itertools.product((0.01, 0.03, 0.1), (0.3, 1.0)))
"""And the ridge of a fill by the model's decoder, and its trust in the encoder."""


class Seen(NamedTuple):
    """Corrupted images: a batch, and where it was covered: (B, 1, H, W) bool, or None where nothing is."""

    batch: Batch
    hidden: Tensor | None


Method = Callable[[Seen], Tensor]


def seen(run: Run, split: str, rows: Tensor) -> Seen:
    """Rows of a split as evaluation sees them, and where they are covered."""
    batch, loader = run.batch(split, rows), run.data.evaluation(split)
    return Seen(batch, covered(loader.corruption, batch.x, loader.draws(batch.index)))


def covered(corruption: Callable, x: Tensor, draws: Draws) -> Tensor | None:
    """Where a corruption covers images, (B, 1, H, W) bool: what of an image of NaN is a number afterwards."""
    if not isinstance(corruption, (Occlusion, Erase)):
        return None
    hidden = corruption(torch.full_like(x, math.nan), draws)[:, :1].isfinite()
    return hidden


def filling(run: Run, validation: Seen) -> dict[str, Method]:
    """What fills covered pixels and keeps the others: the model, PCA and a biharmonic surface.

    All but the model's bare output are told where the cover is. PCA and the model's decoder are fitted to the
    pixels that are known, with a ridge that validation images choose.
    """
    x, target, hidden = validation.batch.x, validation.batch.target, validation.hidden
    count = run.pca().components.shape[0]
    parts = principal_components(run.data.images("train"), count)
    noise = classical_restoration.tune_parameter(
        lambda a, v: classical_restoration.pca_fill(a, hidden, *parts, v), NOISES, x, target
    )

    def filled(value: float) -> Method:
        return lambda s: (
            s.batch.x if s.hidden is None else classical_restoration.pca_fill(s.batch.x, s.hidden, *parts, value)
        )

    chosen = {f"PCA-{count} fill": filled(0.0)}
    if noise:
        chosen[f"PCA-{count} fill, ridge {noise:g}"] = filled(noise)
    fit = CodeFit(run)
    choice = classical_restoration.tune_parameter(lambda _, c: fit(validation, *c), CHOICES, x, target)
    return {
        f"{run.model.name}, known kept": lambda s: torch.where(
            s.hidden, run.reconstruct(s.batch.x, s.batch.y), s.batch.x
        ),
        f"{run.model.name} fill, ridge {choice[0]:g}, trust {choice[1]:g}": lambda s: fit(s, *choice),
        **chosen,
        "biharmonic": lambda s: classical_restoration.biharmonic(s.batch.x, s.hidden),
    }


class CodeFit:
    """Fills covered pixels from the code that explains the known ones best, and is likely besides.

    argmin_z |known (x - decode(z))|^2 + noise * ((z - m)' S^-1 (z - m) + trust * (z - e)' E^-1 (z - e)), with m and S
    the mean and covariance of training codes, e the encoder's code of the covered image, and E what e is off the code
    of the clean image by, measured on validation images: Semantic Image Inpainting (Yeh et al., 2017) with two
    Gaussians for a prior, as `principal_fill` has one. Adam from their product's peak, a fixed number of steps.

    Args:
        run: a run trained to uncover.
        steps: of Adam.
        rate: of Adam, at the start, in standard deviations of the prior; it falls to 0 as a cosine.
    """

    def __init__(self, run: Run, steps: int = 40, rate: float = 0.2) -> None:
        self.run, self.steps, self.rate = run, steps, rate
        codes, batch = run.codes("train").z.double(), run.batch("val")
        error = (run.encode(batch.target, batch.y) - run.encode(batch.x, batch.y)).double()
        self.mean = codes.mean(0)
        self.population = _precision((codes - self.mean).T @ (codes - self.mean) / len(codes), len(codes))
        self.encoder = _precision(error.T @ error / len(error), len(error))

    def __call__(self, seen: Seen, noise: float, trust: float) -> Tensor:
        """(N, C, H, W): known pixels as they are, hidden ones from the fitted code."""
        batch, y = seen.batch, seen.batch.y if self.run.model.context_size else None
        precision = self.population + trust * self.encoder
        covariance = torch.linalg.inv(precision)
        pull = self.population @ self.mean + trust * self.run.encode(batch.x, batch.y).double() @ self.encoder
        start, scale = (pull @ covariance).float(), torch.linalg.cholesky(covariance).float()
        parts = []
        for rows in torch.arange(len(start)).split(ROWS_PER_CHUNK):
            labels = None if y is None else y[rows]
            parts.append(self._fitted(batch.x[rows], seen.hidden[rows], start[rows], scale, labels, noise))
        return torch.where(seen.hidden, self.run.decode(torch.cat(parts), batch.y).clamp(0, 1), batch.x)

    @torch.enable_grad()
    def _fitted(
        self, x: Tensor, hidden: Tensor, start: Tensor, scale: Tensor, y: Tensor | None, noise: float
    ) -> Tensor:
        model = self.run.model
        x, known, start, scale = (t.to(model.device) for t in (x, (~hidden).float(), start, scale))
        y = None if y is None else y.to(model.device)
        steps = torch.zeros_like(start, requires_grad=True)  # from the prior's peak, in its standard deviations
        optimizer = torch.optim.Adam([steps], lr=self.rate)
        for i in range(self.steps):
            optimizer.param_groups[0]["lr"] = self.rate * 0.5 * (1 + math.cos(math.pi * i / self.steps))
            error = ((model.decode(start + steps @ scale.T, y) - x) * known).square().sum()
            (steps.grad,) = torch.autograd.grad(error + noise * steps.square().sum(), steps)
            optimizer.step()
        return (start + steps @ scale.T).detach().cpu()


def _precision(covariance: Tensor, count: int) -> Tensor:
    """The inverse of a covariance (Z, Z) of `count` codes; of its diagonal alone where they are few for the angles."""
    if count < 4 * len(covariance):
        covariance = torch.diag(covariance.diagonal())
    floor = 1e-3 * covariance.diagonal().mean() + 1e-12  # dead latents have no variance of their own
    return torch.linalg.inv(covariance + floor * torch.eye(len(covariance), dtype=covariance.dtype))
