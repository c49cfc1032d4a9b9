"""Lightning configuration of optimizer and learning-rate schedule, and the number of optimizer steps of a run."""

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

    Args:
        parameters: parameters of the model, passed to `optimizer`.
        optimizer: called with the parameters; returns the optimizer.
        schedule: called with the optimizer; returns the learning-rate schedule. An argument `auto` is replaced by the
            number of optimizer steps of the run. None for a constant learning rate.
        trainer: trainer that determines the number of optimizer steps.

    Raises:
        UserError: if the learning rate is not above 0 and finite, or the schedule has an argument `auto` and the run
            has no end.
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
    """Return the number of optimizer steps of the run; infinity for a run without an end.

    Args:
        trainer: trainer that determines the number of steps.
        beta_schedule: beta schedule of the model; None for a model without beta.
        schedule: learning-rate schedule; None for a constant learning rate.
        saved: number of steps stored in the checkpoint of a resumed run; None for a new run.

    Raises:
        UserError: if beta changes during the run and the run has no end, or if the number of steps of a resumed run
            differs from `saved` and the learning-rate schedule depends on it.
    """
    steps = count_steps(trainer)
    if not math.isfinite(steps):
        if beta_schedule is not None and not beta_schedule.stationary:
            raise UserError(
                "The run must have an end because beta changes during the run, got a run without an end. Set "
                "trainer.max_epochs or trainer.max_steps, or choose beta=constant."
            )
        steps = math.inf
    if saved not in (None, steps) and spans_run(schedule):
        raise UserError(
            f"The number of optimizer steps must be {saved}, as in the checkpoint, because the learning-rate schedule "
            f"depends on this number, got {steps}. A resume only completes the run: use its trainer.max_epochs and "
            "data.batch_size. For a longer training, start a new run from the trained weights with init_from=<run>. A "
            "run with schedule=constant can be resumed with more epochs."
        )
    return steps
