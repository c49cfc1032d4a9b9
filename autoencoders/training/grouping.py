"""The number of optimizer steps per call of `training_step`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

from autoencoders.callbacks.best_checkpoint import BestCheckpoint
from autoencoders.data.groups import GroupPlan
from autoencoders.models.base import ImageModel
from autoencoders.models.execution import StepCallback
from autoencoders.types import UserError
from autoencoders.utils.checks import require
from autoencoders.utils.lightning import get_callbacks

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule

DEFAULT_STEPS = 16
"""Optimizer steps per call of `training_step` with `steps_per_execution=auto`."""

BATCH_HOOKS = ("on_train_batch_start", "on_train_batch_end", "on_before_zero_grad", "on_before_backward",
               "on_after_backward", "on_before_optimizer_step")  # fmt: skip
"""Hooks of callbacks and models that Lightning calls for every batch."""
MODEL_HOOKS = (*BATCH_HOOKS[:-1], "training_step", "configure_optimizers", "backward", "optimizer_step",
               "optimizer_zero_grad", "lr_scheduler_step")  # fmt: skip
"""Further methods of models that Lightning calls for every batch with automatic optimization."""
PRECISIONS = ("32", "32-true", "bf16-mixed")


def group_batches(trainer: pl.Trainer, model: ImageModel, data: ImageDataModule, requested: int | str) -> int:
    """Let `training_step` run several optimizer steps per call, if this is possible and requested.

    Sets `data.plan`, `model.automatic_optimization`, and the limits of the trainer that count batches.

    Args:
        trainer: trainer of the run, before the fit.
        model: the model.
        data: the data module, set up for training.
        requested: maximum number of steps per call; `auto` for DEFAULT_STEPS where it is possible, else 1.

    Returns:
        The maximum number of optimizer steps per call.

    Raises:
        UserError: if the number is above 1 and Lightning must run every step.
    """
    valid = requested == "auto" or (isinstance(requested, int) and not isinstance(requested, bool) and requested >= 1)
    require(valid, "steps_per_execution", requested, "auto or an integer >= 1")
    reason = reason_for_single_steps(trainer, model, data)
    if reason is not None:
        if requested not in ("auto", 1):
            raise UserError(f"steps_per_execution must be 1 with {reason}, got {requested}. Set it to auto or 1.")
        return 1
    steps = DEFAULT_STEPS if requested == "auto" else int(requested)
    if steps == 1:
        return 1
    batches = limited_batches(trainer, data)
    interval = trainer.val_check_interval
    interval = max(1, int(batches * interval)) if isinstance(interval, float) else min(interval, batches)
    stop = trainer.max_steps % batches if trainer.max_steps > 0 else 0
    data.plan = GroupPlan(steps, batches, interval, stop)
    model.automatic_optimization = False
    trainer.limit_train_batches = 1.0
    if trainer.val_check_interval != 1.0 or isinstance(trainer.val_check_interval, int):
        trainer.val_check_interval = data.plan.groups_per_interval
    return steps


def limited_batches(trainer: pl.Trainer, data: ImageDataModule) -> int:
    """Return the number of training batches in an epoch, with the limit of the trainer."""
    limit, count = trainer.limit_train_batches, data.training_batch_count
    return min(limit, count) if isinstance(limit, int) else int(limit * count)


def reason_for_single_steps(trainer: pl.Trainer, model: ImageModel, data: ImageDataModule) -> str | None:
    """Return why Lightning must run every optimizer step, as the end of "with ..."; None if groups are possible."""
    reasons = {
        "several processes": type(trainer.strategy) is not SingleDeviceStrategy or trainer.world_size > 1,
        "trainer.accumulate_grad_batches": trainer.accumulate_grad_batches != 1,
        "trainer.gradient_clip_val": bool(trainer.gradient_clip_val),
        f"trainer.precision={trainer.precision}": str(trainer.precision) not in PRECISIONS,
        "a profiler": not isinstance(trainer.profiler, PassThroughProfiler),  # type: ignore[attr-defined]
        "trainer.overfit_batches": bool(trainer.overfit_batches),  # type: ignore[attr-defined]
        "trainer.fast_dev_run": bool(trainer.fast_dev_run),  # type: ignore[attr-defined]
        "trainer.reload_dataloaders_every_n_epochs": trainer.reload_dataloaders_every_n_epochs != 0,  # type: ignore[attr-defined]
        "trainer.check_val_every_n_epoch=null": trainer.check_val_every_n_epoch is None,
        "a val_check_interval in seconds": not isinstance(trainer.val_check_interval, (int, float)),
        "less than one batch per epoch": limited_batches(trainer, data) < 1,
        f"{type(model).__name__}, which defines its own steps": overrides(model, ImageModel, MODEL_HOOKS),
        "a data module of your own": not has_groups(data),
    }
    for callback in get_callbacks(trainer):
        known = isinstance(callback, (StepCallback, BestCheckpoint, EarlyStopping))
        name = f"the callback {type(callback).__name__}, which has a hook for every batch"
        reasons[name] = not known and overrides(callback, pl.Callback, BATCH_HOOKS[:-1])
    return next((reason for reason, holds in reasons.items() if holds), None)


def overrides(instance: Any, base: type, names: tuple[str, ...]) -> bool:
    """Return whether an object has its own version of a method of its base class."""
    return any(getattr(type(instance), name) is not getattr(base, name) for name in names)


def has_groups(data: ImageDataModule) -> bool:
    """Return whether the training batches come from `ImageDataModule`."""
    from autoencoders.data.datamodule import ImageDataModule

    names = ("train_dataloader", "transfer_batch_to_device", "on_before_batch_transfer", "on_after_batch_transfer")
    return isinstance(data, ImageDataModule) and not overrides(data, ImageDataModule, names)
