"""Wrapper for a logger that prevents errors in the logger from ending the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lightning.pytorch.loggers import Logger

from autoencoders.loggers.base import MediaLogger
from autoencoders.utils.names import printable_values

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

L = TypeVar("L", bound=Logger)


class GuardedLogger(MediaLogger, Logger):
    """Wrapper that forwards all calls to a logger and handles the exceptions that the logger raises.

    Args:
        logger: the wrapped logger.

    Attributes:
        guard: function that returns a context manager. Each call is forwarded inside a new context manager, which may
            catch exceptions. The default context manager catches no exceptions.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger = logger
        self.guard: Callable[[], AbstractContextManager] = nullcontext

    @property
    def supports_tables(self) -> bool:  # type: ignore[override]  # depends on the wrapped logger
        """Whether the wrapped logger shows tables and histograms."""
        return isinstance(self.logger, MediaLogger) and self.logger.supports_tables

    @property
    def name(self) -> str | None:
        """Name of the wrapped logger's experiment."""
        return self.logger.name

    @property
    def version(self) -> int | str | None:
        """Version of the wrapped logger's experiment."""
        return self.logger.version

    @property
    def save_dir(self) -> str | None:
        """Folder in which the wrapped logger saves files."""
        return self.logger.save_dir

    @property
    def experiment(self) -> Any:
        """Experiment object of the wrapped logger, such as a W&B run. Some loggers have none."""
        return self.logger.experiment  # type: ignore[attr-defined]  # not in the base class Logger

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Forward metrics to the wrapped logger."""
        with self.guard():
            self.logger.log_metrics(metrics, step)

    def log_hyperparams(self, params: Any, *args: Any, **keywords: Any) -> None:
        """Forward hyperparameters to the wrapped logger."""
        with self.guard():
            self.logger.log_hyperparams(printable_values(params), *args, **keywords)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Forward a model to the wrapped logger, which logs the graph of the model."""
        with self.guard():
            self.logger.log_graph(model, input_array)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Inform the wrapped logger that a checkpoint was saved."""
        with self.guard():
            self.logger.after_save_checkpoint(checkpoint_callback)

    def save(self) -> None:
        """Let the wrapped logger save its data."""
        with self.guard():
            self.logger.save()

    def finalize(self, status: str) -> None:
        """Inform the wrapped logger that training or testing has ended."""
        with self.guard():
            self.logger.finalize(status)

    def send_figure(self, key: str, path: Path, caption: str, step: int) -> None:
        """Forward a figure to the wrapped logger, if it is a `MediaLogger`."""
        if isinstance(self.logger, MediaLogger):
            with self.guard():
                self.logger.send_figure(key, path, caption, step)

    def send_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Forward a text to the wrapped logger, if it is a `MediaLogger`.

        The guard is not used, because the text may be the message about an error that the guard has caught.
        """
        if isinstance(self.logger, MediaLogger):
            self.logger.send_text(key, text, step, failed)

    def send_table(self, key: str, table: pd.DataFrame, step: int) -> None:
        """Forward a table to the wrapped logger, if it is a `MediaLogger`."""
        if isinstance(self.logger, MediaLogger):
            with self.guard():
                self.logger.send_table(key, table, step)

    def send_results(self, results: Mapping[str, float], model: str, step: int, repeated: bool) -> None:
        """Forward the results of an application. A logger that is not a `MediaLogger` receives them as metrics."""
        with self.guard():
            if isinstance(self.logger, MediaLogger):
                self.logger.send_results(results, model, step, repeated)
            else:
                self.logger.log_metrics(dict(results), step)

    def send_histogram(self, key: str, values: np.ndarray, step: int) -> None:
        """Forward an array of values to the wrapped logger, which logs a histogram if it is a `MediaLogger`."""
        if isinstance(self.logger, MediaLogger):
            with self.guard():
                self.logger.send_histogram(key, values, step)

    def send_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Forward the run metadata to the wrapped logger, if it is a `MediaLogger`. The guard is not used."""
        if isinstance(self.logger, MediaLogger):
            self.logger.send_metadata(metadata)

    def close(self, results: Mapping[str, float], checkpoint: Path, failed: bool) -> str | None:
        """Finish the wrapped logger's own run and return its location; see `MediaLogger.close`."""
        return self.logger.close(results, checkpoint, failed) if isinstance(self.logger, MediaLogger) else None


def find_logger(loggers: Iterable[Logger], kind: type[L]) -> L | None:
    """Return the first logger of a given class, without its `GuardedLogger`, or None if there is no such logger."""
    inner = (logger.logger if isinstance(logger, GuardedLogger) else logger for logger in loggers)
    return next((logger for logger in inner if isinstance(logger, kind)), None)
