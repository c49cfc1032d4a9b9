"""Stop training at values that are not finite, before a checkpoint is overwritten, and report the cause."""

from __future__ import annotations

import math

import lightning.pytorch as pl
import torch
from torch import Tensor

from autoencoders.callbacks.nan_report import advice, first_failure, report_failure
from autoencoders.models.autoencoder import Autoencoder
from autoencoders.models.base import ImageModel, as_image_model
from autoencoders.models.execution import StepCallback
from autoencoders.types import Batch, UserError


class NaNGuard(StepCallback):
    """End a training whose loss, gradients or weights are not finite, and save the first such batch.

    A running sum that is not finite stays so. Every step therefore copies the sums that the model keeps on the device,
    with the sum of a gradient, to a row of a table on the device. The table is read every few steps. Weights are
    checked before validation, at the end of an epoch and before every checkpoint, so that the last checkpoint always
    has finite weights.

    Args:
        every_n_steps: batches between two reads of the table, each of which waits for the device.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        if every_n_steps < 1:
            raise UserError(f"every_n_steps must be an integer of at least 1, got {every_n_steps}.")
        self.every_n_steps = every_n_steps
        self._error: UserError | SystemExit | None = None
        self._row, self._batch, self._size = 0, -1, 1
        self._checked_at: tuple[int, int] | None = None
        self._table = torch.zeros(0, 4)  # empty before training
        self._first: torch.nn.Parameter | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Create the table: row 0 for the state before the first step, then one row per step."""
        double = torch.float32 if pl_module.device.type == "mps" else torch.float64
        self._table = torch.zeros(self.every_n_steps + 1, 4, dtype=double, device=pl_module.device)
        sums = as_image_model(pl_module).training_sums.total
        if isinstance(pl_module, Autoencoder) and sums is not None:  # for a resumed run
            self._table[0, :3] = sums
        # Of the earliest layer: on its way there, a gradient that is not finite spoils all others. Under 16-mixed
        # some are not by design, and the scaler then skips the step.
        if str(trainer.precision) != "16-mixed":
            small = (p for p in pl_module.parameters() if p.requires_grad and p.dim() == 1)
            self._first = next(small, None)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the gradient, without waiting for the device."""
        if self._first is not None and self._first.grad is not None:
            self._table[self._row + 1, 3] = self._first.grad.sum()

    def on_step_end(
        self, trainer: pl.Trainer, model: ImageModel, batch: Batch, number: int, loss: Tensor | None
    ) -> None:
        """Record the sums of the training terms, and check the table when it is full."""
        sums = model.training_sums.total
        self._row, self._batch, self._size = self._row + 1, number, len(batch.x)
        if isinstance(model, Autoencoder) and sums is not None:
            self._table[self._row, :3] = sums
        elif loss is not None:  # the loss of a classifier has no terms
            self._table[self._row, 2] = self._table[self._row - 1, 2] + loss * self._size
        if self._row == self.every_n_steps:
            self._check(trainer, model)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before validation."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._check(trainer, pl_module, weights=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check before figures are drawn."""
        self._check(trainer, pl_module, weights=True)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict) -> None:
        """Check before a checkpoint is overwritten."""
        if len(self._table):
            self._check(trainer, pl_module, weights=True)

    def _check(self, trainer: pl.Trainer, model: pl.LightningModule, weights: bool = False) -> None:
        """Raise an error if a value is not finite on any process, else clear the table."""
        if self._error is not None:
            raise self._error
        here = (trainer.current_epoch, self._batch)
        if weights and here == self._checked_at:
            return
        bad = not self._table[self._row, :3].isfinite().all()
        weight = find_nonfinite_weight(model) if weights else None
        if trainer.strategy.reduce_boolean_decision(bad or weight is not None, all=False):
            failure = first_failure(self._tables(trainer).cpu() / self._size, self._batch, weight)
            # One process reports. Others exit with 0, since Lightning would kill the reporting one on a failure.
            self._error = SystemExit(0)
            if trainer.is_global_zero:
                self._error = report_failure(trainer, as_image_model(model), failure)
            raise self._error
        self._checked_at = here if weights else self._checked_at
        self._restart()

    def _restart(self) -> None:
        """Clear the table except for the last step, in which the next failure may begin."""
        self._table[0] = self._table[self._row]
        self._table[1:], self._row = 0, 0

    def _tables(self, trainer: pl.Trainer) -> torch.Tensor:
        """Return the used rows of the tables of all processes, (R, n + 1, 4)."""
        rows = self._table[: self._row + 1]
        tables = torch.zeros(trainer.world_size, *rows.shape, dtype=rows.dtype, device=rows.device)
        tables[trainer.global_rank] = rows
        return trainer.strategy.reduce(tables, reduce_op="sum")


def find_nonfinite_weight(model: torch.nn.Module) -> str | None:
    """Return the name of the first parameter or buffer that is not finite, or None. It waits for the device once."""
    tensors = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    if not tensors:
        return None
    finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).tolist()
    return next((name for name, fine in zip(tensors, finite, strict=True) if not fine), None)


def final_weights_error(trainer: pl.Trainer, model: pl.LightningModule) -> UserError | None:
    """Return an error if the loss or the weights are not finite after a training without this callback, or None."""
    metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k in ("train/loss", "val/objective")}
    bad = [f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)]
    weight = find_nonfinite_weight(model)
    bad += [f"{weight} holds NaN or infinity"] if weight else []
    if not bad:
        return None
    options = advice("loss", trainer, as_image_model(model))
    return UserError(
        f"Training ended with values that are not finite: {', '.join(bad)}. {options} "
        "checkpoints/last.ckpt contains these weights. With callbacks=[checkpoint,health] training stops at the first "
        "such value and keeps an earlier checkpoint."
    )
