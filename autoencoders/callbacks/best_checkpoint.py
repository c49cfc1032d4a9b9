"""Save the checkpoint with the best validation metric."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, saved after validation only.

    Args:
        dirpath: folder of the checkpoints.
        filename: name of the file, without its suffix.
        monitor: metric to compare.
        mode: `min` or `max`.
    """

    def __init__(self, dirpath: str, filename: str = "best", monitor: str = "val/objective", mode: str = "min") -> None:
        super().__init__(dirpath, filename, monitor=monitor, mode=mode, enable_version_counter=False)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Do nothing."""
