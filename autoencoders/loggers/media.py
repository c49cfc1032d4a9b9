"""Media writer, which saves figures and tables in the run folder and passes media to the loggers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger

from autoencoders.data.datamodule import get_datamodule
from autoencoders.figures.files import FigureOptions, save_figure
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

SECONDS_PER_FRAME = 0.15
"""Duration of each frame of an application's animation, in seconds."""


class MediaWriter:
    """Save figures and application results in the run folder, and pass them to the loggers. Rank zero only.

    Args:
        folder: path of the run folder. Figures are saved as `<folder>/figures/<key>/<step>.png`, and also with the
            suffix `.pdf` or `.svg` if the options select this format.
        loggers: loggers of the run. All of them receive metrics. Only a `MediaLogger` receives figures, tables,
            histograms and texts.
        active: whether this process has rank zero. Other processes save nothing.
        title: start of the captions: model, data, beta and latent size.
        model: name of the model, which is also the name of its rows in the tables of applications.
        options: format, resolution and title of figures.
    """

    def __init__(
        self,
        folder: str | Path,
        loggers: Sequence[Logger],
        active: bool = True,
        title: str = "",
        model: str = "",
        options: FigureOptions | None = None,
    ) -> None:
        self.folder, self.loggers, self.active = Path(folder), list(loggers), active
        self.title, self.model, self.options = title, model, options or FigureOptions()
        self.media_loggers = select_media_loggers(loggers) if active else []

    @classmethod
    def from_trainer(cls, trainer: pl.Trainer) -> MediaWriter:
        """Return a media writer for the run folder, the loggers and the model of a trainer."""
        model = as_image_model(trainer.lightning_module)
        title = run_title(model, get_datamodule(trainer))
        options = FigureOptions.from_config(model.hparams.get("figures"))
        return cls(trainer.default_root_dir, trainer.loggers, trainer.is_global_zero, title, model.name, options)

    def save_figure(self, key: str, figure: Figure, step: int) -> Path | None:
        """Save a figure and pass it to the loggers.

        Args:
            key: name of the figure, such as `reconstructions`. It is also the name of the folder and the panel.
            figure: matplotlib figure, created without pyplot.
            step: index of the optimizer step.

        Returns:
            The path of the file in the selected format. None if this process does not have rank zero.
        """
        return self._save_figure(key, figure, step) if self.active else None

    def save_result(self, name: str, result: ApplicationResult, step: int, repeated: bool = False) -> list[Path]:
        """Save the result of an application and pass the result to the loggers.

        Tables are saved as `<folder>/tables/<name>/<table>.csv`. A table with a single text column is saved as
        `<table>.md`, and metrics are saved as `metrics.json` in the same folder. Loggers receive metrics as
        `<name>/<metric>`; W&B and TensorBoard use the keys of `result_keys`. Tables in `result.examples` are only
        passed to loggers, because the figures on disk show the same images.

        Args:
            name: name of the application.
            result: figures, animations, tables and metrics.
            step: index of the optimizer step.
            repeated: whether the application is run several times during training.

        Returns:
            The paths of the saved files, and of the files that the application has written itself. Empty if this
            process does not have rank zero.
        """
        if not self.active:
            return []
        files = [*result.files]
        files += [self._save_figure(f"{name}/{key}", figure, step) for key, figure in result.figures.items()]
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
            self._log_results({f"{name}/{key}": value for key, value in result.metrics.items()}, step, repeated)
        return files

    def _log_results(self, results: Mapping[str, float], step: int, repeated: bool) -> None:
        for logger in self.loggers:
            if isinstance(logger, MediaLogger):
                logger.send_results(results, self.model, step, repeated)
            else:
                logger.log_metrics(dict(results), step)

    def log_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Pass a text to the loggers. W&B shows it in the summary and as an alert, TensorBoard as a text.

        Exceptions from a logger are ignored, because the text has already been printed, and may be a message about an
        error in the same logger.

        Args:
            key: topic of the text, such as `warnings/health`.
            text: text to log.
            step: index of the optimizer step.
            failed: whether the text is the error message of a failed run.
        """
        for logger in self.media_loggers:
            with contextlib.suppress(Exception):
                logger.send_text(key, text, step, failed)

    @property
    def supports_tables(self) -> bool:
        """Whether at least one logger accepts tables and histograms."""
        return any(logger.supports_tables for logger in self.media_loggers)

    def log_table(self, key: str, table: pd.DataFrame, step: int) -> None:
        """Pass a table to the loggers that accept tables. A cell may be an image (C, H, W) in [0, 1]."""
        for logger in self.media_loggers:
            logger.send_table(key, table, step)

    def log_histogram(self, key: str, values: np.ndarray, step: int) -> None:
        """Pass an array `values` of any shape to the loggers that log a histogram of the values."""
        for logger in self.media_loggers:
            logger.send_histogram(key, values, step)

    def save_animation(self, key: str, seconds_per_frame: float, step: int) -> Path | None:
        """Combine all PNG files in `figures/<key>/` into the animation `figures/<key>.gif`, and pass it to the loggers.

        Args:
            key: name of the figure.
            seconds_per_frame: duration of each frame in seconds.
            step: index of the optimizer step.

        Returns:
            The path of the GIF file. None with fewer than two PNG files, or if this process does not have rank zero.
        """
        frames = sorted((self.folder / "figures" / key).glob("*.png"))
        if not self.active or len(frames) < 2:
            return None
        from PIL import Image

        images = [Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
        return self._save_gif(key, images, seconds_per_frame, step)

    def _save_figure(self, key: str, figure: Figure, step: int) -> Path:
        png = self.folder / "figures" / key / f"{step:06d}.png"
        path = save_figure(figure, png, self.options)
        self._send(key, png, step)
        return path

    def _save_frames(self, key: str, frames: np.ndarray, step: int) -> Path:
        """Save T frames (T, H, W, 3) with values in [0, 1] as the animation `figures/<key>.gif`. Return its path."""
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
    """Save a table as CSV, or as Markdown if the table has a single column. Return the path of the file."""
    is_text = len(table.columns) == 1
    path = folder / f"{key}.{'md' if is_text else 'csv'}"
    with atomic_write(path) as partial:
        if is_text:
            partial.write_text("\n".join(table.iloc[:, 0].astype(str)) + "\n", encoding="utf-8")
        else:
            table.to_csv(partial, index=False)
    return path


def select_media_loggers(loggers: Iterable[Logger]) -> list[MediaLogger]:
    """Return the loggers that are a `MediaLogger` and therefore accept figures, tables and texts."""
    return [logger for logger in loggers if isinstance(logger, MediaLogger)]


def log_run_metadata(loggers: Iterable[Logger], metadata: Mapping[str, Any]) -> None:
    """Pass the run metadata to all media loggers. Call this once, at the start of a run."""
    for logger in select_media_loggers(loggers):
        logger.send_metadata(metadata)


def close_loggers(
    loggers: Iterable[Logger], results: Mapping[str, float], checkpoint: Path, failed: bool = False
) -> str | None:
    """Close all media loggers at the end of a run.

    Args:
        loggers: all loggers of the run.
        results: final metrics of the run, as in `metrics.json`.
        checkpoint: path of the best checkpoint. The file may not exist.
        failed: whether the run failed.

    Returns:
        The location, such as a URL, of the first run that a logging service has created. None if there is none.
    """
    locations = [logger.close(results, checkpoint, failed) for logger in select_media_loggers(loggers)]
    return next((location for location in locations if location), None)
