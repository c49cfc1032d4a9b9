"""Unit, direction and comparability of metrics, and the number of decimals in a column."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetricInfo:
    """Properties of a metric.

    Attributes:
        unit: as shown in the header of a column; empty for a dimensionless metric.
        direction: -1 if lower is better, 1 if higher is better, 0 if neither is better.
        comparison_key: name of the key that two runs must share for their values to be compared; see
            `RunFolder.comparison_keys`.
    """

    unit: str = ""
    direction: Literal[-1, 0, 1] = 0
    comparison_key: Literal["images", "likelihood", "neg_elbo", "classifier"] = "images"


METRICS = (
    (r"neg_elbo|-elbo.*|iw-nll.*", MetricInfo("nats per image", -1, "neg_elbo")),
    (r"bits per dimension", MetricInfo("bits", -1, "neg_elbo")),
    # Rate can be traded for distortion, and an objective depends on beta: neither direction is better.
    (
        r"distortion|rate|objective|loss|kl|gained over elbo|aggregate gap",
        MetricInfo("nats per image", 0, "likelihood"),
    ),
    (r"mse.*", MetricInfo("[0, 1]² pixels", -1)),
    (r"fid.*|kid.*", MetricInfo("", -1, "classifier")),
    (r"coverage, .*|label accuracy", MetricInfo("", 1, "classifier")),
    (r"fpr .*|false alarms", MetricInfo("", -1)),
    (r"psnr.*", MetricInfo("dB", 1)),
    (r"ssim.*|auroc.*|ap|map|accuracy|precision .*|knn|linear|trustworthiness|detected", MetricInfo("", 1)),
    (r"seconds", MetricInfo("s")),
)
"""Patterns of lower-case metric names; the first match applies. Other metrics have no unit and no direction."""

BASELINES = {"mse": {"mse_pca": "PCA", "mse_mean_image": "mean image"}, "accuracy": {"majority": "majority"}}
"""Final metric -> metric of a baseline -> name of the baseline."""


def get_metric_info(name: str) -> MetricInfo:
    """Return the properties of a metric or table column: `test/neg_elbo`, `reconstruct/ssim/vae`, `psnr per image`."""
    for component in name.lower().split("/"):
        for pattern, info in METRICS:
            if re.fullmatch(pattern, component):
                return info
    return MetricInfo()


def count_decimals(values: Iterable[float], errors: Iterable[float] = ()) -> int:
    """Return the number of decimals for a column.

    With standard errors, the column shows two digits of the median error. Without errors it shows two decimals, no
    decimals for integers and for a median of 1000 or more, and four digits for a median below 1.

    Args:
        values: numbers of the column.
        errors: their standard errors.
    """
    values = [abs(v) for v in values if math.isfinite(v) and v != 0]
    errors = [e for e in errors if math.isfinite(e) and e > 0]
    if errors:
        decimals = 1 - math.floor(math.log10(statistics.median(errors)))
    elif all(v == int(v) for v in values):
        decimals = 0
    else:
        decimals = _decimals_for_magnitude(math.floor(math.log10(statistics.median(values))))
    return min(max(decimals, 0), 8)


def _decimals_for_magnitude(magnitude: int) -> int:
    """Return the number of decimals for values of about `10**magnitude`."""
    if magnitude < 0:
        return 3 - magnitude
    return 2 if magnitude < 3 else 0


def format_metric(value: float, decimals: int) -> str:
    """Format a number with a fixed number of decimals, or with two digits if it would be rounded to zero."""
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else f"{value}"
    text = f"{value:,.{decimals}f}"
    if value != 0 and float(text.replace(",", "")) == 0:
        return f"{value:.2g}"
    return text if len(text) < 14 else f"{value:.4g}"
