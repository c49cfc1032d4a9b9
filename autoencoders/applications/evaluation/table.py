"""The table of an evaluation: one row per number, with unit, method, error and count."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from autoencoders.runs.run import Run

RESAMPLES = 50
"""Number of bootstrap samples of statistics that need a covariance matrix each."""


@dataclass
class Row:
    """One number of the table; NaN if not applicable, with the reason in `note`."""

    measure: str
    unit: str
    method: str
    value: float | tuple[float, float]
    images: int
    note: str = ""


def as_columns(row: Row) -> dict:
    """Return the cells of a row."""
    value, error = row.value if isinstance(row.value, tuple) else (row.value, math.nan)
    return {"measure": row.measure, "unit": row.unit, "method": row.method, "value": value, "+-": error,
            "images": row.images, "note": row.note}  # fmt: skip


def as_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return the numbers as metrics, `<measure>/<method>` and `<measure>_error/<method>`."""
    metrics = {}
    for row in table.to_dict("records"):
        for suffix, value in (("", row["value"]), ("_error", row["+-"])):
            if math.isfinite(value):
                metrics[f"{row['measure']}{suffix}/{row['method']}"] = value
    return metrics


def markdown(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return the model's numbers as a Markdown table with one row, as lines."""
    own = table[table["method"] == run.model.name]
    cells = {"run": run.title} | {
        f"{r['measure']}": "n/a" if math.isnan(r["value"]) else
        f"{r['value']:.5g}" + (f" ± {r['+-']:.2g}" if math.isfinite(r["+-"]) else "")
        for r in own.to_dict("records")
    }  # fmt: skip
    lines = [list(cells), ["---"] * len(cells), list(cells.values())]
    return pd.DataFrame({"markdown": [f"| {' | '.join(line)} |" for line in lines]})
