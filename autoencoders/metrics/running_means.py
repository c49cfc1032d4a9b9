"""Metric that computes exact means of several terms over all images of a stage, such as an epoch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import Metric

STATES = ("sums", "count", "window_sums", "window_count")
"""Names of the states of `RunningMeans`."""


class RunningMeans(Metric):
    """Means of M terms over all images, from sums over the images and the number of images.

    The means are exact for batches of any size and for any number of processes. The mean of batch means would be wrong
    if batches differ in size. An update does not wait for the device. The number M is that of the first update.

    `compute` returns the means since the last reset, and `compute_window` the means since its previous call.

    Attributes:
        sums: sums (M,) of the terms over the images before the current window, float64 (float32 on Apple GPUs, which do
            not support float64); a scalar 0 before the first update.
        count: number of images before the current window, a scalar int64.
        window_sums: sums (M,) over the images of the current window.
        window_count: number of images in the current window.
    """

    full_state_update = False
    sums: Tensor
    count: Tensor
    window_sums: Tensor
    window_count: Tensor

    def __init__(self) -> None:
        super().__init__()
        dtype = torch.float32 if torch.backends.mps.is_available() else torch.float64
        for name in ("sums", "window_sums"):
            self.add_state(name, torch.zeros((), dtype=dtype), dist_reduce_fx="sum")
        for name in ("count", "window_count"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, means: Tensor, count: int) -> None:
        """Add a batch.

        Args:
            means: means (M,) of the terms over the images of the batch.
            count: number of images in the batch.
        """
        if self.window_sums.dim() == 0:
            self.sums, self.window_sums = (part.expand(len(means)).clone() for part in (self.sums, self.window_sums))
        self.window_sums.add_(means, alpha=count)
        self.window_count.add_(count)

    def compute(self) -> Tensor:
        """Return the means (M,) over all images since the last reset."""
        return (self.sums + self.window_sums) / (self.count + self.window_count)

    def compute_window(self) -> Tensor:
        """Return the means (M,) over the images of this process in the current window, and start the next window."""
        means = self.window_sums / self.window_count
        self.sums.add_(self.window_sums)
        self.count.add_(self.window_count)
        self.window_sums.zero_()
        self.window_count.zero_()
        return means

    def saved_state(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint, on the CPU and added over all processes."""
        with self.sync_context():
            return {name: getattr(self, name).cpu().clone() for name in STATES}

    def restore(self, state: Mapping[str, Tensor], first: bool) -> None:
        """Restore the state from a checkpoint.

        Args:
            state: result of `saved_state`.
            first: whether this is the first process. All others start with sums of 0, because the saved sums are
                already added over all processes.
        """
        self.reset()
        if state["sums"].dim() == 0:
            return
        self.update(torch.zeros_like(state["sums"], device=self.sums.device), 0)
        if first:
            for name in STATES:
                getattr(self, name).copy_(state[name])
