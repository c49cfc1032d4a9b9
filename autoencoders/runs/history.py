"""Metrics of a run as functions of the optimizer step, and their curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CURVES = ("objective", "distortion", "rate", "mse", "accuracy")
"""Metrics of the training and validation images that have curves."""


def read_history(folder: Path) -> pd.DataFrame:
    """Return the content of `metrics.csv` in a run folder, one row per logged step; empty without this file."""
    import pandas as pd

    path = folder / "metrics.csv"
    return pd.read_csv(path) if path.is_file() else pd.DataFrame({"step": []})


def select_curves(history: pd.DataFrame, has_prior: bool) -> dict[str, dict[str, np.ndarray]]:
    """Return the curves in a history: metric -> split (`train` or `val`) -> array (n, 2) of steps and values.

    Args:
        history: table of `read_history`.
        has_prior: whether the model has a prior. If not, the rate is 0 and has no curve.
    """
    curves = {}
    for metric in CURVES:
        if metric == "rate" and not has_prior:
            continue
        columns = {split: f"{split}/{metric}" for split in ("train", "val")}
        present = {split: history[["step", name]].dropna() for split, name in columns.items() if name in history}
        if any(len(points) for points in present.values()):
            curves[metric] = {split: points.to_numpy() for split, points in present.items() if len(points)}
    return curves


def majority_line(history: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the accuracy of the majority class on validation images, as a baseline of the curves of a classifier."""
    if "val/majority" not in history:
        return {}
    return {"accuracy": {"majority class": float(history["val/majority"].dropna().iloc[-1])}}


def baseline_lines(metrics: Mapping[str, float], latent_dim: int | None) -> dict[str, dict[str, float]]:
    """Return the baselines of the validation MSE in the final metrics of a run: metric -> display name -> value."""
    names = {"val/mse_pca": f"PCA-{latent_dim}", "val/mse_mean_image": "mean image"}
    lines = {name: metrics[key] for key, name in names.items() if key in metrics}
    return {"mse": lines} if lines else {}
