"""How fast a run trains, and a profiler that takes no time where none was asked for."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.profilers import PassThroughProfiler

NOTHING = contextlib.nullcontext()


class NullProfiler(PassThroughProfiler):
    """Lightning's profiler for none, whose hundred contexts a step are one: a generator each would cost .1 ms."""

    def profile(self, action_name: str) -> contextlib.AbstractContextManager:
        """The same context that does nothing, whatever the action."""
        return NOTHING


class Throughput(pl.Callback):
    """Counts training images and the seconds they took, without validation and figures; the door adds it.

    A resumed run goes on from what its checkpoint had counted.

    Attributes:
        images: trained on so far, over all processes.
        seconds: they took.
        rate: images per second in the last epoch.
        begun: whether training has begun in this process.
        ended: whether it has come to its end.
    """

    def __init__(self) -> None:
        self.images, self.seconds, self.rate, self.begun, self.ended = 0, 0.0, 0.0, False, False
        self._start, self._paused, self._made = 0.0, 0.0, time.perf_counter()

    @property
    def age(self) -> float:
        """Seconds that the run has taken with everything it does: since this clock was made, and up to a checkpoint."""
        return time.perf_counter() - self._made

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from."""
        return {"images": self.images, "seconds": self.seconds, "age": self.age}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.images, self.seconds, self._made = state["images"], state["seconds"], self._made - state["age"]

    @property
    def images_per_second(self) -> float | None:
        """Over the whole fit; None before anything was trained."""
        return self.images / self.seconds if self.seconds else None

    def elapsed(self) -> float:
        """Seconds of training since the epoch began."""
        return time.perf_counter() - self._start

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._start, self.begun = time.perf_counter(), True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note it."""
        self.ended = True

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop it."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on, validation left out."""
        self._start += time.perf_counter() - self._paused

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the epoch up; nothing is counted per batch, where a callback would cost time."""
        images, seconds = trainer.datamodule.served, self.elapsed()
        self.images, self.seconds, self.rate = self.images + images, self.seconds + seconds, images / seconds
