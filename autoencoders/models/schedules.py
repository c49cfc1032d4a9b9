"""Learning-rate schedules that torch does not have; a run's configuration names them as it names torch's."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from autoencoders.types import UserError


class Ladder(LRScheduler):
    """Rung i lasts `growth`^i times as long as the first, at the optimizer's rate times `decay`^i.

    With the defaults, eight rungs over 1 + 3 + ... + 2187 = 3280 epochs, from the optimizer's rate down to a tenth of
    it: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016. Fewer rungs are the ladder's
    beginning; a run of another length climbs the same rungs in its own time.

    Args:
        optimizer: whose rate is set.
        total_steps: optimizer steps of the run.
        rungs: how many.
        growth: of a rung's length over that before.
        decay: of the rate from one rung to the next.
        last_epoch: steps done, as torch's schedules count them; -1 at the start.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        rungs: int = 8,
        growth: int = 3,
        decay: float = 10 ** (-1 / 7),
        last_epoch: int = -1,
    ) -> None:
        for name, value in (("rungs", rungs), ("growth", growth)):
            if not isinstance(value, int) or value < 1:
                raise UserError(f"schedule.{name} must be a whole number from 1 up, and is {value}.")
        if not 0 < decay <= 1:
            raise UserError(f"schedule.decay must be a factor in (0, 1], and is {decay}.")
        self.total_steps, self.decay = total_steps, decay
        self.starts = [sum(growth**j for j in range(i)) for i in range(rungs + 1)]  # in lengths of the first rung
        super().__init__(optimizer, last_epoch)

    def rung(self, step: int) -> int:
        """The rung of this step, from 0; exact in whole numbers, so that rungs of whole epochs end with an epoch."""
        *starts, end = self.starts
        return sum(step * end >= self.total_steps * start for start in starts) - 1

    def get_lr(self) -> list[float]:
        """The rate of each group of parameters at this step."""
        factor = self.decay ** self.rung(self.last_epoch)
        return [rate * factor for rate in self.base_lrs]
