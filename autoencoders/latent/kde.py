"""Kernel density estimates of codes in their principal coordinates."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from autoencoders.latent.densities import FLOOR, split_codes
from autoencoders.types import UserError
from autoencoders.utils.chunks import chunk_slices

BANDWIDTHS = tuple(0.05 * 2 ** (i / 4) for i in range(21))
"""Bandwidths tried by `held_out`, in standard deviations of a principal component: .05 to 1.6, by factors of 1.19."""


class PCAKDE:
    """Kernel density estimate on the leading principal components of the codes, with Gaussians on the others.

    log p(z) = log mean_n N(u; u_n, h^2 I) - sum log s_k + sum over the others of log N(v_j; 0, s_j^2), where u are the
    leading coordinates in units of their standard deviations s_k, and v the others. The kernel has the shape of the
    codes' covariance, as in `scipy.stats.gaussian_kde`, and the density is over all Z dimensions. The variance of its
    samples along a leading component is 1 + h^2 times that of the codes: see `inflation`.

    Args:
        components: number of leading components, or, below 1, the share of variance that they explain at least.
        bandwidth: `held_out` (the one of BANDWIDTHS with the highest mean log-density of validation codes), `scott`
            (n^(-1 / (d + 4)); Scott, 1992, "Multivariate density estimation"), or h itself.
        validation_rows: maximum number of validation codes that choose the bandwidth.
    """

    name = "a kernel density estimate on PCA coordinates"

    def __init__(self, components: float = 55, bandwidth: str | float = "held_out", validation_rows: int = 500) -> None:
        if components <= 0 or (components >= 1 and components != int(components)):
            raise UserError(f"components must be an integer of at least 1 or a share below 1, got {components}.")
        if bandwidth not in ("held_out", "scott") and not (isinstance(bandwidth, (int, float)) and bandwidth > 0):
            raise UserError(f"bandwidth must be held_out, scott or a number above 0, got {bandwidth!r}.")
        self.components, self.rule, self.validation_rows = components, bandwidth, validation_rows

    def fit(self, z: Tensor, validation: Tensor | None = None) -> PCAKDE:
        """Fit to (N, Z) codes. Without validation codes, every tenth row is held out to choose the bandwidth."""
        chosen_on = z
        if self.rule == "held_out":
            z, chosen_on = split_codes(z, validation)
        z = z.double().cpu()
        self.mean = z.mean(0)
        variance, vectors = torch.linalg.eigh(torch.atleast_2d(torch.cov(z.T)))
        variance, self.axes = variance.flip(0), vectors.flip(1)  # (Z,), (Z, Z) components in columns
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
        """1 + h^2: the variance of samples relative to that of the codes, along every leading component."""
        return 1 + self.bandwidth**2

    def _count(self, variance: Tensor) -> int:
        if self.components >= 1:
            return min(int(self.components), len(variance))
        shares = variance.clamp(min=0).cumsum(0) / variance.clamp(min=0).sum()
        return min(int((shares < self.components).sum()) + 1, len(variance))

    def _coordinates(self, z: Tensor) -> Tensor:
        return (z - self.mean) @ self.axes / self.scale

    def _kernels(self, u: Tensor, bandwidths: tuple[float, ...]) -> Tensor:
        """Return (len(bandwidths), M) float64 log-densities of whitened leading coordinates (M, d)."""
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
        """Return (count, Z) float32 samples on the CPU."""
        chosen = torch.randint(len(self.centers), (count,), generator=generator)
        eps = torch.randn(count, len(self.mean), generator=generator, dtype=torch.float64)
        eps[:, : self.kept] = self.centers[chosen] + self.bandwidth * eps[:, : self.kept]
        return (self.mean + (eps * self.scale) @ self.axes.T).float()

    def log_density(self, z: Tensor) -> Tensor:
        """Return (N,) nats for (N, Z) codes, over all Z dimensions."""
        u = self._coordinates(z.double().cpu())
        rest = -0.5 * (u[:, self.kept :].square() + math.log(2 * math.pi)).sum(1)
        return self._kernels(u[:, : self.kept].float(), (self.bandwidth,))[0] + rest - self.scale.log().sum()
