"""Construction of learning-rate schedules for a number of optimizer steps, and a check of the learning rate."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from autoencoders.types import UserError

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def check_learning_rate(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer after a check of its learning rate. Torch accepts a learning rate of 0, NaN or infinity.

    Raises:
        UserError: if the learning rate is not a finite number > 0.
    """
    for group in optimizer.param_groups:
        if not 0 < group["lr"] < math.inf:
            raise UserError(f"optimizer.lr must be a finite number > 0, got {group['lr']}.")
    return optimizer


def build_schedule(optimizer: Optimizer, schedule: functools.partial, steps: float) -> LRScheduler:
    """Build the learning-rate schedule for an optimizer. Arguments with the value `auto` are replaced by `steps`.

    Args:
        optimizer: optimizer whose learning rate is changed.
        schedule: partial call that builds the schedule.
        steps: total number of optimizer steps of the run; infinite if the run has no end.

    Raises:
        UserError: if the number of steps is infinite.
    """
    if not math.isfinite(steps):
        raise UserError(
            "The learning-rate schedule needs the number of optimizer steps of the run, but this run has no end. Set "
            "trainer.max_epochs or trainer.max_steps, or choose schedule=constant."
        )
    keywords = {name: int(steps) if value == "auto" else value for name, value in schedule.keywords.items()}
    return schedule.func(optimizer, **keywords)


def spans_run(schedule: functools.partial | None) -> bool:
    """Return whether a schedule has an argument `auto`, so that its length is the number of steps of the run."""
    return schedule is not None and "auto" in schedule.keywords.values()
