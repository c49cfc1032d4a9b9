"""Properties of metrics: unit, direction and comparability. Format metric values with a suitable number of decimals."""

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
        unit: unit of the metric, for the header of a column; empty for a dimensionless metric.
        direction: -1 if lower is better, 1 if higher is better, 0 if neither is better.
        comparison_key: name of a key in `RunFolder.comparison_keys`. The values of two runs are compared only if this
            key is equal for both runs.
    """

    unit: str = ""
    direction: Literal[-1, 0, 1] = 0
    comparison_key: Literal["images", "likelihood", "neg_elbo", "classifier"] = "images"


METRICS = (
    (r"neg_elbo|-elbo.*|iw-nll.*", MetricInfo("nats per image", -1, "neg_elbo")),
    (r"bits per dimension", MetricInfo("bits", -1, "neg_elbo")),
    # A lower rate is possible at the cost of a higher distortion, and objectives depend on beta. Neither direction is
    # better for these metrics.
    (
        r"distortion|rate|objective|loss|kl|mi|tc|dwkl|gained over elbo|aggregate gap",
        MetricInfo("nats per image", 0, "likelihood"),
    ),
    (r"mse.*", MetricInfo("pixels in [0, 1]", -1)),
    (r"fid.*|kid.*", MetricInfo("", -1, "classifier")),
    (r"mse above the model's", MetricInfo("")),  # a difference from the model of the same table
    (r"coverage, .*|label accuracy", MetricInfo("", 1, "classifier")),
    (r"fpr .*|false alarms", MetricInfo("", -1)),
    (r"psnr.*", MetricInfo("dB", 1)),
    (r"ssim.*|auroc.*|ap|map|accuracy|precision .*|knn|linear|trustworthiness|detected", MetricInfo("", 1)),
    (
        r"mig|sap|disentanglement|completeness|informativeness|factorvae|betavae|modularity|explicitness",
        MetricInfo("", 1),
    ),
    (r"seconds", MetricInfo("s")),
)
"""Pairs of a regular expression for lower-case metric names and the properties of these metrics.

If a name matches several expressions, the first match is used. All other metrics have no unit and no direction.
"""

BASELINES = {"mse": {"mse_pca": "PCA", "mse_mean_image": "mean image"}, "accuracy": {"majority": "majority"}}
"""Metric of a run -> metric with the value of a baseline -> display name of the baseline."""


def get_metric_info(name: str) -> MetricInfo:
    """Return the properties of a metric.

    Args:
        name: name of a metric or a table column, such as `test/neg_elbo`, `reconstruct/ssim/vae` or `psnr per image`.
    """
    for component in name.lower().split("/"):
        for pattern, info in METRICS:
            if re.fullmatch(pattern, component):
                return info
    return MetricInfo()


def count_decimals(values: Iterable[float], errors: Iterable[float] = ()) -> int:
    """Return the number of decimals for the numbers in a table column.

    If there are standard errors, the median standard error is shown with two significant digits. Otherwise, the number
    of decimals depends on the values: none if all values are integers or the median absolute value is >= 1000, four
    significant digits of the median if it is below 1, and two decimals in all other cases.

    Args:
        values: numbers in the column.
        errors: standard errors of these numbers.
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
    """Return the number of decimals for values with a size of about `10**magnitude`."""
    if magnitude < 0:
        return 3 - magnitude
    return 2 if magnitude < 3 else 0


def format_metric(value: float, decimals: int) -> str:
    """Format a number with a fixed number of decimals.

    A number that would be rounded to zero is shown with two significant digits. NaN becomes `n/a`.
    """
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else f"{value}"
    text = f"{value:,.{decimals}f}"
    if value != 0 and float(text.replace(",", "")) == 0:
        return f"{value:.2g}"
    return text if len(text) < 14 else f"{value:.4g}"
