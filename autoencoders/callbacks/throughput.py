"""Callback that measures the training speed, and a profiler that does nothing."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.profilers import PassThroughProfiler

from autoencoders.data.datamodule import get_datamodule

NOTHING = contextlib.nullcontext()


class NullProfiler(PassThroughProfiler):
    """Profiler that does nothing, with one context manager for all actions.

    Lightning's null profiler creates a hundred generators per step, which takes .1 ms.
    """

    def profile(self, action_name: str) -> contextlib.AbstractContextManager:  # type: ignore[override]
        """Return the shared context manager, which does nothing."""
        return NOTHING


class Throughput(pl.Callback):
    """Count the training images, and the seconds spent on training steps without validation and figures.

    The training pipeline always adds this callback. A resumed run continues with the counts from the checkpoint.

    Attributes:
        images: number of training images in all completed epochs, summed over all processes.
        seconds: training seconds in all completed epochs.
        rate: training images per second in the last completed epoch.
        begun: whether training has started in this process.
        ended: whether training has ended.
    """

    def __init__(self) -> None:
        self.images, self.seconds, self.rate, self.begun, self.ended = 0, 0.0, 0.0, False, False
        self._start, self._paused, self._created = 0.0, 0.0, time.perf_counter()

    @property
    def age(self) -> float:
        """Seconds since this callback was created, plus the `age` in the checkpoint of a resumed run."""
        return time.perf_counter() - self._created

    def state_dict(self) -> dict[str, Any]:
        """Return the number of images, the training seconds and the age of the run, for a checkpoint."""
        return {"images": self.images, "seconds": self.seconds, "age": self.age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the number of images, the training seconds and the age of the run."""
        self.images, self.seconds, self._created = state["images"], state["seconds"], self._created - state["age"]

    @property
    def images_per_second(self) -> float | None:
        """Mean number of training images per second in all completed epochs; None before the first epoch has ended."""
        return self.images / self.seconds if self.seconds else None

    def elapsed(self) -> float:
        """Return the training seconds in the current epoch, without validation."""
        return time.perf_counter() - self._start

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock for the epoch."""
        self._start, self.begun = time.perf_counter(), True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set `ended`."""
        self.ended = True

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pause the clock during validation."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resume the clock after validation."""
        self._start += time.perf_counter() - self._paused

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the images and seconds of the epoch. Counting per batch would take time in every step."""
        images, seconds = get_datamodule(trainer).images_served, self.elapsed()
        self.images, self.seconds, self.rate = self.images + images, self.seconds + seconds, images / seconds
