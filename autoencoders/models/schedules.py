"""Learning-rate schedules that torch does not have. The config names them in the same way as torch's."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from autoencoders.utils.checks import check_at_least, require


class Ladder(LRScheduler):
    """Step schedule with intervals of growing length, called rungs.

    Rung i is `growth`^i times as long as the first, with the optimizer's learning rate times `decay`^i. The defaults
    are eight rungs over 1 + 3 + ... + 2187 = 3280 epochs, from the optimizer's learning rate to a tenth of it: Burda,
    Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016. With fewer rungs, the schedule is the beginning
    of the longer one. The rungs are scaled to the length of the run.

    Args:
        optimizer: the optimizer whose learning rate is set.
        total_steps: optimizer steps of the run.
        rungs: number of rungs.
        growth: ratio of the lengths of a rung and of the rung before it.
        decay: ratio of the learning rates of a rung and of the rung before it.
        last_epoch: number of steps done, as in torch's schedules; -1 at the start.

    Raises:
        UserError: if an option is out of range.
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
            check_at_least(f"schedule.{name}", value, 1)
        require(0 < decay <= 1, "schedule.decay", decay, "a factor in (0, 1]")
        self.total_steps, self.decay = total_steps, decay
        self.starts = [sum(growth**j for j in range(i)) for i in range(rungs + 1)]  # unit: length of rung 0
        super().__init__(optimizer, last_epoch)

    def rung(self, step: int) -> int:
        """Return the rung of this step, from 0.

        It is computed with integers, so that a rung of n epochs ends exactly at the end of an epoch.
        """
        *starts, end = self.starts
        return sum(step * end >= self.total_steps * start for start in starts) - 1

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each parameter group at this step."""
        factor = self.decay ** self.rung(self.last_epoch)
        return [rate * factor for rate in self.base_lrs]
