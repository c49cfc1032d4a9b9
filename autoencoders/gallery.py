"""Figures to disk and to every logger: one PNG, the same bytes everywhere."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from autoencoders.files import whole

if TYPE_CHECKING:
    import lightning.pytorch as pl
    import numpy as np
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from autoencoders.types import Findings

DPI = 100


class Gallery:
    """Takes a figure once and delivers it; acts on rank zero only.

    Args:
        folder: the run's folder; figures go to `<folder>/figures/<key>/<step>.png`.
        loggers: each gets the same PNG under the same key, where it takes pictures.
        active: whether this process is rank zero.
    """

    def __init__(self, folder: str | Path, loggers: list[Logger], active: bool = True) -> None:
        self.folder, self.loggers, self.active = Path(folder), loggers, active

    @classmethod
    def of(cls, trainer: pl.Trainer) -> Gallery:
        """The gallery of the run that a trainer works on."""
        return cls(trainer.default_root_dir, trainer.loggers, trainer.is_global_zero)

    def deliver(self, key: str, figure: Figure, step: int) -> Path | None:
        """Save a figure and hand it to the loggers.

        Args:
            key: what it shows, such as `reconstructions`: the folder on disk and the panel in a dashboard.
            figure: a matplotlib figure; it is closed by going out of use, pyplot is not involved.
            step: the optimiser step it belongs to.

        Returns:
            The PNG's path, or None off rank zero.
        """
        if not self.active:
            return None
        path = self.folder / "figures" / key / f"{step:06d}.png"
        with whole(path) as partial:
            figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
        self._send(key, path, step)
        return path

    def present(self, name: str, findings: Findings, step: int) -> list[Path]:
        """Deliver what an application found, under its name.

        Figures go where figures go, tables to `<folder>/tables/<name>/<table>.csv` (those of one column, lines of text,
        to `<table>.md`), metrics to `metrics.json` beside them and, as `<name>/<metric>`, to the loggers.

        Returns:
            The files written; none off rank zero.
        """
        if not self.active:
            return []
        files = [self.deliver(f"{name}/{key}", figure, step) for key, figure in findings.figures.items()]
        files += [self._film(f"{name}/{key}", frames, step) for key, frames in findings.animations.items()]
        folder = self.folder / "tables" / name
        folder.mkdir(parents=True, exist_ok=True)
        for key, table in findings.tables.items():
            text = len(table.columns) == 1
            files.append(folder / f"{key}.{'md' if text else 'csv'}")
            with whole(files[-1]) as partial:
                if text:
                    partial.write_text("\n".join(table.iloc[:, 0].astype(str)) + "\n")
                else:
                    table.to_csv(partial, index=False)
        if findings.metrics:
            files.append(folder / "metrics.json")
            with whole(files[-1]) as partial:
                partial.write_text(json.dumps(findings.metrics, indent=2) + "\n")
            for logger in self.loggers:
                logger.log_metrics({f"{name}/{k}": v for k, v in findings.metrics.items()}, step)
        return files

    def note(self, key: str, sentence: str, step: int) -> None:
        """Hand a sentence to the loggers that take text: W&B's summary, TensorBoard's texts.

        One that fails is passed over: the sentence may be that it does, and it is on the terminal already.
        """
        for logger in self.loggers if self.active else ():
            with contextlib.suppress(Exception):
                if isinstance(logger, WandbLogger):
                    logger.experiment.summary[key] = sentence
                elif isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_text(key, sentence, step)

    def animate(self, key: str, seconds_per_frame: float, step: int) -> Path | None:
        """Bind every PNG delivered under a key into `figures/<key>.gif` and hand that to the loggers."""
        frames = sorted((self.folder / "figures" / key).glob("*.png"))
        if not self.active or len(frames) < 2:
            return None
        from PIL import Image

        pictures = [Image.open(frame).convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
        return self._save_film(key, pictures, seconds_per_frame, step)

    def _film(self, key: str, frames: np.ndarray, step: int) -> Path:
        """`figures/<key>.gif` of frames (T, H, W, 3) in [0, 1]."""
        from PIL import Image

        pictures = [Image.fromarray((frame * 255).round().astype("uint8")) for frame in frames]
        return self._save_film(key, pictures, 0.15, step)

    def _save_film(self, key: str, pictures: list[Image], seconds_per_frame: float, step: int) -> Path:
        path = self.folder / "figures" / f"{key}.gif"
        first, *rest = pictures
        duration = round(1000 * seconds_per_frame)
        with whole(path) as partial:
            first.save(partial, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)
        self._send(f"{key}_animation", path, step)
        return path

    def _send(self, key: str, path: Path, step: int) -> None:
        for logger in self.loggers:
            if isinstance(logger, WandbLogger):
                import wandb

                # The axis is trainer/global_step; W&B's own step counts calls and would drop late pictures.
                media = wandb.Video(str(path), format="gif") if path.suffix == ".gif" else wandb.Image(str(path))
                logger.log_metrics({key: media}, step)
            elif isinstance(logger, TensorBoardLogger) and path.suffix == ".png":
                import numpy as np
                from PIL import Image

                picture = np.asarray(Image.open(path).convert("RGB"))
                logger.experiment.add_image(key, picture, step, dataformats="HWC")
