"""What the measured quantities are: their unit, which way is better, what must agree to compare them; their digits."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """A quantity.

    Attributes:
        unit: as a column's head says it; empty for a pure number.
        better: -1 where lower is better, 1 where higher is, 0 where neither can be said.
        alike: what two runs must share for their values to be compared; see `RunFolder`.
    """

    unit: str = ""
    better: Literal[-1, 0, 1] = 0
    alike: Literal["images", "likelihood", "bound", "classifier"] = "images"


KNOWN = (
    (r"neg_elbo|-elbo.*|iw-nll.*", Measure("nats per image", -1, "bound")),
    (r"bits per dimension", Measure("bits", -1, "bound")),
    # One part of the bound can always be had for the other; an objective depends on beta.
    (r"distortion|rate|objective|loss|kl|gained over elbo|aggregate gap", Measure("nats per image", 0, "likelihood")),
    (r"mse.*", Measure("[0, 1]² pixels", -1)),
    (r"fid.*|kid.*", Measure("", -1, "classifier")),
    (r"coverage, .*|label seen", Measure("", 1, "classifier")),
    (r"fpr .*|false alarms", Measure("", -1)),
    (r"psnr.*", Measure("dB", 1)),
    (r"ssim.*|auroc.*|ap|map|accuracy|precision .*|knn|linear|trustworthiness|detected", Measure("", 1)),
    (r"seconds", Measure("s")),
)
"""Patterns of names, lower case, the first that fits; of any other quantity nothing is claimed."""

BASELINES = {"mse": {"mse_pca": "PCA", "mse_mean_image": "mean image"}, "accuracy": {"majority": "majority"}}
"""Final metric -> the metrics of its baselines, and what they are called."""


def measure(name: str) -> Measure:
    """What a metric or a table's column is, from its name: `test/neg_elbo`, `reconstruct/ssim/vae`, `psnr per image`."""
    for part in name.lower().split("/"):
        for pattern, known in KNOWN:
            if re.fullmatch(pattern, part):
                return known
    return Measure()


def decimals(values: Iterable[float], errors: Iterable[float] = ()) -> int:
    """How many decimals a column is printed with.

    Two digits of the median standard error. Without errors two decimals, none for thousands and whole numbers, and
    four digits of a median value below 1.
    """
    values = [abs(v) for v in values if math.isfinite(v) and v != 0]
    errors = [e for e in errors if math.isfinite(e) and e > 0]
    if errors:
        digits = 1 - math.floor(math.log10(statistics.median(errors)))
    elif all(v == int(v) for v in values):
        digits = 0
    else:
        magnitude = math.floor(math.log10(statistics.median(values)))
        digits = 3 - magnitude if magnitude < 0 else 2 if magnitude < 3 else 0
    return min(max(digits, 0), 8)


def printed(value: float, digits: int) -> str:
    """A number with that many decimals; two digits where these would show nothing of it."""
    if not math.isfinite(value):
        return "n/a" if math.isnan(value) else f"{value}"
    text = f"{value:,.{digits}f}"
    if value != 0 and float(text.replace(",", "")) == 0:
        return f"{value:.2g}"
    return text if len(text) < 14 else f"{value:.4g}"
