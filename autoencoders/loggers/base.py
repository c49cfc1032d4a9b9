"""Base class for loggers that accept figures, texts, tables and histograms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class MediaLogger:
    """Base class for loggers that accept figures, texts, tables and histograms in addition to metrics.

    Every method does nothing by default. A subclass overrides the methods that its logging service supports. The method
    names start with `send_`, because `log_table` and `log_text` of Lightning's W&B logger have other arguments.
    """

    supports_tables: bool = False
    """Whether the logger shows tables and histograms. If no logger does, callbacks need not compute them."""

    def send_figure(self, key: str, path: Path, caption: str, step: int) -> None:
        """Log a figure or an animation.

        Args:
            key: name of the figure, such as `reconstructions`.
            path: PNG or GIF file.
            caption: caption of the figure.
            step: index of the optimizer step.
        """

    def send_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Log a text.

        Args:
            key: topic of the text, such as `warnings/health`.
            text: text to log.
            step: index of the optimizer step.
            failed: whether the text is the error message of a failed run.
        """

    def send_table(self, key: str, table: pd.DataFrame, step: int) -> None:
        """Log a table. A cell may be an image (C, H, W) with values in [0, 1]."""

    def send_results(self, results: Mapping[str, float], model: str, step: int, repeated: bool) -> None:
        """Log the results of an application.

        Args:
            results: `<application>/<column>/<row>` -> value.
            model: name of the model, which is also the name of its rows.
            step: index of the optimizer step.
            repeated: whether the application is run several times during training, so that the values form curves.
        """

    def send_histogram(self, key: str, values: np.ndarray, step: int) -> None:
        """Log a histogram of an array `values` of any shape."""

    def send_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Log the metadata of the run. This is called once, at the start of the run."""

    def close(self, results: Mapping[str, float], checkpoint: Path, failed: bool) -> str | None:
        """Finish the run that the logging service has created, for example a W&B run.

        Args:
            results: final metrics of the training run, as in `metrics.json`.
            checkpoint: path of the best checkpoint. The file may not exist.
            failed: whether the training run failed.

        Returns:
            The location of the service's run, such as a URL, or None if the service has no runs.
        """
        return None
