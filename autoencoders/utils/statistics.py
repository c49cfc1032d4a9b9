"""Mean and standard deviation of a few numbers, such as one metric over several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation (n - 1 in the denominator).

    The mean is None without values, the deviation is None with fewer than two.
    """
    mean = statistics.fmean(values) if values else None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return mean, deviation
