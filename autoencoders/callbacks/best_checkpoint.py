"""Callback that saves the checkpoint with the best value of a validation metric."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, which here saves a checkpoint only after validation.

    Args:
        dirpath: folder of the checkpoints.
        filename: file name of the checkpoint without the suffix `.ckpt`.
        monitor: name of the validation metric that determines the best checkpoint.
        mode: `min` if smaller values of the metric are better, `max` if larger values are better.
    """

    def __init__(self, dirpath: str, filename: str = "best", monitor: str = "val/objective", mode: str = "min") -> None:
        super().__init__(dirpath, filename, monitor=monitor, mode=mode, enable_version_counter=False)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Do nothing after a training batch, because checkpoints are saved only after validation."""
