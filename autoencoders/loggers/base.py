"""Interface of loggers that accept figures, texts, tables and histograms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class MediaLogger:
    """Base class of loggers that the media writer passes more than metrics to.

    Every method does nothing by default, so that a subclass overrides only those that its service supports. The names
    differ from `log_table` and `log_text` of Lightning's W&B logger, which have other arguments.
    """

    supports_tables: bool = False
    """Whether the logger shows tables and histograms, which take time to compute."""

    def send_figure(self, key: str, path: Path, caption: str, step: int) -> None:
        """Log a PNG or GIF file."""

    def send_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Log a text.

        Args:
            key: topic of the text.
            text: the text.
            step: the optimizer step.
            failed: whether the text gives the reason why the run ended.
        """

    def send_table(self, key: str, table: pd.DataFrame, step: int) -> None:
        """Log a table. Cells may be images, (C, H, W) in [0, 1]."""

    def send_histogram(self, key: str, values: np.ndarray, step: int) -> None:
        """Log a histogram of values of any shape."""

    def send_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Log the metadata of the run, at its start."""

    def close(self, results: Mapping[str, float], checkpoint: Path, failed: bool) -> str | None:
        """Finish the logger's own run.

        Args:
            results: contents of `metrics.json`.
            checkpoint: path of the best checkpoint; the file may be missing.
            failed: whether the run failed.

        Returns:
            The location of the logger's run, or None if it has none.
        """
        return None
