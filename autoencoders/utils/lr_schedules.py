"""Learning-rate schedules: construction for a number of steps, and a check of the learning rate."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from autoencoders.types import UserError

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def check_learning_rate(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer if its learning rate is valid. Torch accepts rates with which nothing is learned.

    Raises:
        UserError: if the learning rate is not above 0, or not finite.
    """
    for group in optimizer.param_groups:
        if not 0 < group["lr"] < math.inf:
            raise UserError(f"optimizer.lr must be a number above 0, got {group['lr']}.")
    return optimizer


def build_schedule(optimizer: Optimizer, schedule: functools.partial, steps: float) -> LRScheduler:
    """Build the schedule of an optimizer, with `auto` arguments replaced by the optimizer steps of the run.

    Raises:
        UserError: if the schedule spans the run and the run has no end.
    """
    if not math.isfinite(steps):
        raise UserError(
            "The length of the learning-rate schedule is that of the run, but this run has no end. Set "
            "trainer.max_epochs or trainer.max_steps, or choose schedule=constant."
        )
    keywords = {name: int(steps) if value == "auto" else value for name, value in schedule.keywords.items()}
    return schedule.func(optimizer, **keywords)


def spans_run(schedule: functools.partial | None) -> bool:
    """Return whether the length of a schedule depends on the length of the run."""
    return schedule is not None and "auto" in schedule.keywords.values()
