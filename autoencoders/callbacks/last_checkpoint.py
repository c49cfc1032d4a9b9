"""Callback that saves checkpoints/last.ckpt after every epoch, every few steps, and when a signal ends the run."""

from __future__ import annotations

import os
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint

from autoencoders.data.datamodule import get_datamodule
from autoencoders.models.base import ImageModel
from autoencoders.models.execution import StepCallback
from autoencoders.types import Batch, RunStopped, UserError
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.distributed import signal_children
from autoencoders.utils.lightning import get_log_interval
from autoencoders.utils.signals import FORCING, SignalHandler, restore_handlers, set_handler


class LastCheckpoint(StepCallback, Checkpoint):
    """Save `last.ckpt`, and keep the previous checkpoint as `previous.ckpt`, in case `last.ckpt` is damaged.

    After Ctrl-C (SIGINT), SIGTERM or another of `utils.signals.SIGNALS`, the callback waits for the end of the current
    optimizer step, saves `last.ckpt` and raises `RunStopped`. A second SIGINT, SIGTERM or SIGQUIT ends the run
    immediately, without a checkpoint. A signal within `utils.signals.REPEAT_SECONDS` of the previous one is ignored.

    Args:
        dirpath: folder of the checkpoints.
        every_n_steps: number of optimizer steps between two checkpoints within an epoch; None to save only at the end
            of each epoch.

    Raises:
        UserError: if `every_n_steps` is smaller than 1.
    """

    def __init__(self, dirpath: str, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise UserError(f"The callback option every_n_steps must be an integer >= 1 or null, got {every_n_steps}.")
        self.path, self.every_n_steps = Path(dirpath, "last.ckpt"), every_n_steps
        self._signal: int | None = None
        self._saved_step: int | None = None
        self._before: dict[int, Any] = {}

    def save(self, trainer: pl.Trainer) -> None:
        """Save `last.ckpt` atomically. An existing `last.ckpt` is kept as `previous.ckpt`."""
        if trainer.is_global_zero and self.path.is_file():
            with atomic_write(self.path.with_name("previous.ckpt")) as again:  # a copy, so that last.ckpt always exists
                again.unlink(missing_ok=True)  # a killed process may have left this file
                try:
                    os.link(self.path, again)
                except OSError:  # the file system does not support hard links
                    shutil.copyfile(self.path, again)
        trainer.save_checkpoint(self.path)
        self._saved_step = trainer.global_step

    # Time of saving -----------------------------------------------------------------------------------------------

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save a checkpoint after every epoch, with or without validation."""
        self.save(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the run if a signal arrived during validation or in the last batch of the previous epoch.

        The checkpoint at the end of that epoch has already been saved.
        """
        if self.path.is_file() and self._stopping(trainer):
            self._stop(trainer)

    def on_step_end(self, trainer: pl.Trainer, model: ImageModel, batch: Batch, number: int, loss: Any) -> None:
        """Save a checkpoint if `every_n_steps` or a signal requires it and the batch ends an optimizer step.

        No checkpoint is saved here if a validation follows, because a run resumed from it would skip this validation.
        """
        if validation_follows(trainer, number) or (number + 1) % trainer.accumulate_grad_batches:
            return
        due = self.every_n_steps and trainer.global_step % self.every_n_steps == 0
        # Several processes must communicate to stop at the same step. They do so only at every logging interval.
        every = 1 if trainer.world_size == 1 else get_log_interval(trainer)
        stopping = trainer.global_step % every == 0 and self._stopping(trainer)
        if due or stopping:
            self.save(trainer)
        if stopping:
            self._stop(trainer)

    # Signals --------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's handlers for SIGINT and SIGTERM, which would end the run without a checkpoint."""
        self._before = set_handler(SignalHandler(partial(self._handle_signal, trainer)))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the previous signal handlers. End the run if a signal arrived after the last batch."""
        self._restore_handlers()
        if self._stopping(trainer):
            self._stop(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the previous signal handlers."""
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        restore_handlers(self._before)
        self._before = {}

    def _handle_signal(self, trainer: pl.Trainer, number: int) -> None:
        if self._signal is not None:
            if number in FORCING:
                self._restore_handlers()
                raise RunStopped(number, self._describe_forced_stop(trainer))
            return
        self._signal = number
        if number == signal.SIGTERM:
            signal_children(number)

    def _describe_forced_stop(self, trainer: pl.Trainer) -> str:
        if self._saved_step == trainer.global_step:
            return f"after step {trainer.global_step:,}, which is saved in {self.path}"
        if not self.path.is_file():
            return "immediately by a second signal, without a checkpoint"
        return f"immediately by a second signal; {self.path} is from an earlier step"

    def _stopping(self, trainer: pl.Trainer) -> bool:
        received = self._signal is not None
        return received if trainer.world_size == 1 else trainer.strategy.reduce_boolean_decision(received, all=False)

    def _stop(self, trainer: pl.Trainer) -> None:
        number = self._signal or signal.SIGTERM
        raise RunStopped(number, f"after step {trainer.global_step:,}, which is saved in {self.path}")


def validation_follows(trainer: pl.Trainer, number: int) -> bool:
    """Return whether the epoch ends, or a validation starts, directly after the batch with this index in the epoch."""
    plan = get_datamodule(trainer).plan
    if plan is not None:
        return number + 1 == plan.batches or (number + 1) % plan.interval == 0
    if trainer.is_last_batch:
        return True
    every = trainer.val_check_batch
    return isinstance(every, int) and trainer.check_val_every_n_epoch is not None and (number + 1) % every == 0
