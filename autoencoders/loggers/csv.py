"""Logger that writes all metrics of a run to one file `metrics.csv`. Every run has this logger."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.utils.atomic import atomic_write


class MetricsCSVLogger(Logger):
    """Log all metrics to one CSV file with one row per optimizer step and one column per metric.

    A resumed run appends rows to the existing file. Lightning's CSVLogger would delete the existing file, and would
    write two rows for a step with both training and validation metrics.

    Args:
        path: path of the CSV file.
        resumed: whether to keep the rows of an existing file. Rows from the first logged step on are removed.

    Attributes:
        latest: metric name -> latest value.
    """

    def __init__(self, path: str | Path, resumed: bool = False) -> None:
        super().__init__()
        self.path, self.resumed = Path(path), resumed
        self.latest: dict[str, float] = {}
        self._columns: list[str] = []  # empty until the first row is written
        self._row: dict[str, Any] = {}
        self._offset = 0  # byte offset of the current row in the file

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """Empty string, because the logger has no versions."""
        return ""

    def log_hyperparams(self, *args: Any, **keywords: Any) -> None:
        """Do nothing, because `config.yaml` contains the hyperparameters."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add metrics to the row for an optimizer step, and write the row. Later metrics for the step extend it."""
        if not self._columns:
            self._open(step)
        if self._row.get("step") != step:
            self._offset = self.path.stat().st_size
            self._row = {"step": step}
        values = {k: float(v) if k != "epoch" else int(v) for k, v in metrics.items()}
        self._row |= values
        self.latest |= values
        fresh = [k for k in self._row if k not in self._columns]
        if fresh:
            with self.path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            if self._offset < self.path.stat().st_size:  # the last row is written again below
                rows.pop()
            self._rewrite(rows, [*self._columns, *fresh])
            self._offset = self.path.stat().st_size
        with self.path.open("r+", newline="", encoding="utf-8") as file:
            try:
                file.seek(self._offset)
                csv.DictWriter(file, self._columns).writerow(self._row)
                file.flush()
            finally:  # also on a full disk, so that the next row does not start inside an incomplete row
                file.truncate()

    def _open(self, step: int | None) -> None:
        columns, rows = ["epoch", "step"], []
        if self.resumed and self.path.is_file():
            with self.path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                rows = [row for row in reader if int(row["step"]) < (step or 0)]
                columns = list(reader.fieldnames or columns)
        self._rewrite(rows, columns)

    def _rewrite(self, rows: list[dict], columns: list[str]) -> None:
        with atomic_write(self.path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        self._columns = columns
