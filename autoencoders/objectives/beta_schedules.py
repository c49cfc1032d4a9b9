"""Schedules of beta, the weight of the rate in the loss, as stateless functions of the rate and the progress.

Progress is the fraction of the run's optimizer steps that are done, in [0, 1]. The schedules count no steps, so a
resumed run continues exactly, and validation uses the beta of the training step before it.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from autoencoders.utils.checks import require


def _check_option(name: str, value: float, is_valid: Callable[[float], bool], expected: str) -> None:
    """Raise UserError if an option is no number or is out of range."""
    require(isinstance(value, (int, float)) and is_valid(value), f"beta.{name}", value, expected)


class BetaSchedule:
    """Base class of the beta schedules.

    Args:
        value: beta, or the weight of the schedule's own function of the rate.

    Attributes:
        stationary: whether beta is independent of the progress, so that a run may have no end.
        share: fraction of the run, or of a cycle, until beta reaches its final value; 0 for a constant beta.
    """

    stationary = False
    share: float = 0.0

    def __init__(self, value: float = 1.0) -> None:
        _check_option("value", value, lambda v: 0 <= v < float("inf"), "a number of at least 0")
        self.value = float(value)

    def weight(self, progress: float) -> float:
        """Return beta at this progress, a fraction of the run."""
        return self.value

    def __call__(self, rate: Tensor, progress: float) -> Tensor:
        """Return the weighted rate, in nats, for a mean rate (scalar, nats per image) at this progress."""
        return self.weight(progress) * rate


class Constant(BetaSchedule):
    """Constant beta. With 1, the loss is a bound on -log p(x); with another value, the model is a beta-VAE.

    Source: Higgins et al., "beta-VAE", 2017.
    """

    stationary = True


class Warmup(BetaSchedule):
    """beta increases linearly from 0 to `value` over the first `share` of the run, then stays constant.

    Source: Bowman et al., "Generating sentences from a continuous space", 2016.
    """

    def __init__(self, value: float = 1.0, share: float = 0.25) -> None:
        super().__init__(value)
        _check_option("share", share, lambda v: 0 < v <= 1, "a fraction of the run in (0, 1]")
        self.share = share

    def weight(self, progress: float) -> float:
        """Return beta at this progress, a fraction of the run."""
        return self.value * min(1.0, progress / self.share)


class Cyclical(Warmup):
    """Repeat `cycles` times: beta increases from 0 to `value` during `share` of the cycle, then stays constant.

    Source: Fu et al., "Cyclical annealing schedule", 2019 (four cycles; beta increases in the first half of each).
    """

    def __init__(self, value: float = 1.0, cycles: int = 4, share: float = 0.5) -> None:
        super().__init__(value, share)
        _check_option("cycles", cycles, lambda v: v >= 1 and v == int(v), "an integer of at least 1")
        self.cycles = cycles

    def weight(self, progress: float) -> float:
        """Return beta at this progress, a fraction of the run. The last step belongs to the last cycle."""
        return super().weight(1.0 if progress >= 1 else progress * self.cycles % 1)


class Capacity(BetaSchedule):
    """`value` * |rate - C|. The capacity C increases from 0 to `capacity` nats over the first `share` of the run.

    Source: Burgess et al., "Understanding disentangling in beta-VAE", 2018.
    """

    def __init__(self, value: float = 10.0, capacity: float = 25.0, share: float = 0.5) -> None:
        super().__init__(value)
        _check_option("capacity", capacity, lambda v: 0 <= v < float("inf"), "a finite number of nats of at least 0")
        _check_option("share", share, lambda v: 0 < v <= 1, "a fraction of the run in (0, 1]")
        self.capacity, self.share = float(capacity), share

    def __call__(self, rate: Tensor, progress: float) -> Tensor:
        """Return the weighted rate, in nats, for a mean rate (scalar, nats per image) at this progress."""
        return self.value * (rate - self.capacity * min(1.0, progress / self.share)).abs()
