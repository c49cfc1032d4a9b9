"""Groups of training batches. Lightning calls `training_step` once per group, which saves time for each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoencoders.data.loader import Batches
from autoencoders.types import Batch


@dataclass(frozen=True)
class GroupPlan:
    """Division of the batches of an epoch into groups of consecutive batches.

    A group ends where Lightning must act: before every validation, and after the last optimizer step of the run. All
    complete validation intervals have the same number of groups, because Lightning counts groups, not batches.

    Args:
        size: maximum number of batches in a group.
        batches: number of batches in an epoch.
        interval: number of batches from one validation to the next, not greater than `batches`.
        stop: number of batches after which the run stops within an epoch, because of trainer.max_steps; 0 if the run
            does not stop within an epoch.
    """

    size: int
    batches: int
    interval: int
    stop: int = 0

    @property
    def groups_per_interval(self) -> int:
        """Number of groups from one validation to the next."""
        return len(self._interval_ends())

    def ends(self) -> list[int]:
        """Return, for each group, the number of batches from the start of the epoch to the end of the group."""
        ends = []
        for start in range(0, self.batches, self.interval):
            ends += [start + end for end in self._interval_ends(self.batches - start)]
        return ends

    def completed_groups(self, batches: int) -> int:
        """Return the number of groups that are complete after the first `batches` batches of the epoch."""
        return sum(end <= batches for end in self.ends())

    def _interval_ends(self, remaining: int | None = None) -> list[int]:
        """Return, for each group of a validation interval, the number of batches up to the end of the group.

        Args:
            remaining: number of batches from the start of the interval to the end of the epoch; None for an interval
                of full length.
        """
        size, stop = self.size, self.stop % self.interval
        if self.batches % self.interval:  # the last interval is shorter, and must have fewer groups than the others
            size = min(size, max(1, self.interval // 3))
        inner = sorted({*range(size, self.interval, size), *([stop] if stop else [])})
        if remaining is None or remaining >= self.interval:
            return [*inner, self.interval]
        shorter = [end for end in inner if end < remaining]
        if shorter == inner and inner:
            shorter.remove(next(end for end in inner if end != stop))
        return [*shorter, remaining]


class BatchGroup:
    """Consecutive training batches of one epoch. Each batch is built only when the iteration reaches it.

    Args:
        build: called with the index of a batch in the epoch and the indices of its images in the split; returns the
            batch.
        first: index in the epoch of the first batch of the group.
        rows: for each batch, the indices of its images in the split.
    """

    def __init__(self, build: Callable[[int, Tensor], Batch], first: int, rows: Sequence[Tensor]) -> None:
        self.build, self.first, self.rows = build, first, rows
        self.device: torch.device | None = None

    def to(self, device: torch.device) -> BatchGroup:
        """Set the device for the batches. Each batch is moved when it is built. Return this group."""
        self.device = device
        return self

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        """Yield, for each batch of the group, its index in the epoch and the batch."""
        for number, rows in enumerate(self.rows, self.first):
            batch = self.build(number, rows)
            yield number, batch if self.device in (None, batch.x.device) else batch.to(self.device)


class GroupedBatches:
    """Iterable over groups (`BatchGroup`) of the training batches of an epoch.

    Args:
        batches: training batches that are divided into groups.
        plan: division of the batches into groups.
    """

    def __init__(self, batches: Batches, plan: GroupPlan) -> None:
        self.batches, self.plan = batches, plan
        self.sampler, self.batch_sampler = batches, None  # Lightning calls `set_epoch` on these attributes

    def __len__(self) -> int:
        return len(self.plan.ends())

    def __iter__(self) -> Iterator[BatchGroup]:
        begin, rows = self.batches.start_epoch()
        for end in self.plan.ends():
            if end > begin:
                yield BatchGroup(self.batches.serve, begin, rows[begin:end])
                begin = end
