"""Callback that measures the training speed, and a profiler that does nothing."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.profilers import PassThroughProfiler

from autoencoders.data.datamodule import ImageDataModule, get_datamodule

NOTHING = contextlib.nullcontext()


class NullProfiler(PassThroughProfiler):
    """Profiler that does nothing, with one context manager for all actions.

    Lightning's null profiler creates a hundred generators per step, which takes .1 ms.
    """

    def profile(self, action_name: str) -> contextlib.AbstractContextManager:  # type: ignore[override]
        """Return the shared context manager, which does nothing."""
        return NOTHING


class Throughput(pl.Callback):
    """Count the training images, the seconds spent on training steps, and the seconds of the complete run.

    The training seconds include checkpoints that are saved between two steps, but no validation and no figures. The
    training pipeline always adds this callback. A resumed run continues with the counts in its checkpoint. The work
    that a killed run did after its last checkpoint is therefore not counted.

    Attributes:
        rate: training images per second in the last completed epoch.
        begun: whether training has started in this process.
        ended: whether training has ended.
    """

    def __init__(self) -> None:
        self.rate, self.begun, self.ended = 0.0, False, False
        self._created = time.perf_counter()
        self._images, self._seconds = 0, 0.0  # until the last pause of the clock; images: of completed epochs
        self._running_since: float | None = None  # None while the clock is paused
        self._epoch_seconds = 0.0  # value of `seconds` at the start of the epoch, or at the resume within it
        self._data: ImageDataModule | None = None  # None outside of a training epoch
        self._fitting = False

    @property
    def age(self) -> float:
        """Seconds of the complete run since this callback was created, plus the `age` in the checkpoint of a resume."""
        return time.perf_counter() - self._created

    @property
    def images(self) -> int:
        """Number of training images so far, summed over all processes."""
        return self._images + self._epoch_images

    @property
    def seconds(self) -> float:
        """Training seconds so far."""
        return self._seconds + (0.0 if self._running_since is None else time.perf_counter() - self._running_since)

    @property
    def images_per_second(self) -> float | None:
        """Mean number of training images per training second; None before the first training step."""
        return self.images / self.seconds if self.seconds else None

    @property
    def epoch_rate(self) -> float:
        """Training images per training second in the current epoch; in a resumed epoch, since the resume."""
        return self._epoch_images / max(self.seconds - self._epoch_seconds, 1e-9)

    @property
    def _epoch_images(self) -> int:
        return 0 if self._data is None else self._data.images_served

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Store whether the trainer starts a training or an evaluation."""
        self._fitting = stage == "fit"

    def state_dict(self) -> dict[str, Any]:
        """Return the number of images, the training seconds and the age of the run, for a checkpoint."""
        return {"images": self.images, "seconds": self.seconds, "age": self.age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts of a resumed run.

        Lightning also calls this method when it loads the best checkpoint for the test, where nothing is restored.
        """
        if self._fitting:
            self._images, self._seconds, self._created = state["images"], state["seconds"], self._created - state["age"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock. In an epoch that is resumed after its first batch, `on_train_epoch_start` is not called."""
        self.begun = True
        self._start_epoch(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock for the epoch."""
        self._start_epoch(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set `ended`."""
        self.ended = True

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Pause the clock during validation."""
        self._pause()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resume the clock after validation within an epoch."""
        if self._data is not None:
            self._running_since = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the images of the epoch. Counting per batch would take time in every step."""
        self._pause()
        self.rate, self._images, self._data = self.epoch_rate, self.images, None

    def _start_epoch(self, trainer: pl.Trainer) -> None:
        self._data, self._running_since = get_datamodule(trainer), time.perf_counter()
        self._epoch_seconds = self._seconds

    def _pause(self) -> None:
        self._seconds, self._running_since = self.seconds, None
