"""Metric that computes exact means of several terms over all images of a stage, such as an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class RunningMeans(Metric):
    """Means of M terms over all images, from sums over the images and the number of images.

    The means are exact for batches of any size and for any number of processes. The mean of batch means would be wrong
    if batches differ in size. An update does not wait for the device. The number M is that of the first update.

    Args:
        **options: options of `torchmetrics.Metric`, such as `sync_on_compute`.

    Attributes:
        sums: sums (M,) of the terms over the images, float64 (float32 on Apple GPUs, which do not support float64); a
            scalar 0 before the first update.
        count: number of images, a scalar int64.
    """

    full_state_update = False
    sums: Tensor
    count: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        dtype = torch.float32 if torch.backends.mps.is_available() else torch.float64
        self.add_state("sums", torch.zeros((), dtype=dtype), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, means: Tensor, count: int) -> None:
        """Add a batch.

        Args:
            means: means (M,) of the terms over the images of the batch.
            count: number of images in the batch.
        """
        if self.sums.dim() == 0:
            self.sums = self.sums.expand(len(means)).clone()
        self.sums.add_(means, alpha=count)
        self.count.add_(count)

    def compute(self) -> Tensor:
        """Return the means (M,) over all images since the last reset."""
        return self.sums / self.count

    def saved_state(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint, on the CPU and added over all processes."""
        with self.sync_context():
            return {"sums": self.sums.cpu().clone(), "count": self.count.cpu().clone()}

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
            self.sums.copy_(state["sums"])
            self.count.copy_(state["count"])
