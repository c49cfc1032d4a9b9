"""Callback that saves the identity of the data in every checkpoint."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from autoencoders.data.datamodule import get_datamodule
from autoencoders.runs.data_check import DATA_IDENTITY


class DataIdentity(pl.Callback):
    """Save digests of the images and labels in every checkpoint. The training pipeline adds this callback.

    They are compared with the data when the run is resumed or applied; see `runs.data_check`.
    """

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the identity of the data to a checkpoint."""
        checkpoint[DATA_IDENTITY] = get_datamodule(trainer).identity()
