"""Trackio logger for metrics, settings, figures and texts."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.config.diff import flatten
from autoencoders.loggers.base import MediaLogger
from autoencoders.loggers.wandb_keys import result_keys
from autoencoders.utils.extras import import_extra


class TrackioMediaLogger(MediaLogger, Logger):
    """Logger for Trackio, a local experiment tracker. The database is in Trackio's folder (variable `TRACKIO_DIR`).

    Args:
        project: name of the project.
        name: name of the run. A resumed run with the same name continues the run in the database.
        **settings: other arguments of `trackio.init`, such as `space_id`.

    Raises:
        UserError: if Trackio is not installed.
    """

    def __init__(self, project: str, name: str, **settings: Any) -> None:
        super().__init__()
        self._trackio = import_extra("trackio", "trackio", "logger=trackio")
        self._project, self._name, self._settings = project, name, settings
        self._parameters: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Name of the project."""
        return self._project

    @property
    def version(self) -> str:
        """Name of the run."""
        return self._name

    @cached_property
    def experiment(self) -> Any:
        """The run of Trackio. It is created on first use, with the settings that have been logged until then."""
        options = {"resume": "allow", "embed": False, "auto_log_cpu": False, "auto_log_gpu": False, **self._settings}
        return self._trackio.init(self._project, self._name, config=self._parameters, **options)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics at an optimizer step."""
        self.experiment.log(dict(metrics), step=step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **keywords: Any) -> None:
        """Log the settings, with dotted keys. Lightning calls this before it logs metrics."""
        values = vars(params) if isinstance(params, Namespace) else dict(params)
        self._parameters = {key.removeprefix("."): _plain(value) for key, value in flatten(values, "").items()}

    def send_figure(self, key: str, path: Path, caption: str, step: int) -> None:
        """Log a figure or an animation."""
        kind = self._trackio.Image if path.suffix == ".png" else self._trackio.Video
        self.experiment.log({key: kind(path, caption=caption)}, step=step)

    def send_results(self, results: Mapping[str, float], model: str, step: int, repeated: bool) -> None:
        """Log the results of an application with the keys of `result_keys`."""
        self.log_metrics({key: results[name] for name, key in result_keys(results, model).items()}, step)

    def send_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Log a text."""
        self.experiment.log({key: self._trackio.Markdown(text)}, step=step)

    def close(self, results: Mapping[str, float], checkpoint: Path, failed: bool) -> None:
        """Finish the run of Trackio."""
        self.experiment.finish()


def _plain(value: Any) -> Any:
    """Return a value that Trackio can store: numbers, texts and None are unchanged, others become text."""
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
