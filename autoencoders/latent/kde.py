"""Kernel density estimate for codes, computed on their leading principal components."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoencoders.latent.densities import FLOOR, split_codes
from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices

BANDWIDTHS = tuple(0.05 * 2 ** (i / 4) for i in range(21))
"""Candidate bandwidths for `bandwidth=held_out`: 0.05 to 1.6 standard deviations of a principal component."""


class PCAKDE:
    """Density of codes: a kernel density estimate on d leading principal components, and Gaussians on the others.

    log p(z) = log mean_n N(u; u_n, h^2 I) - sum_k log s_k + sum_j log N(v_j; 0, s_j^2)

    k = 1, ..., d are the leading components, and j are the remaining components. u are the d leading coordinates of z,
    each divided by its standard deviation s_k. u_n are the same coordinates of training code n. v_j is a remaining
    coordinate, and s_j is its standard deviation. h is the bandwidth.

    The kernel is proportional to the covariance of the codes, as in `scipy.stats.gaussian_kde`. Along a leading
    component, the variance of samples is 1 + h^2 times the variance of the codes; see `inflation`.

    Args:
        components: d, an integer >= 1. A number below 1 is a fraction of variance: d is then the smallest number of
            components that explain at least this fraction.
        bandwidth: h in standard deviations of a component, or a rule. `held_out` chooses the value in BANDWIDTHS with
            the highest mean log-density of the validation codes. `scott` is N^(-1 / (d + 4)) for N codes (Scott, 1992,
            "Multivariate density estimation").
        validation_rows: maximum number of validation codes for the choice of the bandwidth.

    Raises:
        UserError: if `components` or `bandwidth` is invalid.
    """

    name = "a kernel density estimate on PCA coordinates"

    def __init__(self, components: float = 55, bandwidth: str | float = "held_out", validation_rows: int = 500) -> None:
        if components <= 0 or (components >= 1 and components != int(components)):
            raise UserError(
                "components of a kernel density estimate must be an integer >= 1, or a fraction of variance between 0 "
                f"and 1, got {components}."
            )
        if bandwidth not in ("held_out", "scott") and not (isinstance(bandwidth, (int, float)) and bandwidth > 0):
            raise UserError(f"bandwidth must be held_out, scott or a number above 0, got {bandwidth!r}.")
        self.components, self.rule, self.validation_rows = components, bandwidth, validation_rows

    def fit(self, z: Tensor, validation: Tensor | None = None) -> PCAKDE:
        """Fit the density to codes `z` (N, Z).

        With `bandwidth=held_out`, the bandwidth is chosen on `validation` codes (M, Z). If `validation` is None, every
        tenth code of `z` is held out for this choice.
        """
        chosen_on = z
        if self.rule == "held_out":
            z, chosen_on = split_codes(z, validation)
        z = z.double().cpu()
        self.mean = z.mean(0)
        variance, vectors = torch.linalg.eigh(torch.atleast_2d(torch.cov(z.T)))
        variance, self.axes = variance.flip(0), vectors.flip(1)  # (Z,), and (Z, Z) with one component per column
        self.scale = variance.clamp(min=FLOOR * float(variance.mean().clamp(min=1e-12))).sqrt()
        self.kept = self._count(variance)
        self.centers = self._coordinates(z)[:, : self.kept].float()  # (N, d)
        if self.rule == "held_out":
            rows = chosen_on[:: max(1, math.ceil(len(chosen_on) / self.validation_rows))]
            self.bandwidth = self._best(self._coordinates(rows.double().cpu())[:, : self.kept].float())
        elif self.rule == "scott":
            self.bandwidth = len(z) ** (-1 / (self.kept + 4))
        else:
            self.bandwidth = float(self.rule)
        self.name = f"a KDE on {self.kept} PCs, bandwidth {self.bandwidth:.2f}"
        return self

    @property
    def inflation(self) -> float:
        """Return 1 + h^2: the variance of samples divided by the variance of the codes, along a leading component."""
        return 1 + self.bandwidth**2

    def _count(self, variance: Tensor) -> int:
        if self.components >= 1:
            return min(int(self.components), len(variance))
        shares = variance.clamp(min=0).cumsum(0) / variance.clamp(min=0).sum()
        return min(int((shares < self.components).sum()) + 1, len(variance))

    def _coordinates(self, z: Tensor) -> Tensor:
        return (z - self.mean) @ self.axes / self.scale

    def _kernels(self, u: Tensor, bandwidths: tuple[float, ...]) -> Tensor:
        """Return log-densities (len(bandwidths), M) in float64 for whitened leading coordinates `u` (M, d)."""
        count, d = self.centers.shape
        columns = []
        for rows in chunk_slices(len(u), 8 * count):
            square = torch.cdist(u[rows], self.centers).square_()  # (m, N)
            columns.append(torch.stack([(square * (-0.5 / h**2)).logsumexp(1) for h in bandwidths]).double())
        constants = [math.log(count) + d * math.log(h) + 0.5 * d * math.log(2 * math.pi) for h in bandwidths]
        return torch.cat(columns, dim=1) - torch.tensor(constants, dtype=torch.float64)[:, None]

    def _best(self, u: Tensor) -> float:
        return BANDWIDTHS[int(self._kernels(u, BANDWIDTHS).mean(1).argmax())]

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Return samples (count, Z) as float32 on the CPU."""
        chosen = torch.randint(len(self.centers), (count,), generator=generator)
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        eps[:, : self.kept] = self.centers[chosen] + self.bandwidth * eps[:, : self.kept]
        return (self.mean + (eps * self.scale) @ self.axes.T).float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log-density (N,) of codes `z` (N, Z) in nats. It includes all Z dimensions."""
        u = self._coordinates(z.double().cpu())
        rest = -0.5 * (u[:, self.kept :].square() + math.log(2 * math.pi)).sum(1)
        return self._kernels(u[:, : self.kept].float(), (self.bandwidth,))[0] + rest - self.scale.log().sum()
