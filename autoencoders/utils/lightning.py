"""Functions that read attributes of Lightning's Trainer with correct types and write metrics to its loggers."""

from __future__ import annotations

from collections.abc import Mapping

import lightning.pytorch as pl
import torch
from torch import Tensor


def get_callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    """Return all callbacks of a trainer, including those that Lightning added."""
    return trainer.callbacks  # type: ignore[attr-defined]  # set outside of the class body


def get_log_interval(trainer: pl.Trainer) -> int:
    """Return `trainer.log_every_n_steps`, the number of optimizer steps between two logged training metrics."""
    return trainer.log_every_n_steps  # type: ignore[attr-defined]  # set outside of the class body


def write_metrics(trainer: pl.Trainer, metrics: Mapping[str, float | Tensor], step: int) -> None:
    """Write metrics to all loggers of a trainer. On other ranks than zero and in a sanity check, do nothing.

    Args:
        trainer: trainer whose loggers receive the metrics.
        metrics: metric name -> value. A tensor must have one element. All tensors are copied to the CPU in one copy.
        step: index of the optimizer step, from 0.
    """
    if not trainer.is_global_zero or trainer.sanity_checking:
        return
    numbers = [value.detach() if isinstance(value, Tensor) else torch.tensor(value) for value in metrics.values()]
    # Stack all values for a single copy from the device. The logging of Lightning also rounds values to float32.
    device = next((number.device for number in numbers if number.device.type != "cpu"), None)
    values = torch.stack([number.to(device, torch.float32) for number in numbers]).tolist()
    for logger in trainer.loggers:
        logger.log_metrics({**dict(zip(metrics, values, strict=True)), "epoch": trainer.current_epoch}, step)
        logger.save()
