"""Table of evaluation results: one row per value, with unit, method, standard error and number of images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from autoencoders.runs.run import Run

RESAMPLES = 50
"""Number of bootstrap samples for a statistic that is slow to compute, because it needs a covariance matrix."""


@dataclass
class Row:
    """One row of the evaluation table.

    Attributes:
        measure: name of the measure, such as `MSE`.
        unit: unit of the value, or an empty string.
        method: name of the model or of the baseline.
        value: value, or (value, standard error). The value is NaN if the measure is not applicable.
        images: number of images that the value was computed from.
        note: remark for the reader, such as the reason for NaN.
    """

    measure: str
    unit: str
    method: str
    value: float | tuple[float, float]
    images: int
    note: str = ""


def as_columns(row: Row) -> dict:
    """Return column name -> cell of the row. The column `+-` contains the standard error, or NaN."""
    value, error = row.value if isinstance(row.value, tuple) else (row.value, math.nan)
    return {"measure": row.measure, "unit": row.unit, "method": row.method, "value": value, "+-": error,
            "images": row.images, "note": row.note}  # fmt: skip


def as_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return the finite values as metrics `<measure>/<method>`, and their errors as `<measure>_error/<method>`."""
    metrics = {}
    for row in table.to_dict("records"):
        for suffix, value in (("", row["value"]), ("_error", row["+-"])):
            if math.isfinite(value):
                metrics[f"{row['measure']}{suffix}/{row['method']}"] = value
    return metrics


def markdown(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return a Markdown table with the model's values, as a data frame with one text line per row.

    The Markdown table has one row, so that the rows of several runs can be combined.
    """
    own = table[table["method"] == run.model.name]
    cells = {"run": run.title} | {
        f"{r['measure']}": "n/a" if math.isnan(r["value"]) else
        f"{r['value']:.5g}" + (f" ± {r['+-']:.2g}" if math.isfinite(r["+-"]) else "")
        for r in own.to_dict("records")
    }  # fmt: skip
    lines = [list(cells), ["---"] * len(cells), list(cells.values())]
    return pd.DataFrame({"markdown": [f"| {' | '.join(line)} |" for line in lines]})
