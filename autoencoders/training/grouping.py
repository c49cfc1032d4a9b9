"""Choice of the number of optimizer steps per call of `training_step`."""

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
"""Methods of models that Lightning calls for every batch with automatic optimization, including hooks."""
PRECISIONS = ("32", "32-true", "bf16-mixed")
"""Values of trainer.precision with which `training_step` can run more than one optimizer step per call."""


def group_batches(trainer: pl.Trainer, model: ImageModel, data: ImageDataModule, requested: int | str) -> int:
    """Configure trainer, model and data module for several optimizer steps per call of `training_step`.

    Nothing is changed if `requested` is 1, or is `auto` and several steps are not possible. Otherwise, `data.plan` and
    `model.automatic_optimization` are set, and the limits of the trainer are changed to count groups of batches.

    Args:
        trainer: trainer of the run, before `fit`.
        model: model of the run.
        data: data module, after `setup("fit")`.
        requested: value of `steps_per_execution`: the maximum number of optimizer steps per call, or `auto`. `auto`
            selects DEFAULT_STEPS if several steps are possible, otherwise 1.

    Returns:
        The maximum number of optimizer steps per call.

    Raises:
        UserError: if `requested` is not valid, or is an integer > 1 although several steps are not possible.
    """
    valid = requested == "auto" or (isinstance(requested, int) and not isinstance(requested, bool) and requested >= 1)
    require(valid, "steps_per_execution", requested, "auto or an integer >= 1")
    reason = reason_for_single_steps(trainer, model, data)
    if reason is not None:
        if requested not in ("auto", 1):
            raise UserError(
                f"steps_per_execution must be 1 with {reason}, got {requested}. Set steps_per_execution to auto or 1."
            )
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
    """Return the number of training batches per epoch, after `trainer.limit_train_batches` is applied."""
    limit, count = trainer.limit_train_batches, data.training_batch_count
    return min(limit, count) if isinstance(limit, int) else int(limit * count)


def reason_for_single_steps(trainer: pl.Trainer, model: ImageModel, data: ImageDataModule) -> str | None:
    """Return why `training_step` must run one optimizer step per call, or None if several steps are possible.

    The reason is a noun phrase that completes "steps_per_execution must be 1 with ...".
    """
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
    """Return whether the class of an object overrides at least one of the methods `names` of the class `base`."""
    return any(getattr(type(instance), name) is not getattr(base, name) for name in names)


def has_groups(data: ImageDataModule) -> bool:
    """Return whether the data module is an `ImageDataModule` that does not override the creation of batches."""
    from autoencoders.data.datamodule import ImageDataModule

    names = ("train_dataloader", "transfer_batch_to_device", "on_before_batch_transfer", "on_after_batch_transfer")
    return isinstance(data, ImageDataModule) and not overrides(data, ImageDataModule, names)
