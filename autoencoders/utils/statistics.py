"""Mean and standard deviation of a few numbers, such as the values of a metric from runs with different seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation of values (n - 1 in the denominator).

    The mean is None if there are no values. The standard deviation is None if there are fewer than two values.
    """
    mean = statistics.fmean(values) if values else None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return mean, deviation
