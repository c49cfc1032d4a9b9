"""Callback that stops training at a loss, gradient or weight that is not finite, and reports the cause."""

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
    """Stop training if the loss, a gradient or a weight is not finite, and save the batch that caused the failure.

    The model adds its loss terms to running sums on the device. If a loss term is not finite, its running sum is never
    finite again. After each batch, the callback therefore only copies these sums and the sum of one gradient to a table
    on the device. The table is checked once per `every_n_steps` batches. The weights are checked before validation, at
    the end of an epoch and before each checkpoint is saved, so that saved checkpoints always have finite weights.

    Args:
        every_n_steps: number of batches between two checks of the table. Each check waits for the device.

    Raises:
        UserError: if `every_n_steps` is smaller than 1.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        if every_n_steps < 1:
            raise UserError(f"The callback option every_n_steps must be an integer >= 1, got {every_n_steps}.")
        self.every_n_steps = every_n_steps
        self._error: UserError | SystemExit | None = None
        self._row, self._batch, self._size = 0, -1, 1
        self._checked_at: tuple[int, int] | None = None
        self._table = torch.zeros(0, 4)  # empty before training
        self._first: torch.nn.Parameter | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Create the table with row 0 for the sums before the first batch, followed by one row per batch."""
        double = torch.float32 if pl_module.device.type == "mps" else torch.float64
        self._table = torch.zeros(self.every_n_steps + 1, 4, dtype=double, device=pl_module.device)
        sums = as_image_model(pl_module).training_sums.total
        if isinstance(pl_module, Autoencoder) and sums is not None:  # for a resumed run
            self._table[0, :3] = sums
        # Check the gradient of the first layer only, because a gradient that is not finite propagates back to it. With
        # 16-mixed, skip this check, because such gradients are expected: the gradient scaler then skips the step.
        if str(trainer.precision) != "16-mixed":
            small = (p for p in pl_module.parameters() if p.requires_grad and p.dim() == 1)
            self._first = next(small, None)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the sum of the gradient of one early parameter to the table, without waiting for the device."""
        if self._first is not None and self._first.grad is not None:
            self._table[self._row + 1, 3] = self._first.grad.sum()

    def on_step_end(
        self, trainer: pl.Trainer, model: ImageModel, batch: Batch, number: int, loss: Tensor | None
    ) -> None:
        """Copy the running sums of the training loss terms to the table, and check the table if it is full."""
        sums = model.training_sums.total
        self._row, self._batch, self._size = self._row + 1, number, len(batch.x)
        if isinstance(model, Autoencoder) and sums is not None:
            self._table[self._row, :3] = sums
        elif loss is not None:  # a classifier has a loss without separate terms
            self._table[self._row, 2] = self._table[self._row - 1, 2] + loss * self._size
        if self._row == self.every_n_steps:
            self._check(trainer, model)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the loss terms of the last steps and the weights for NaN and infinity before validation."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._check(trainer, pl_module, weights=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the loss terms of the last steps and the weights for NaN and infinity before figures are plotted."""
        self._check(trainer, pl_module, weights=True)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict) -> None:
        """Check the loss terms of the last steps and the weights for NaN and infinity before a checkpoint is saved."""
        if len(self._table):
            self._check(trainer, pl_module, weights=True)

    def _check(self, trainer: pl.Trainer, model: pl.LightningModule, weights: bool = False) -> None:
        """Check the table, and clear it if all values are finite on all processes.

        Args:
            trainer: trainer of the run.
            model: model that is trained.
            weights: whether the weights are also checked.

        Raises:
            UserError: on rank zero, if a value is not finite on any process.
            SystemExit: on all other ranks, in the same case.
        """
        if self._error is not None:
            raise self._error
        here = (trainer.current_epoch, self._batch)
        if weights and here == self._checked_at:
            return
        bad = not self._table[self._row, :3].isfinite().all()
        weight = find_nonfinite_weight(model) if weights else None
        if trainer.strategy.reduce_boolean_decision(bad or weight is not None, all=False):
            failure = first_failure(self._tables(trainer).cpu() / self._size, self._batch, weight)
            # Rank zero reports the failure. The other processes exit with status 0, because Lightning would kill rank
            # zero before the end of the report if another process failed.
            self._error = SystemExit(0)
            if trainer.is_global_zero:
                self._error = report_failure(trainer, as_image_model(model), failure)
            raise self._error
        self._checked_at = here if weights else self._checked_at
        self._restart()

    def _restart(self) -> None:
        """Clear the table, but move its last used row to row 0, from which the next loss terms are computed."""
        self._table[0] = self._table[self._row]
        self._table[1:], self._row = 0, 0

    def _tables(self, trainer: pl.Trainer) -> torch.Tensor:
        """Return the used rows of the tables (R, n + 1, 4) from all R processes, for n batches since the last check."""
        rows = self._table[: self._row + 1]
        tables = torch.zeros(trainer.world_size, *rows.shape, dtype=rows.dtype, device=rows.device)
        tables[trainer.global_rank] = rows
        return trainer.strategy.reduce(tables, reduce_op="sum")


def find_nonfinite_weight(model: torch.nn.Module) -> str | None:
    """Return the name of the first parameter or buffer that contains NaN or infinity, or None if all are finite.

    The function waits for the device once.
    """
    tensors = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    if not tensors:
        return None
    finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).tolist()
    return next((name for name, fine in zip(tensors, finite, strict=True) if not fine), None)


def final_weights_error(trainer: pl.Trainer, model: pl.LightningModule) -> UserError | None:
    """Check the loss and the weights at the end of a training without the callback `NaNGuard`.

    Returns:
        The error to raise if a value is not finite, or None if all values are finite.
    """
    metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k in ("train/loss", "val/objective")}
    bad = [f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value)]
    weight = find_nonfinite_weight(model)
    bad += [f"{weight} contains NaN or infinity"] if weight else []
    if not bad:
        return None
    options = advice("loss", trainer, as_image_model(model))
    return UserError(
        f"Training ended with values that are not finite: {', '.join(bad)}. {options} "
        "checkpoints/last.ckpt contains the weights of this training. Set callbacks=[checkpoint,health] to stop "
        "training at the first value that is not finite and to keep an earlier checkpoint."
    )
