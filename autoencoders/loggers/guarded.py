"""A logger whose errors do not end a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lightning.pytorch.loggers import Logger

from autoencoders.loggers.base import MediaLogger

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

L = TypeVar("L", bound=Logger)


class GuardedLogger(MediaLogger, Logger):
    """Forward all calls to another logger, and handle the errors that the other logger raises.

    Args:
        logger: the other logger.

    Attributes:
        guard: called before each call that is forwarded; returns a context manager that handles the errors. By default,
            errors are raised.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger = logger
        self.guard: Callable[[], AbstractContextManager] = nullcontext

    @property
    def supports_tables(self) -> bool:  # type: ignore[override]  # depends on the other logger
        """Whether the other logger shows tables and histograms."""
        return isinstance(self.logger, MediaLogger) and self.logger.supports_tables

    @property
    def name(self) -> str | None:
        """Name of the other logger's experiment."""
        return self.logger.name

    @property
    def version(self) -> int | str | None:
        """Version of the other logger's experiment."""
        return self.logger.version

    @property
    def save_dir(self) -> str | None:
        """Folder of the other logger's files."""
        return self.logger.save_dir

    @property
    def experiment(self) -> Any:
        """The other logger's experiment, for loggers that have one."""
        return self.logger.experiment  # type: ignore[attr-defined]  # Lightning's loggers have one, the base class has not

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Forward metrics."""
        with self.guard():
            self.logger.log_metrics(metrics, step)

    def log_hyperparams(self, params: Any, *args: Any, **keywords: Any) -> None:
        """Forward hyperparameters."""
        with self.guard():
            self.logger.log_hyperparams(params, *args, **keywords)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Forward a model whose graph is logged."""
        with self.guard():
            self.logger.log_graph(model, input_array)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Forward that a checkpoint was saved."""
        with self.guard():
            self.logger.after_save_checkpoint(checkpoint_callback)

    def save(self) -> None:
        """Forward a request to save."""
        with self.guard():
            self.logger.save()

    def finalize(self, status: str) -> None:
        """Forward the end of a fit or a test."""
        with self.guard():
            self.logger.finalize(status)

    def send_figure(self, key: str, path: Path, caption: str, step: int) -> None:
        """Forward a figure."""
        if isinstance(self.logger, MediaLogger):
            with self.guard():
                self.logger.send_figure(key, path, caption, step)

    def send_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Forward a text. Errors are raised, because the text may be about an error of the same logger."""
        if isinstance(self.logger, MediaLogger):
            self.logger.send_text(key, text, step, failed)

    def send_table(self, key: str, table: pd.DataFrame, step: int) -> None:
        """Forward a table."""
        if isinstance(self.logger, MediaLogger):
            with self.guard():
                self.logger.send_table(key, table, step)

    def send_histogram(self, key: str, values: np.ndarray, step: int) -> None:
        """Forward the values of a histogram."""
        if isinstance(self.logger, MediaLogger):
            with self.guard():
                self.logger.send_histogram(key, values, step)

    def send_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Forward the metadata of the run."""
        if isinstance(self.logger, MediaLogger):
            self.logger.send_metadata(metadata)

    def close(self, results: Mapping[str, float], checkpoint: Path, failed: bool) -> str | None:
        """Finish the other logger's own run."""
        return self.logger.close(results, checkpoint, failed) if isinstance(self.logger, MediaLogger) else None


def find_logger(loggers: Iterable[Logger], kind: type[L]) -> L | None:
    """Return the first logger of a type, with or without a guard, or None."""
    inner = (logger.logger if isinstance(logger, GuardedLogger) else logger for logger in loggers)
    return next((logger for logger in inner if isinstance(logger, kind)), None)
