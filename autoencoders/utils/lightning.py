"""Typed access to attributes of Lightning's Trainer that type checkers do not know, and writing of metrics."""

from __future__ import annotations

from collections.abc import Mapping

import lightning.pytorch as pl
import torch
from torch import Tensor


def get_callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    """Return the callbacks of a trainer."""
    return trainer.callbacks  # type: ignore[attr-defined]  # set outside of the class body


def get_log_interval(trainer: pl.Trainer) -> int:
    """Return the number of optimizer steps between two writes of training metrics by a trainer."""
    return trainer.log_every_n_steps  # type: ignore[attr-defined]  # set outside of the class body


def write_metrics(trainer: pl.Trainer, metrics: Mapping[str, float | Tensor], step: int) -> None:
    """Write metrics to all loggers. Tensors are copied from the device together, and rank zero writes.

    Args:
        trainer: trainer of the run.
        metrics: name -> value. Tensors have one element.
        step: index of the optimizer step, from 0.
    """
    if not trainer.is_global_zero or trainer.sanity_checking:
        return
    numbers = [value.detach() if isinstance(value, Tensor) else torch.tensor(value) for value in metrics.values()]
    # One copy from the device. Lightning's own logging rounds to float32, too.
    device = next((number.device for number in numbers if number.device.type != "cpu"), None)
    values = torch.stack([number.to(device, torch.float32) for number in numbers]).tolist()
    for logger in trainer.loggers:
        logger.log_metrics({**dict(zip(metrics, values, strict=True)), "epoch": trainer.current_epoch}, step)
        logger.save()
