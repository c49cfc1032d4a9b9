"""Checks of the sizes of batches and splits, before the data is read and before the training starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.config import validation
from autoencoders.config.instantiate import build
from autoencoders.types import Context, UserError

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from autoencoders.data.datamodule import ImageDataModule

SPLIT_OPTIONS = {"val": "data.validation", "test": "data.test"}
"""Split -> option that sets its size."""


def check_configured_batch(config: Mapping, trainer: pl.Trainer) -> None:
    """Check that a model with batch normalization gets more than one image per process. Call this before data work.

    The size `auto` is known after the data is read, and is checked then.

    Args:
        config: the resolved configuration.
        trainer: trainer of the run.

    Raises:
        UserError: if training batches contain one image per process, and the model has batch normalization.
    """
    import torch

    size = config["data"].get("batch_size")
    if not isinstance(size, int) or size // trainer.world_size > 1:
        return
    try:
        with torch.device("meta"):
            model = build(config["model"], shape=(3, 64, 64), context=Context("classes", ("a", "b")))
    except Exception:  # the model may not support the meta device or this shape; it is checked again with the real data
        return
    validation.check_batch_size(model, size // trainer.world_size)


def check_splits(config: Mapping, trainer: pl.Trainer, data: ImageDataModule) -> None:
    """Check that the validation and test splits have an image for each process. Call this after the data is read.

    Args:
        config: the resolved configuration.
        trainer: trainer of the run.
        data: data module, after `setup`.

    Raises:
        UserError: if a split has fewer images than there are processes.
    """
    for split in ("val", "test") if config["test"] else ("val",):
        count = len(data.images(split))
        if count < trainer.world_size:
            raise UserError(
                f"The {split} split of data={data.name} must have at least {trainer.world_size} images, one for each "
                f"process, got {count}. Set {SPLIT_OPTIONS[split]} to at least {trainer.world_size}, or use fewer "
                "processes with trainer.devices."
            )
