"""How many steps a run has, and what must know it: schedules of the learning rate and of beta."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from autoencoders.types import UserError
from autoencoders.utils.lr_schedules import build_schedule, check_learning_rate, spans_run

if TYPE_CHECKING:
    import lightning.pytorch as pl
    from torch import nn

    from autoencoders.objectives.beta_schedules import BetaSchedule


def optimizer_config(
    parameters: Iterable[nn.Parameter], optimizer: Callable, schedule: Callable | None, trainer: pl.Trainer
) -> dict:
    """Lightning's description of an optimizer and its schedule; the schedule's `auto` becomes the run's steps."""
    made = check_learning_rate(optimizer(parameters))
    if schedule is None:
        return {"optimizer": made}
    steps = trainer.estimated_stepping_batches if spans_run(schedule) else 0
    return {"optimizer": made, "lr_scheduler": {"scheduler": build_schedule(made, schedule, steps), "interval": "step"}}


def planned_steps(
    trainer: pl.Trainer, beta_schedule: BetaSchedule | None, schedule: Callable | None, before: float | None
) -> float:
    """The run's optimizer steps, inf where it has no end.

    `beta_schedule` is None for a model whose objective has no beta.

    Raises:
        UserError: where beta needs an end and there is none, or where a resumed run's schedule spanned another
            number of steps, `before`.
    """
    steps = trainer.estimated_stepping_batches
    if not math.isfinite(steps):
        if beta_schedule is not None and not beta_schedule.stationary:
            raise UserError(
                "This beta changes over the run, and the run has no end. Set trainer.max_epochs or "
                "trainer.max_steps, or choose beta=constant."
            )
        steps = math.inf
    if before not in (None, steps) and spans_run(schedule):
        raise UserError(
            f"The checkpoint's run was planned for {before} optimizer steps, which its learning-rate "
            f"schedule spans, and this one has {steps}. Resume with the same trainer.max_epochs and "
            "data.batch_size, or choose schedule=constant in both."
        )
    return steps
