"""Media writer: figures, tables, histograms and texts, to disk and to every logger."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger

from autoencoders.data.datamodule import get_datamodule
from autoencoders.loggers.base import MediaLogger
from autoencoders.models.base import as_image_model
from autoencoders.runs.run import run_title
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.json_files import write_json

if TYPE_CHECKING:
    import lightning.pytorch as pl
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from autoencoders.types import ApplicationResult

DPI = 100
"""Resolution of the PNG files, in dots per inch."""
SECONDS_PER_FRAME = 0.15
"""Duration of each frame of an application's animation, in seconds."""


class MediaWriter:
    """Save figures and results in the run folder and pass them to the loggers. Active on rank zero only.

    Args:
        folder: the run folder. Figures are saved as `<folder>/figures/<key>/<step>.png`.
        loggers: loggers; those that are a `MediaLogger` receive the same PNG files.
        active: whether this process has rank zero.
        title: model, data, beta and latent size, for captions.
    """

    def __init__(self, folder: str | Path, loggers: Sequence[Logger], active: bool = True, title: str = "") -> None:
        self.folder, self.loggers, self.active, self.title = Path(folder), list(loggers), active, title
        self.media_loggers = select_media_loggers(loggers) if active else []

    @classmethod
    def from_trainer(cls, trainer: pl.Trainer) -> MediaWriter:
        """Return the media writer of a trainer's run."""
        title = run_title(as_image_model(trainer.lightning_module), get_datamodule(trainer))
        return cls(trainer.default_root_dir, trainer.loggers, trainer.is_global_zero, title)

    def save_figure(self, key: str, figure: Figure, step: int) -> Path | None:
        """Save a figure and pass it to the loggers.

        Args:
            key: name of the figure, such as `reconstructions`: its folder on disk, and its panel in a dashboard.
            figure: a matplotlib figure, created without pyplot.
            step: the optimizer step.

        Returns:
            The path of the PNG file, or None on other ranks.
        """
        return self._save_png(key, figure, step) if self.active else None

    def save_result(self, name: str, result: ApplicationResult, step: int) -> list[Path]:
        """Save the result of an application and pass it to the loggers.

        Tables are saved as `<folder>/tables/<name>/<table>.csv`, those with a single column of text as `<table>.md`,
        and metrics as `metrics.json`. Loggers receive metrics as `<name>/<metric>`. Tables of single images are passed
        to loggers only, because the figures on disk show the same images.

        Returns:
            The saved files; none on other ranks.
        """
        if not self.active:
            return []
        files = [self._save_png(f"{name}/{key}", figure, step) for key, figure in result.figures.items()]
        files += [self._save_frames(f"{name}/{key}", frames, step) for key, frames in result.animations.items()]
        folder = self.folder / "tables" / name
        folder.mkdir(parents=True, exist_ok=True)
        for key, table in result.tables.items():
            self.log_table(f"{name}/{key}", table, step)
            files.append(_write_table(folder, key, table))
        for key, table in result.examples.items():
            self.log_table(f"{name}/{key}", table, step)
        if result.metrics:
            files.append(folder / "metrics.json")
            write_json(files[-1], result.metrics)
            for logger in self.loggers:
                logger.log_metrics({f"{name}/{key}": value for key, value in result.metrics.items()}, step)
        return files

    def log_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Pass a text to the loggers: W&B's summary and alerts, TensorBoard's texts.

        A failing logger is ignored: the text is already on the terminal, and may be about that failure.

        Args:
            key: topic of the text.
            text: the text.
            step: the optimizer step.
            failed: whether the text gives the reason why the run ended.
        """
        for logger in self.media_loggers:
            with contextlib.suppress(Exception):
                logger.send_text(key, text, step, failed)

    @property
    def supports_tables(self) -> bool:
        """Whether a logger accepts tables and histograms."""
        return any(logger.supports_tables for logger in self.media_loggers)

    def log_table(self, key: str, table: pd.DataFrame, step: int) -> None:
        """Pass a table to the loggers that accept tables. Cells may be images, (C, H, W) in [0, 1]."""
        for logger in self.media_loggers:
            logger.send_table(key, table, step)

    def log_histogram(self, key: str, values: np.ndarray, step: int) -> None:
        """Pass a histogram of values to the loggers that accept histograms."""
        for logger in self.media_loggers:
            logger.send_histogram(key, values, step)

    def save_animation(self, key: str, seconds_per_frame: float, step: int) -> Path | None:
        """Combine all PNG files of a key into `figures/<key>.gif`, and pass it to the loggers.

        Returns:
            The path of the GIF file, or None on other ranks or with fewer than two PNG files.
        """
        frames = sorted((self.folder / "figures" / key).glob("*.png"))
        if not self.active or len(frames) < 2:
            return None
        from PIL import Image

        images = [Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
        return self._save_gif(key, images, seconds_per_frame, step)

    def _save_png(self, key: str, figure: Figure, step: int) -> Path:
        path = self.folder / "figures" / key / f"{step:06d}.png"
        with atomic_write(path) as partial:
            figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
        self._send(key, path, step)
        return path

    def _save_frames(self, key: str, frames: np.ndarray, step: int) -> Path:
        """Save frames (T, H, W, 3) in [0, 1] as `figures/<key>.gif`."""
        from PIL import Image

        images = [Image.fromarray((frame * 255).round().astype("uint8")) for frame in frames]
        return self._save_gif(key, images, SECONDS_PER_FRAME, step)

    def _save_gif(self, key: str, images: list[Image], seconds_per_frame: float, step: int) -> Path:
        path = self.folder / "figures" / f"{key}.gif"
        first, *rest = images
        duration = round(1000 * seconds_per_frame)
        with atomic_write(path) as partial:
            first.save(partial, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)
        self._send(f"{key}_animation", path, step)
        return path

    def _send(self, key: str, path: Path, step: int) -> None:
        caption = f"{self.title}, step {step:,}".removeprefix(", ")
        for logger in self.media_loggers:
            logger.send_figure(key, path, caption, step)


def _write_table(folder: Path, key: str, table: pd.DataFrame) -> Path:
    """Write a table as CSV, or as Markdown if it has a single column of text. Return the path."""
    is_text = len(table.columns) == 1
    path = folder / f"{key}.{'md' if is_text else 'csv'}"
    with atomic_write(path) as partial:
        if is_text:
            partial.write_text("\n".join(table.iloc[:, 0].astype(str)) + "\n")
        else:
            table.to_csv(partial, index=False)
    return path


def select_media_loggers(loggers: Iterable[Logger]) -> list[MediaLogger]:
    """Return the loggers that accept more than metrics."""
    return [logger for logger in loggers if isinstance(logger, MediaLogger)]


def log_run_metadata(loggers: Iterable[Logger], metadata: Mapping[str, Any]) -> None:
    """Pass the metadata of a run to the loggers, at its start."""
    for logger in select_media_loggers(loggers):
        logger.send_metadata(metadata)


def close_loggers(
    loggers: Iterable[Logger], results: Mapping[str, float], checkpoint: Path, failed: bool = False
) -> str | None:
    """Close the loggers that have a run of their own. Return the location of the first such run, or None."""
    locations = [logger.close(results, checkpoint, failed) for logger in select_media_loggers(loggers)]
    return next((location for location in locations if location), None)
