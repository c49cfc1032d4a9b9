"""Learning-rate schedules: their length, and checks of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from autoencoders.types import UserError

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


def check_learning_rate(optimizer: Optimizer) -> Optimizer:
    """The optimizer; torch takes learning rates with which nothing is learned.

    Raises:
        UserError: where the rate is not above 0, or not finite.
    """
    for group in optimizer.param_groups:
        if not 0 < group["lr"] < math.inf:
            raise UserError(f"optimizer.lr must be a number above 0, and is {group['lr']}.")
    return optimizer


def build_schedule(optimizer: Optimizer, schedule: Callable, steps: float) -> LRScheduler:
    """The schedule of an optimizer's rate, its `auto` replaced by the run's optimizer steps.

    Raises:
        UserError: where it spans the run, and the run has no end.
    """
    if not math.isfinite(steps):
        raise UserError(
            "The learning-rate schedule spans the run, and this run has no end. Set trainer.max_epochs "
            "or trainer.max_steps, or choose schedule=constant."
        )
    keywords = {name: int(steps) if value == "auto" else value for name, value in schedule.keywords.items()}
    return schedule.func(optimizer, **keywords)


def spans_run(schedule: Callable | None) -> bool:
    """Whether a schedule is laid over the whole run."""
    return schedule is not None and "auto" in schedule.keywords.values()
