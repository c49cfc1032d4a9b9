"""A line per epoch, and on a terminal a bar below it, both with images per second."""

from __future__ import annotations

import sys
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar
from tqdm import tqdm

from autoencoders.callbacks.clock import Clock

COLUMNS = (("val/objective", ".2f"), ("val/distortion", ".2f"), ("val/rate", ".2f"), ("val/mse", ".4g"),
           ("val/accuracy", ".4f"))  # fmt: skip


class Progress(TQDMProgressBar):
    """Prints one line after every epoch; the bar is drawn on a terminal only.

    Args:
        refresh_rate: batches between two drawings of the bar.
    """

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stderr.isatty() else 0, leave=False)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's line."""
        super().on_train_epoch_end(trainer, pl_module)
        last = "" if trainer.max_epochs is None or trainer.max_epochs < 0 else f"/{trainer.max_epochs}"
        words = [f"epoch {trainer.current_epoch + 1:>3}{last}"]
        for key, form in COLUMNS:
            if key in trainer.callback_metrics and (key != "val/rate" or pl_module.has_prior):
                words.append(f"{key} {float(trainer.callback_metrics[key]):{form}}")
        words.append(f"{_clock(trainer).rate:,.0f} images/s")
        if trainer.is_global_zero:
            tqdm.write("   ".join(words), file=sys.stdout)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What the bar shows beside the time: the speed so far in this epoch."""
        return {"images/s": f"{trainer.datamodule.served / max(_clock(trainer).elapsed(), 1e-9):,.0f}"}


def _clock(trainer: pl.Trainer) -> Clock:
    return next(callback for callback in trainer.callbacks if isinstance(callback, Clock))
