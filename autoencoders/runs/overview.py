"""Short descriptions of a run: one line of text, and a table in HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping

MAIN = ("neg_elbo", "distortion", "rate", "mse", "accuracy")
"""Metrics in a short description, in their order."""
BASELINES = {"mse": ("mse_pca", "mse_mean_image"), "accuracy": ("majority",)}
"""Metric -> metrics of its baselines."""
NAMES = {"mse_pca": "PCA", "mse_mean_image": "mean image", "majority": "majority class"}
"""Metric of a baseline -> name of the baseline."""


def main_metrics(metrics: Mapping[str, float]) -> tuple[str, dict[str, str]]:
    """Return the split and the texts of the main metrics: those of the test images, or else of the validation images.

    Args:
        metrics: final metrics of a run.

    Returns:
        `test` or `val`, and metric name -> formatted value; empty without metrics.
    """
    for split in ("test", "val"):
        texts = {name: _format(metrics, f"{split}/{name}") for name in MAIN if f"{split}/{name}" in metrics}
        if texts:
            return split, texts
    return "test", {}


def describe(title: str, metrics: Mapping[str, float], path: object) -> str:
    """Return a run as one line of text: title, main metrics and path."""
    split, texts = main_metrics(metrics)
    values = ", ".join(f"{name} {text}" for name, text in texts.items())
    return f"Run({title}; {f'{split} {values}; ' if values else ''}{path})"


def describe_html(title: str, metrics: Mapping[str, float], path: object) -> str:
    """Return a run as HTML: title, a table of the main metrics with their baselines, and path."""
    split, texts = main_metrics(metrics)
    rows = []
    for name, text in texts.items():
        known = [key for key in BASELINES.get(name, ()) if f"{split}/{key}" in metrics]
        baselines = ", ".join(f"{NAMES[key]} {_format(metrics, f'{split}/{key}')}" for key in known)
        rows.append(f"<tr><td>{split}/{name}</td><td>{text}</td><td>{baselines}</td></tr>")
    head = "<tr><th>metric</th><th>value</th><th>baselines</th></tr>"
    table = f"<table>{head}{''.join(rows)}</table>" if rows else ""
    return f"<div><b>{html.escape(title)}</b>{table}<code>{html.escape(str(path))}</code></div>"


def _format(metrics: Mapping[str, float], key: str) -> str:
    value = metrics[key]
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.4g}"
