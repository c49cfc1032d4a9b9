"""Callback that prints the progress of training: one line per epoch and, on a terminal, a live display."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial

import lightning.pytorch as pl

from autoencoders.callbacks.throughput import Throughput
from autoencoders.data.datamodule import get_datamodule
from autoencoders.loggers.csv import MetricsCSVLogger
from autoencoders.loggers.guarded import find_logger
from autoencoders.models.optim import count_steps
from autoencoders.runs.record import best_validation_metrics
from autoencoders.utils import console
from autoencoders.utils.lightning import get_callbacks

COLUMNS = (("val/objective", ".2f"), ("val/distortion", ".2f"), ("val/rate", ".2f"), ("val/mse", ".4g"),
           ("val/accuracy", ".4f"))  # fmt: skip
WIDTHS = {"epoch": 9, "images/s": 9, "time": 8}
"""Widths in characters of the columns of the epoch table that are not validation metrics."""
STEPS = ("loss", "distortion", "rate", "beta", "lr")
"""Metrics `step/<name>` in the live display, from the latest logged step."""


class Progress(pl.Callback):
    """Print one line after every epoch. On a terminal, print a table row instead, and show the steps in a live display.

    The training steps do no work for the live display. A thread reads the counters of the trainer and the values most
    recently written to `metrics.csv`, without waiting for the device.
    """

    def __init__(self) -> None:
        self._board: console.LiveDisplay | None = None
        self._best, self._epoch, self._validated = math.inf, 0, -1
        self._began, self._first, self._steps = 0.0, 0, math.inf
        self._columns: list[tuple[str, int]] = []
        self._width = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the live display if the output is a terminal."""
        if not trainer.is_global_zero or not console.is_interactive():
            return
        written = _csv_logger(trainer)
        if trainer.ckpt_path and written is not None:
            self._best = best_validation_metrics(written.path).get("val/objective", math.inf)
        self._began, self._first = time.perf_counter(), trainer.global_step
        self._steps = count_steps(trainer)
        self._columns = []
        self._board = console.LiveDisplay(partial(self._state, trainer, {} if written is None else written.latest))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Store the epoch of the latest validation metrics."""
        self._validated = trainer.current_epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the line or table row of the epoch, unless this process trained no batch of the epoch (resumed run)."""
        if not trainer.is_global_zero or not get_datamodule(trainer).images_served:
            return
        values = {}
        for key, form in COLUMNS if self._validated == trainer.current_epoch else ():
            if key in trainer.callback_metrics and (key != "val/rate" or pl_module.has_prior):
                values[key] = f"{float(trainer.callback_metrics[key]):{form}}"
        epoch, speed = f"{trainer.current_epoch + 1:>3}{_total_epochs(trainer)}", f"{_throughput(trainer).rate:,.0f}"
        if self._board is None:
            words = [f"epoch {epoch}", *(f"{key} {value}" for key, value in values.items()), f"{speed} images/s"]
            print("   ".join(words), flush=True)
        else:
            seconds = _duration(time.perf_counter() - self._began)
            self._print_row(self._board, {"epoch": epoch.strip(), **values, "images/s": speed, "time": seconds})

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the live display."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the live display before the error is printed."""
        self._close()

    def _close(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            board.close()

    def _print_row(self, board: console.LiveDisplay, cells: Mapping[str, str]) -> None:
        """Print a table row. Print the headers before the first row, and if the width of the terminal has changed.

        Columns that do not fit are omitted.
        """
        width = console.line_width()
        if not self._columns or width != self._width:
            self._width = width
            wanted = {name: WIDTHS.get(name, max(len(name.removeprefix("val/")), 8)) for name in cells}
            order = sorted(wanted, key=lambda name: (name not in ("epoch", "val/objective"), name == "time"))
            room, chosen = width - 1, set()
            for name in order:
                room -= wanted[name] + 2
                if room >= 0:
                    chosen.add(name)
            self._columns = [(name, wanted[name]) for name in cells if name in chosen]
            board.say(_align({name: name.removeprefix("val/") for name in cells}, self._columns), "dim")
        value = float(cells.get("val/objective", "inf"))
        better, self._best = value < self._best, min(value, self._best)
        self._epoch = int(cells["epoch"].partition("/")[0]) if better else self._epoch
        board.say(_align(cells, self._columns), "bold" if better else "")

    def _state(self, trainer: pl.Trainer, latest: Mapping[str, float]) -> console.TrainingState:
        """Return the current state of training. The thread of the live display calls this method."""
        step, seconds = trainer.global_step, time.perf_counter() - self._began
        share = step / self._steps if math.isfinite(self._steps) else None
        after = [f"{share:.0%}"] if share is not None else [f"step {step:,}"]
        speed = f"{_throughput(trainer).epoch_rate:,.0f} images/s"
        after.append("validation" if trainer.validating or trainer.sanity_checking else speed)
        if share is not None and step > self._first:
            after.append(f"{_duration(seconds * (self._steps - step) / (step - self._first))} left")
            after.append(f"step {step:,}/{self._steps:,.0f}")
        values = [f"{name} {console.format_number(latest[key])}" for name in STEPS if (key := f"step/{name}") in latest]
        if self._best < math.inf:
            where = f" (epoch {self._epoch})" if self._epoch else ""
            values.append(f"best val/objective {self._best:.2f}{where}")
        return console.TrainingState(share, f"epoch {trainer.current_epoch + 1}{_total_epochs(trainer)}", after, values)


def _total_epochs(trainer: pl.Trainer) -> str:
    endless = trainer.max_epochs is None or trainer.max_epochs < 0
    return "" if endless else f"/{trainer.max_epochs}"


def _throughput(trainer: pl.Trainer) -> Throughput:
    return next(callback for callback in get_callbacks(trainer) if isinstance(callback, Throughput))


def _csv_logger(trainer: pl.Trainer) -> MetricsCSVLogger | None:
    return find_logger(trainer.loggers, MetricsCSVLogger)


def _align(cells: Mapping[str, str], columns: list[tuple[str, int]]) -> str:
    return "  ".join(cells.get(name, "").rjust(width) for name, width in columns)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
