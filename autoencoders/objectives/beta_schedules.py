"""Schedules of beta, the weight of the rate (KL divergence of the posterior from the prior) in the loss.

A schedule is a stateless function of the rate and the progress. The progress is the completed fraction of the run's
optimizer steps, in [0, 1]. Because a schedule does not count steps, a resumed run continues exactly, and validation
uses the beta of the last training step.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from autoencoders.utils.checks import require
from autoencoders.utils.recorded import Recorded


def _check_option(name: str, value: float, is_valid: Callable[[float], bool], expected: str) -> None:
    """Raise UserError if the value of the option `beta.<name>` is not a number or is out of range."""
    require(isinstance(value, (int, float)) and is_valid(value), f"beta.{name}", value, expected)


class BetaSchedule(Recorded):
    """Base class of the beta schedules.

    Args:
        value: final beta. For `Capacity`, the weight of |rate - capacity|.

    Attributes:
        stationary: whether beta is constant. A run without an end requires a constant beta.
        share: fraction of the run (or of a cycle) after which beta (or the capacity) has its final value; 0 for a
            constant beta.
    """

    stationary = False
    share: float = 0.0

    def __init__(self, value: float = 1.0) -> None:
        _check_option("value", value, lambda v: 0 <= v < float("inf"), "a finite number >= 0")
        self.value = float(value)

    def weight(self, progress: float) -> float:
        """Return beta at `progress`, the completed fraction of the run in [0, 1]."""
        return self.value

    def __call__(self, rate: Tensor, progress: float) -> Tensor:
        """Return the weighted rate (), in nats per image.

        Args:
            rate: () mean rate (KL divergence of the posterior from the prior) of a batch, in nats per image.
            progress: completed fraction of the run, in [0, 1].
        """
        return self.weight(progress) * rate


class Constant(BetaSchedule):
    """Constant beta. With beta = 1 the loss is an upper bound on -log p(x). With another beta the model is a beta-VAE.

    Source: Higgins et al., "beta-VAE", 2017.
    """

    stationary = True


class Warmup(BetaSchedule):
    """beta increases linearly from 0 to `value` during the first fraction `share` of the run, then stays constant.

    Source: Bowman et al., "Generating sentences from a continuous space", 2016.
    """

    def __init__(self, value: float = 1.0, share: float = 0.25) -> None:
        super().__init__(value)
        _check_option("share", share, lambda v: 0 < v <= 1, "a fraction above 0 and at most 1")
        self.share = share

    def weight(self, progress: float) -> float:
        """Return beta at `progress`, the completed fraction of the run in [0, 1]."""
        return self.value * min(1.0, progress / self.share)


class Cyclical(Warmup):
    """The run consists of `cycles` equal cycles, and each cycle starts again with beta = 0.

    In a cycle, beta increases linearly from 0 to `value` during the first fraction `share` of the cycle, then stays
    constant.

    Source: Fu et al., "Cyclical annealing schedule", 2019. They use four cycles, and beta increases during the first
    half of each cycle.
    """

    def __init__(self, value: float = 1.0, cycles: int = 4, share: float = 0.5) -> None:
        super().__init__(value, share)
        _check_option("cycles", cycles, lambda v: v >= 1 and v == int(v), "an integer >= 1")
        self.cycles = cycles

    def weight(self, progress: float) -> float:
        """Return beta at `progress`, the completed fraction of the run in [0, 1]. At progress 1, beta is `value`."""
        return super().weight(1.0 if progress >= 1 else progress * self.cycles % 1)


class Capacity(BetaSchedule):
    """The loss contains `value` * |rate - C| instead of beta * rate, so that the rate approaches the capacity C.

    C increases linearly from 0 to `capacity` nats during the first fraction `share` of the run, then stays constant.

    Source: Burgess et al., "Understanding disentangling in beta-VAE", 2018.
    """

    def __init__(self, value: float = 10.0, capacity: float = 25.0, share: float = 0.5) -> None:
        super().__init__(value)
        _check_option("capacity", capacity, lambda v: 0 <= v < float("inf"), "a finite number of nats >= 0")
        _check_option("share", share, lambda v: 0 < v <= 1, "a fraction above 0 and at most 1")
        self.capacity, self.share = float(capacity), share

    def __call__(self, rate: Tensor, progress: float) -> Tensor:
        """Return the weighted rate (), in nats per image.

        Args:
            rate: () mean rate (KL divergence of the posterior from the prior) of a batch, in nats per image.
            progress: completed fraction of the run, in [0, 1].
        """
        return self.value * (rate - self.capacity * min(1.0, progress / self.share)).abs()
