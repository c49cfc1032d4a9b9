"""Media writer: figures, tables, histograms and texts, to disk and to every logger."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger

from autoencoders.loggers.tensorboard import TensorBoardMediaLogger
from autoencoders.loggers.wandb import WandbMediaLogger
from autoencoders.runs.run import run_title
from autoencoders.utils.atomic import atomic_write

if TYPE_CHECKING:
    import lightning.pytorch as pl
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from autoencoders.types import ApplicationResult

DPI = 100


class MediaWriter:
    """Save figures and results in the run folder and pass them to the loggers. Active on rank zero only.

    Args:
        folder: the run folder. Figures are saved as `<folder>/figures/<key>/<step>.png`.
        loggers: loggers, which receive the same PNG files.
        active: whether this process has rank zero.
        title: model, data, beta and latent size, for captions.
    """

    def __init__(self, folder: str | Path, loggers: list[Logger], active: bool = True, title: str = "") -> None:
        self.folder, self.loggers, self.active, self.title = Path(folder), loggers, active, title

    @classmethod
    def of(cls, trainer: pl.Trainer) -> MediaWriter:
        """Return the media writer of a trainer's run."""
        title = run_title(trainer.lightning_module, trainer.datamodule)
        return cls(trainer.default_root_dir, trainer.loggers, trainer.is_global_zero, title)

    def deliver(self, key: str, figure: Figure, step: int) -> Path | None:
        """Save a figure and pass it to the loggers.

        Args:
            key: name of the figure, such as `reconstructions`: its folder on disk, and its panel in a dashboard.
            figure: a matplotlib figure, created without pyplot.
            step: the optimizer step.

        Returns:
            The path of the PNG file, or None on other ranks.
        """
        if not self.active:
            return None
        path = self.folder / "figures" / key / f"{step:06d}.png"
        with atomic_write(path) as partial:
            figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
        self._send(key, path, step)
        return path

    def present(self, name: str, result: ApplicationResult, step: int) -> list[Path]:
        """Save the result of an application and pass it to the loggers.

        Tables are saved as `<folder>/tables/<name>/<table>.csv`, those with a single column of text as `<table>.md`,
        and metrics as `metrics.json`. Loggers receive metrics as `<name>/<metric>`. Tables of single images are passed
        to loggers only, because the figures on disk show the same images.

        Returns:
            The saved files; none on other ranks.
        """
        if not self.active:
            return []
        files = [self.deliver(f"{name}/{key}", figure, step) for key, figure in result.figures.items()]
        files += [self._film(f"{name}/{key}", frames, step) for key, frames in result.animations.items()]
        folder = self.folder / "tables" / name
        folder.mkdir(parents=True, exist_ok=True)
        for key, table in result.tables.items():
            text = len(table.columns) == 1
            files.append(folder / f"{key}.{'md' if text else 'csv'}")
            self.tabulate(f"{name}/{key}", table, step)
            with atomic_write(files[-1]) as partial:
                if text:
                    partial.write_text("\n".join(table.iloc[:, 0].astype(str)) + "\n")
                else:
                    table.to_csv(partial, index=False)
        for key, table in result.examples.items():
            self.tabulate(f"{name}/{key}", table, step)
        if result.metrics:
            files.append(folder / "metrics.json")
            with atomic_write(files[-1]) as partial:
                partial.write_text(json.dumps(result.metrics, indent=2) + "\n")
            for logger in self.loggers:
                logger.log_metrics({f"{name}/{k}": v for k, v in result.metrics.items()}, step)
        return files

    def note(self, key: str, sentence: str, step: int, failed: bool = False) -> None:
        """Pass a text to the loggers that accept texts: W&B's summary and alerts, TensorBoard's texts.

        A failing logger is ignored: the text is already on the terminal, and may be about that failure.

        Args:
            key: topic of the text.
            sentence: the text.
            step: the optimizer step.
            failed: whether the text gives the reason why the run ended.
        """
        for logger in self.loggers if self.active else ():
            with contextlib.suppress(Exception):
                if isinstance(logger, WandbMediaLogger):
                    logger.say(key, sentence, failed)
                elif isinstance(logger, TensorBoardMediaLogger):
                    logger.text(key, sentence, step)

    @property
    def takes_tables(self) -> bool:
        """Whether a logger accepts tables and histograms."""
        return self.active and any(isinstance(logger, WandbMediaLogger) for logger in self.loggers)

    def tabulate(self, key: str, table: pd.DataFrame, step: int) -> None:
        """Pass a table to the loggers that accept tables. Cells may be images, (C, H, W) in [0, 1]."""
        for logger in self.loggers if self.active else ():
            if isinstance(logger, WandbMediaLogger):
                logger.send_table(key, table, step)

    def histogram(self, key: str, values: np.ndarray, step: int) -> None:
        """Pass a histogram of values to the loggers that accept histograms."""
        for logger in self.loggers if self.active else ():
            if isinstance(logger, WandbMediaLogger):
                logger.send_histogram(key, values, step)

    def animate(self, key: str, seconds_per_frame: float, step: int) -> Path | None:
        """Combine all PNG files of a key into `figures/<key>.gif`, and pass it to the loggers."""
        frames = sorted((self.folder / "figures" / key).glob("*.png"))
        if not self.active or len(frames) < 2:
            return None
        from PIL import Image

        pictures = [Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
        return self._save_film(key, pictures, seconds_per_frame, step)

    def _film(self, key: str, frames: np.ndarray, step: int) -> Path:
        """Save frames (T, H, W, 3) in [0, 1] as `figures/<key>.gif`."""
        from PIL import Image

        pictures = [Image.fromarray((frame * 255).round().astype("uint8")) for frame in frames]
        return self._save_film(key, pictures, 0.15, step)

    def _save_film(self, key: str, pictures: list[Image], seconds_per_frame: float, step: int) -> Path:
        path = self.folder / "figures" / f"{key}.gif"
        first, *rest = pictures
        duration = round(1000 * seconds_per_frame)
        with atomic_write(path) as partial:
            first.save(partial, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)
        self._send(f"{key}_animation", path, step)
        return path

    def _send(self, key: str, path: Path, step: int) -> None:
        for logger in self.loggers:
            if isinstance(logger, WandbMediaLogger):
                logger.send_picture(key, path, f"{self.title}, step {step:,}".removeprefix(", "), step)
            elif isinstance(logger, TensorBoardMediaLogger):
                logger.picture(key, path, step)


def log_run_metadata(loggers: list[Logger], metadata: Mapping[str, Any]) -> None:
    """Pass the metadata of a run to the loggers, at its start."""
    for logger in loggers:
        if isinstance(logger, WandbMediaLogger):
            logger.describe(metadata)
        elif isinstance(logger, TensorBoardMediaLogger) and metadata["notes"]:
            logger.text("notes", " ".join(metadata["notes"]), 0)


def close_loggers(
    loggers: list[Logger], results: Mapping[str, float], checkpoint: Path, failed: bool = False
) -> str | None:
    """Close the loggers that have a run of their own. Return the line that locates the W&B run."""
    places = [logger.close(results, checkpoint, failed) for logger in loggers if isinstance(logger, WandbMediaLogger)]
    return next(filter(None, places), None)
