"""Several optimizer steps per call of `training_step`, and the checkpoints of such runs.

Lightning's Python code between two batches takes longer than an optimizer step of a small network. With Lightning's
manual optimization, `training_step` receives a group of batches and runs one optimizer step per batch. Weights, metrics
and checkpoints do not depend on the size of the groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor

from autoencoders.data.groups import BatchGroup, GroupPlan
from autoencoders.utils.lightning import get_callbacks

if TYPE_CHECKING:
    from autoencoders.models.base import ImageModel
    from autoencoders.types import Batch


class StepCallback(pl.Callback):
    """Base class of callbacks that do work in every optimizer step, for any number of steps per group.

    Lightning calls `on_train_batch_end` once per group. `run_group` therefore calls the following methods itself.
    """

    def on_step_end(
        self, trainer: pl.Trainer, model: ImageModel, batch: Batch, number: int, loss: Tensor | None
    ) -> None:
        """Do the work after a batch.

        Args:
            trainer: trainer of the run.
            model: the model.
            batch: the batch.
            number: index of the batch in the epoch.
            loss: loss of the batch in nats per image, detached; None for a model without a loss.
        """

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Call `on_step_end`, unless the batch is a group, whose steps have called it."""
        if not isinstance(batch, BatchGroup):
            self.on_step_end(trainer, pl_module, batch, batch_idx, outputs["loss"] if outputs else None)


def run_group(model: ImageModel, group: BatchGroup) -> None:
    """Run one optimizer step per batch, with the operations of Lightning's automatic optimization.

    The group ends early when the run reaches `max_steps`.
    """
    trainer = model.trainer
    callbacks = [callback for callback in get_callbacks(trainer) if isinstance(callback, StepCallback)]
    optimizers = model.optimizers()
    optimizer = optimizers[0] if isinstance(optimizers, list) else optimizers
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs if config.interval == "step"]
    mixed = str(trainer.precision) == "bf16-mixed"
    for number, batch in group:
        loss = model.batch_loss(batch, number)
        if loss is None:
            raise TypeError(f"{type(model).__name__}.batch_loss must return a loss, got None.")
        optimizer.zero_grad()
        with _without_autocast(model.device, mixed):
            loss.backward()
            for callback in callbacks:
                callback.on_after_backward(trainer, model)
            optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
        for callback in callbacks:
            callback.on_step_end(trainer, model, batch, number, loss.detach())
        if trainer.global_step == trainer.max_steps:
            break


@contextmanager
def _without_autocast(device: torch.device, mixed: bool) -> Iterator[None]:
    """Leave autocast for the backward pass, and clear the bfloat16 copies of weights that the step changes."""
    if not mixed:
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield
    torch.clear_autocast_cache()


# Checkpoints --------------------------------------------------------------------------------------------

# Lightning counts groups and manual steps. Checkpoints contain the counts of a run with one batch per step. They do not
# depend on the size of the groups, and a run can be resumed with another size. The layout of `loops` is Lightning's.
# The tests compare it with that of a run without groups.


class SavedAt(NamedTuple):
    """The point of a run at which a checkpoint is saved.

    Attributes:
        done: number of batches of the epoch that are done.
        within_group: whether a callback saves in the middle of a group.
        validating: whether a callback saves during a validation.
        scheduled: whether the learning rate has a schedule by step.
    """

    done: int
    within_group: bool
    validating: bool
    scheduled: bool


def loops_in_batches(loops: Mapping[str, Any], point: SavedAt) -> None:
    """Replace the counts of groups in the `loops` of a checkpoint by counts of batches, in place."""
    fit = loops["fit_loop"]
    batches, manual = fit["epoch_loop.batch_progress"], fit["epoch_loop.manual_optimization.optim_step_progress"]
    steps = manual["total"]["completed"]
    # Lightning counts a batch as completed after the callbacks, and as a step of the loggers after the validation.
    set_counts(fit, {"epoch_loop.state_dict": steps - int(point.within_group or point.validating)})
    for name, count in (("total", steps), ("current", point.done)):
        set_counts(batches, {name: count})
        batches[name]["completed"] -= int(point.within_group)
    batches["is_last_batch"] = batches["is_last_batch"] and not point.within_group
    optimizer = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    for progress in (optimizer["step"], optimizer["zero_grad"]):
        set_counts(progress, {"total": steps, "current": point.done})
    if point.scheduled:
        set_counts(fit["epoch_loop.scheduler_progress"], {"total": steps, "current": point.done})
    set_counts(manual, {"total": 0, "current": 0})


def loops_in_groups(loops: Mapping[str, Any], plan: GroupPlan) -> None:
    """Replace the counts of batches in the `loops` of a checkpoint by counts of groups, in place."""
    fit = loops["fit_loop"]
    batches, manual = fit["epoch_loop.batch_progress"], fit["epoch_loop.manual_optimization.optim_step_progress"]
    steps = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    done = batches["current"]["ready"]
    groups, epochs = plan.completed_groups(done), (batches["total"]["ready"] - done) // plan.batches
    set_counts(batches, {"total": epochs * len(plan.ends()) + groups, "current": groups})
    set_counts(manual, {"total": steps, "current": steps})


def set_counts(progress: dict[str, Any], counts: Mapping[str, int]) -> None:
    """Set all counts of some entries of a progress to one value each."""
    for name, count in counts.items():
        progress[name] = dict.fromkeys(progress[name], count)
