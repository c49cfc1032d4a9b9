"""Optimizer configuration, and the number of optimizer steps, on which schedules depend."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from autoencoders.data.datamodule import get_datamodule
from autoencoders.types import UserError
from autoencoders.utils.lr_schedules import build_schedule, check_learning_rate, spans_run

if TYPE_CHECKING:
    import lightning.pytorch as pl
    from lightning.pytorch.utilities.types import OptimizerLRScheduler
    from torch import nn

    from autoencoders.objectives.beta_schedules import BetaSchedule


def optimizer_config(
    parameters: Iterable[nn.Parameter], optimizer: Callable, schedule: partial | None, trainer: pl.Trainer
) -> OptimizerLRScheduler:
    """Return Lightning's configuration of an optimizer and its learning-rate schedule.

    An argument `auto` of the schedule is replaced by the number of optimizer steps of the run.
    """
    built = check_learning_rate(optimizer(parameters))
    if schedule is None:
        return {"optimizer": built}
    steps = count_steps(trainer) if spans_run(schedule) else 0
    scheduler = build_schedule(built, schedule, steps)
    return {"optimizer": built, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def count_steps(trainer: pl.Trainer) -> float:
    """Return the number of optimizer steps of a fit from its beginning to its end, inf if it has no end."""
    plan = get_datamodule(trainer).plan
    if plan is None:
        return trainer.estimated_stepping_batches
    epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs
    return min(plan.batches * epochs, math.inf if trainer.max_steps == -1 else trainer.max_steps)


def planned_steps(
    trainer: pl.Trainer, beta_schedule: BetaSchedule | None, schedule: partial | None, saved: float | None
) -> float:
    """Return the number of optimizer steps of the run, inf if it has no end.

    Args:
        trainer: the trainer of the run.
        beta_schedule: None for a model without beta.
        schedule: learning-rate schedule, or None.
        saved: number of steps in the checkpoint of a resumed run, or None.

    Raises:
        UserError: if beta depends on the progress and the run has no end, or if the learning-rate schedule of a
            resumed run was planned for another number of steps.
    """
    steps = count_steps(trainer)
    if not math.isfinite(steps):
        if beta_schedule is not None and not beta_schedule.stationary:
            raise UserError(
                "A beta that changes over the run needs a run with an end. Set trainer.max_epochs or "
                "trainer.max_steps, or choose beta=constant."
            )
        steps = math.inf
    if saved not in (None, steps) and spans_run(schedule):
        raise UserError(
            f"The number of optimizer steps must be {saved}, as in the checkpoint, whose learning-rate schedule "
            f"depends on it, got {steps}. Resume with the same trainer.max_epochs and data.batch_size, or choose "
            "schedule=constant in both runs."
        )
    return steps
