"""Callback that stops training at a loss, gradient or weight that is not finite, and reports the cause."""

from __future__ import annotations

import math

import lightning.pytorch as pl
import torch
from torch import Tensor

from autoencoders.callbacks.nan_report import advice, first_failure, report_failure
from autoencoders.models.base import ImageModel, as_image_model
from autoencoders.models.execution import StepCallback
from autoencoders.types import Batch, UserError


class NaNGuard(StepCallback):
    """Stop training if the loss, a gradient or a weight is not finite, and save the batch that caused the failure.

    After each batch, the callback keeps the loss terms and the sum of one gradient on the device. They are checked once
    per `every_n_steps` batches. The weights are checked before validation, at the end of an epoch and before each
    checkpoint is saved, so that saved checkpoints always have finite weights.

    Args:
        every_n_steps: number of batches between two checks of the loss terms. Each check waits for the device.

    Raises:
        UserError: if `every_n_steps` is smaller than 1.
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        if every_n_steps < 1:
            raise UserError(f"The callback option every_n_steps must be an integer >= 1, got {every_n_steps}.")
        self.every_n_steps = every_n_steps
        self._error: UserError | SystemExit | None = None
        self._batch, self._unchecked = -1, 0
        self._checked_at: tuple[int, int] | None = None
        self._terms: list[Tensor] = []  # per batch since the last check
        self._gradients: list[Tensor] = []
        self._first: torch.nn.Parameter | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Choose the parameter whose gradient is checked."""
        # Check the gradient of the first layer only, because a gradient that is not finite propagates back to it. With
        # 16-mixed, skip this check, because such gradients are expected: the gradient scaler then skips the step.
        if str(trainer.precision) != "16-mixed":
            small = (p for p in pl_module.parameters() if p.requires_grad and p.dim() == 1)
            self._first = next(small, None)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the sum of the gradient of one early parameter, without waiting for the device."""
        if self._first is not None and self._first.grad is not None:
            self._gradients.append(self._first.grad.sum())

    def on_step_end(
        self, trainer: pl.Trainer, model: ImageModel, batch: Batch, number: int, loss: Tensor | None
    ) -> None:
        """Keep the loss terms, and check them if `every_n_steps` batches have been processed since the last check."""
        self._batch = number
        if model.latest_terms is not None:
            self._terms.append(model.latest_terms)
        self._unchecked += 1
        if self._unchecked == self.every_n_steps:
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
        if self._batch >= 0:
            self._check(trainer, pl_module, weights=True)

    def _check(self, trainer: pl.Trainer, model: pl.LightningModule, weights: bool = False) -> None:
        """Check the loss terms since the last check, and clear them if they are finite on all processes.

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
        names = as_image_model(model).loss_terms
        table = self._table(len(names))
        bad = not table[:, :-1].isfinite().all()
        weight = find_nonfinite_weight(model) if weights else None
        if trainer.strategy.reduce_boolean_decision(bad or weight is not None, all=False):
            failure = first_failure(gather_tables(trainer, table).cpu(), names, self._batch, weight)
            # Rank zero reports the failure. The other processes exit with status 0, because Lightning would kill rank
            # zero before the end of the report if another process failed.
            self._error = SystemExit(0)
            if trainer.is_global_zero:
                self._error = report_failure(trainer, as_image_model(model), failure)
            raise self._error
        self._checked_at = here if weights else self._checked_at
        self._restart(weights)

    def _restart(self, weights: bool) -> None:
        """Clear the loss terms. If the weights were not checked, keep those of the last batch.

        If the gradient of this batch is not finite, the loss of the next batch is not finite either. The report must
        then name this batch.
        """
        self._unchecked = 0
        self._terms, self._gradients = ([], []) if weights else (self._terms[-1:], self._gradients[-1:])

    def _table(self, count: int) -> Tensor:
        """Return a table (n, T + 1) with T = `count` loss terms and the sum of a gradient for each of n batches."""
        if not self._terms:
            return torch.zeros(0, count + 1)
        terms = torch.stack(self._terms)[:, :count]
        gradients = torch.zeros(len(terms), 1, dtype=terms.dtype, device=terms.device)
        if len(self._gradients) == len(terms):
            gradients[:, 0] = torch.stack(self._gradients)
        return torch.cat([terms, gradients], 1)


def gather_tables(trainer: pl.Trainer, table: Tensor) -> Tensor:
    """Return the tables (R, n, T + 1) of all R processes."""
    tables = torch.zeros(trainer.world_size, *table.shape, dtype=table.dtype, device=table.device)
    tables[trainer.global_rank] = table
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
