"""Training speed, and a profiler without overhead."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.profilers import PassThroughProfiler

from autoencoders.data.datamodule import get_datamodule

NOTHING = contextlib.nullcontext()


class NullProfiler(PassThroughProfiler):
    """Lightning's null profiler with one shared context.

    Lightning's own creates a hundred generators per step, which take .1 ms.
    """

    def profile(self, action_name: str) -> contextlib.AbstractContextManager:  # type: ignore[override]  # a context too
        """Return the shared context that does nothing."""
        return NOTHING


class Throughput(pl.Callback):
    """Count training images and seconds, without validation and figures. The pipeline adds this callback.

    A resumed run continues from the counts of its checkpoint.

    Attributes:
        images: training images so far, over all processes.
        seconds: training seconds so far.
        rate: images per second in the last epoch.
        begun: whether training has started in this process.
        ended: whether training has ended.
    """

    def __init__(self) -> None:
        self.images, self.seconds, self.rate, self.begun, self.ended = 0, 0.0, 0.0, False, False
        self._start, self._paused, self._created = 0.0, 0.0, time.perf_counter()

    @property
    def age(self) -> float:
        """Total seconds of the run: since this callback was created, plus those of the checkpoint."""
        return time.perf_counter() - self._created

    def state_dict(self) -> dict[str, Any]:
        """Return the counts for a checkpoint."""
        return {"images": self.images, "seconds": self.seconds, "age": self.age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts."""
        self.images, self.seconds, self._created = state["images"], state["seconds"], self._created - state["age"]

    @property
    def images_per_second(self) -> float | None:
        """Images per second over the complete fit; None before the first epoch has ended."""
        return self.images / self.seconds if self.seconds else None

    def elapsed(self) -> float:
        """Training seconds of the current epoch."""
        return time.perf_counter() - self._start

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the epoch."""
        self._start, self.begun = time.perf_counter(), True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the end of training."""
        self.ended = True

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pause the clock."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resume the clock."""
        self._start += time.perf_counter() - self._paused

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the counts of the epoch. Nothing is counted per batch, which would cost time."""
        images, seconds = get_datamodule(trainer).images_served, self.elapsed()
        self.images, self.seconds, self.rate = self.images + images, self.seconds + seconds, images / seconds
