"""beta(step): what a nat of rate costs. Penalties are stateless functions of the rate and the progress.

Progress is the share of the run's optimizer steps already done, in [0, 1]; nothing is counted here, so a
resumed run continues exactly, and validation uses the beta of the training step it follows.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from autoencoders.types import UserError


def _require(name: str, value: float, fits: Callable[[float], bool], expected: str) -> None:
    if not isinstance(value, (int, float)) or not fits(value):
        raise UserError(f"beta.{name} must be {expected}, and is {value}.")


class BetaSchedule:
    """What a mean rate costs at a progress; the classes below say how.

    Args:
        value: beta, or the weight of whatever is penalized.
    """

    stationary = False
    """Whether the progress plays no part, so that a run may have no end."""

    def __init__(self, value: float = 1.0) -> None:
        _require("value", value, lambda v: 0 <= v < float("inf"), "a number from 0 up")
        self.value = float(value)

    def weight(self, progress: float) -> float:
        """beta at this share of the run."""
        return self.value

    def __call__(self, rate: Tensor, progress: float) -> Tensor:
        """The penalty in nats for a mean rate (scalar, nats per image) at this progress."""
        return self.weight(progress) * rate


class Constant(BetaSchedule):
    """The same beta at every step; 1 makes the loss a bound on the log-likelihood, 4 a beta-VAE.

    Source: Higgins et al., "beta-VAE", 2017.
    """

    stationary = True


class Warmup(BetaSchedule):
    """beta rises linearly from 0 to `value` over the first `share` of the run, then stays.

    Source: Bowman et al., "Generating sentences from a continuous space", 2016.
    """

    def __init__(self, value: float = 1.0, share: float = 0.25) -> None:
        super().__init__(value)
        _require("share", share, lambda v: 0 < v <= 1, "a share of the run in (0, 1]")
        self.share = share

    def weight(self, progress: float) -> float:
        """beta at this share of the run."""
        return self.value * min(1.0, progress / self.share)


class Cyclical(Warmup):
    """`cycles` times: rise from 0 to `value` during `share` of the cycle, then hold it.

    Source: Fu et al., "Cyclical annealing schedule", 2019 (four cycles, half of each rising).
    """

    def __init__(self, value: float = 1.0, cycles: int = 4, share: float = 0.5) -> None:
        super().__init__(value, share)
        _require("cycles", cycles, lambda v: v >= 1 and v == int(v), "a whole number from 1 up")
        self.cycles = cycles

    def weight(self, progress: float) -> float:
        """beta at this share of the run; the last step belongs to the last cycle."""
        return super().weight(1.0 if progress >= 1 else progress * self.cycles % 1)


class Capacity(BetaSchedule):
    """`value` * |rate - C|, with the capacity C rising from 0 to `capacity` nats over `share` of the run.

    Source: Burgess et al., "Understanding disentangling in beta-VAE", 2018.
    """

    def __init__(self, value: float = 10.0, capacity: float = 25.0, share: float = 0.5) -> None:
        super().__init__(value)
        _require("capacity", capacity, lambda v: 0 <= v < float("inf"), "nats from 0 up")
        _require("share", share, lambda v: 0 < v <= 1, "a share of the run in (0, 1]")
        self.capacity, self.share = float(capacity), share

    def __call__(self, rate: Tensor, progress: float) -> Tensor:
        """The penalty in nats for a mean rate (scalar, nats per image) at this progress."""
        return self.value * (rate - self.capacity * min(1.0, progress / self.share)).abs()
