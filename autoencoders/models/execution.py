"""Functions that run several optimizer steps per call of `training_step` and adapt the checkpoints of such runs.

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
    """Base class of callbacks that must be called for every batch, also if batches are processed in groups.

    Lightning calls `on_train_batch_end` only once per group. Within a group, `run_group` therefore calls
    `on_after_backward` and `on_step_end` for every batch.
    """

    def on_step_end(
        self, trainer: pl.Trainer, model: ImageModel, batch: Batch, number: int, loss: Tensor | None
    ) -> None:
        """Called after each training batch. Subclasses override this method, which does nothing by default.

        Args:
            trainer: trainer of the run.
            model: model that is trained.
            batch: training batch that was processed last.
            number: index of the batch in the epoch, from 0.
            loss: detached loss of the batch in nats per image; None for a model without a loss.
        """

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Call `on_step_end` for a single batch. For a group, `run_group` has already called it for every batch."""
        if not isinstance(batch, BatchGroup):
            self.on_step_end(trainer, pl_module, batch, batch_idx, outputs["loss"] if outputs else None)


def run_group(model: ImageModel, group: BatchGroup) -> None:
    """Run one optimizer step for each batch of a group, like Lightning's automatic optimization.

    The remaining batches are skipped when the run reaches `max_steps`.

    Raises:
        TypeError: if the model returns no loss.
    """
    trainer = model.trainer
    callbacks = [callback for callback in get_callbacks(trainer) if isinstance(callback, StepCallback)]
    optimizers = model.optimizers()
    optimizer = optimizers[0] if isinstance(optimizers, list) else optimizers
    schedulers = [config.scheduler for config in trainer.lr_scheduler_configs if config.interval == "step"]
    mixed = str(trainer.precision) == "bf16-mixed"
    for number, batch in group:
        loss = model.training_step(batch, number)
        if loss is None:
            raise TypeError(f"{type(model).__name__}.training_step must return a loss tensor, got None.")
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
    """Disable autocast within the `with` block, which runs the backward pass and the optimizer step.

    Then clear the bfloat16 copies of the weights in the autocast cache, because the optimizer step has changed the
    weights.

    Args:
        device: device of the model.
        mixed: whether the precision is bf16-mixed. If not, nothing is changed.
    """
    if not mixed:
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield
    torch.clear_autocast_cache()


# Checkpoints --------------------------------------------------------------------------------------------

# Lightning counts groups and manual optimizer steps. Before saving, these counts are replaced by the counts of a run
# without groups. Checkpoints therefore do not depend on the group size, and a run can be resumed with another group
# size. Lightning defines the layout of the dictionary `loops`. The tests compare this dictionary with that of a run
# without groups.


class SavedAt(NamedTuple):
    """The point of a run at which a checkpoint is saved.

    Attributes:
        done: number of batches of the current epoch that have been processed.
        within_group: whether a callback saves the checkpoint before all batches of the group have been processed.
        validating: whether a callback saves the checkpoint during validation.
        scheduled: whether a schedule changes the learning rate after every optimizer step.
    """

    done: int
    within_group: bool
    validating: bool
    scheduled: bool


def loops_in_batches(loops: Mapping[str, Any], point: SavedAt) -> None:
    """Replace numbers of groups by numbers of batches in the loop states of a checkpoint, in place.

    Args:
        loops: entry `loops` of a Lightning checkpoint.
        point: point of the run at which the checkpoint is saved.
    """
    fit = loops["fit_loop"]
    batches, manual = fit["epoch_loop.batch_progress"], fit["epoch_loop.manual_optimization.optim_step_progress"]
    steps = manual["total"]["completed"]
    # Lightning counts a batch as completed after the callbacks. It increments the step of the loggers after validation.
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
    """Replace numbers of batches by numbers of groups in the loop states of a checkpoint, in place.

    Args:
        loops: entry `loops` of a checkpoint in which `loops_in_batches` has replaced the numbers.
        plan: division of an epoch into groups in the run that loads the checkpoint.
    """
    fit = loops["fit_loop"]
    batches, manual = fit["epoch_loop.batch_progress"], fit["epoch_loop.manual_optimization.optim_step_progress"]
    steps = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]
    done = batches["current"]["ready"]
    groups, epochs = plan.completed_groups(done), (batches["total"]["ready"] - done) // plan.batches
    set_counts(batches, {"total": epochs * len(plan.ends()) + groups, "current": groups})
    set_counts(manual, {"total": steps, "current": steps})


def set_counts(progress: dict[str, Any], counts: Mapping[str, int]) -> None:
    """Set all counters of the given entries of a Lightning progress state, in place.

    Args:
        progress: entry name (such as `total`) -> counters of the entry (such as `ready` and `completed`).
        counts: entry name -> new value of all counters of this entry.
    """
    for name, count in counts.items():
        progress[name] = dict.fromkeys(progress[name], count)
