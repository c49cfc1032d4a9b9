"""Figures to disk and to every logger: one PNG, the same bytes everywhere. The only file that says wandb."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger, WandbLogger

from autoencoders.tensorboard import TensorBoard

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
        path = self._path(key, f"{step:06d}.png")
        figure.savefig(path, dpi=DPI, metadata={"Software": None})
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
            if text:
                files[-1].write_text("\n".join(table.iloc[:, 0].astype(str)) + "\n")
            else:
                table.to_csv(files[-1], index=False)
        if findings.metrics:
            files.append(folder / "metrics.json")
            files[-1].write_text(json.dumps(findings.metrics, indent=2) + "\n")
            for logger in self.loggers:
                logger.log_metrics({f"{name}/{k}": v for k, v in findings.metrics.items()}, step)
        return files

    def note(self, key: str, sentence: str, step: int) -> None:
        """Hand a sentence to the loggers that take text: W&B's summary, TensorBoard's texts."""
        for logger in self.loggers if self.active else ():
            if isinstance(logger, WandbLogger):
                logger.experiment.summary[key] = sentence
            elif isinstance(logger, TensorBoard):
                logger.text(key, sentence, step)

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
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *rest = pictures
        first.save(path, save_all=True, append_images=rest, duration=round(1000 * seconds_per_frame), loop=0)
        self._send(f"{key}_animation", path, step)
        return path

    def _path(self, key: str, name: str) -> Path:
        path = self.folder / "figures" / key / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _send(self, key: str, path: Path, step: int) -> None:
        for logger in self.loggers:
            if isinstance(logger, WandbLogger):
                import wandb

                # The axis is trainer/global_step; W&B's own step counts calls and would drop late pictures.
                media = wandb.Video(str(path), format="gif") if path.suffix == ".gif" else wandb.Image(str(path))
                logger.experiment.log({key: media, "trainer/global_step": step})
            elif isinstance(logger, TensorBoard):
                logger.picture(key, path, step)


def wandb_logger(save_dir: str, **settings: Any) -> WandbLogger:
    """Lightning's W&B logger: online where a login, a key or WANDB_MODE says so, else offline, never a prompt.

    Args:
        save_dir: the run's folder; W&B writes to its `wandb/`.
        **settings: project, name, group, tags, entity, notes, ... as for `wandb.init`.
    """
    # W&B's own lines on the terminal would bury ours; what matters of them, the door prints.
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    mode = os.environ.get("WANDB_MODE")
    if mode is None:
        mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
    # Not the logger's own offline=True: it sets WANDB_MODE for the rest of the process, later jobs included.
    logger = WandbLogger(save_dir=save_dir, mode=mode, settings=wandb.Settings(silent=True, console="off"), **settings)
    logger._wandb_init.pop("anonymous", None)  # Lightning passes an option that W&B only warns about
    return logger


def close(loggers: list[Logger], failed: bool = False) -> str | None:
    """End W&B's run, so that the next job of a sweep gets its own; returns the line that says where it is."""
    if not any(isinstance(logger, WandbLogger) for logger in loggers):
        return None
    import wandb

    run = wandb.run
    if run is None:
        return None
    where = f"offline; upload with: wandb sync {_shell(Path(run.dir).parent)}" if run.offline else run.url
    wandb.finish(exit_code=int(failed))
    return where


def _shell(path: Path) -> str:
    import shlex

    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)
