"""Learning-rate schedules that torch does not provide. They have the interface of torch's schedules."""

from __future__ import annotations

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from autoencoders.utils.checks import check_at_least, require


class Ladder(LRScheduler):
    """Step schedule: the learning rate is constant in intervals, called rungs, that become longer and longer.

    Rung i = 0, 1, ... is `growth`^i times as long as rung 0. Its learning rate is the optimizer's learning rate times
    `decay`^i. The lengths are scaled so that all rungs together are as long as the run.

    The defaults are the schedule of Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016: eight
    rungs of 1, 3, ..., 2187 epochs, 3280 epochs in total. The learning rate decreases to a tenth. A schedule with fewer
    rungs has the proportions of the first rungs of that schedule.

    Args:
        optimizer: the optimizer whose learning rate is changed.
        total_steps: number of optimizer steps of the run.
        rungs: number of rungs.
        growth: length of a rung divided by the length of the previous rung.
        decay: learning rate of a rung divided by the learning rate of the previous rung.
        last_epoch: number of completed steps, as in torch's schedules; -1 at the start.

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
        require(0 < decay <= 1, "schedule.decay", decay, "a factor above 0 and at most 1")
        self.total_steps, self.decay = total_steps, decay
        # Starts of all rungs, and the end of the last rung, in units of the length of rung 0.
        self.starts = [sum(growth**j for j in range(i)) for i in range(rungs + 1)]
        super().__init__(optimizer, last_epoch)

    def rung(self, step: int) -> int:
        """Return the index of the rung, from 0, that contains this optimizer step.

        The computation uses integers, so that a rung with a length of n epochs ends exactly at the end of an epoch.
        """
        *starts, end = self.starts
        return sum(step * end >= self.total_steps * start for start in starts) - 1

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each parameter group at the current step."""
        factor = self.decay ** self.rung(self.last_epoch)
        return [lr * factor for lr in self.base_lrs]
