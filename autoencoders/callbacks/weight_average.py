"""Exponential moving average of the weights."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from autoencoders.utils.checks import require


class WeightAverage(WeightAveraging):
    """Lightning's weight averaging with an exponential moving average whose decay increases at the start.

    Validation, checkpoints, test and the end of training use the average. After n averaged steps, the decay is
    min(decay, (1 + n) / (10 + n)), as in `tf.train.ExponentialMovingAverage`. Without this, the average of a short run
    would consist mostly of the initial weights.

    Args:
        decay: weight of the previous average in each step.

    Raises:
        UserError: if `decay` is not in [0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        require(0 <= decay < 1, "callbacks.ema.decay", decay, "a number >= 0 and < 1")

        def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
            count = torch.as_tensor(steps, device=averaged.device)
            weight = torch.clamp((1 + count) / (10 + count), max=decay)
            return weight * averaged + (1 - weight) * current

        super().__init__(avg_fn=average)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Restore the weights and their average when training is resumed.

        In validation and test, the model keeps the average in the checkpoint. Lightning's own method would replace it
        by the current weights if the same trainer has trained the model.
        """
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
