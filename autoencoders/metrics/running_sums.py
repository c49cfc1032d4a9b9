"""Running sums of metrics on the device, for exact means over all images, and metrics computed from such means."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Mark = tuple[Tensor | None, int]
"""A copy of earlier running sums (M,), or None if there were none, and the number of images at that time."""

ACTIVE_VARIANCE = 0.01
"""A latent is active if its posterior mean has a larger variance than this over the data (Burda et al., 2016)."""


class RunningSums:
    """Running sums (M,) of M metrics over images, and the number of these images.

    The sums give the exact mean over all images, for batches of any size. The mean of batch means would be wrong if
    batches differ in size. The sums of several processes can be added. Adding a batch does not wait for the device.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Remove all sums, and set the number of images to 0."""
        self._total: Tensor | None = None
        self.count = 0

    def state(self, marks: Mapping[str, Mark | None], reduce: Callable[[Tensor], Tensor]) -> dict:
        """Return the current sums and earlier copies of the sums, each added over all processes, for a checkpoint.

        Args:
            marks: name -> earlier copy of the sums, from `mark`, or None.
            reduce: function that adds a tensor over all processes.

        Returns:
            Name -> (sums (M,), number of images), or None for empty sums. The current sums have the name `now`.
        """

        def reduced(point: Mark | None) -> tuple[Tensor, int] | None:
            if point is None or point[0] is None:
                return None
            total = reduce(torch.cat([point[0], point[0].new_tensor([point[1]])])).cpu()
            return total[:-1], int(total[-1])

        return {"now": reduced((self._total, self.count)), **{name: reduced(mark) for name, mark in marks.items()}}

    def load(self, state: Mapping, first: bool, device: torch.device) -> dict[str, Mark | None]:
        """Restore the sums from a checkpoint. Return the earlier copies of the sums that the checkpoint contains.

        Args:
            state: result of `state`.
            first: whether this is the first process. All others start with sums of 0, because the saved sums are
                already added over all processes.
            device: device for the sums.
        """

        def restored(point: tuple[Tensor, int] | None) -> Mark | None:
            if point is None:
                return None
            return (point[0] if first else torch.zeros_like(point[0])).to(device), point[1] if first else 0

        self._total, self.count = restored(state["now"]) or (None, 0)
        return {name: restored(point) for name, point in state.items() if name != "now"}

    @property
    def total(self) -> Tensor | None:
        """Current sums (M,) on the device; None before the first call of `add`.

        After a value that is not finite has been added, its sum is never finite again.
        """
        return self._total

    def add(self, sums: Tensor, count: int) -> None:
        """Add the sums (M,) over the images of a batch with `count` images."""
        if self._total is None:  # float64, except on Apple GPUs, which do not support it
            self._total = torch.zeros_like(sums, dtype=torch.float32 if sums.device.type == "mps" else torch.float64)
        self._total += sums
        self.count += count

    def mark(self) -> Mark:
        """Return a copy of the current sums, so that `means` and `window` can compute means over later images only."""
        return (None if self._total is None else self._total.clone(), self.count)

    def _since(self, mark: Mark | None) -> tuple[Tensor, int]:
        before, count = mark or (None, 0)
        if self._total is None:
            return torch.zeros(0, dtype=torch.float64), 0
        return self._total if before is None else self._total - before, self.count - count

    def means(self, reduce: Callable[[Tensor], Tensor] | None = None, since: Mark | None = None) -> Tensor:
        """Return means (M,) float64 per image on the CPU, or an empty tensor if there are no images.

        Args:
            reduce: function that adds a tensor over all processes; None for the means of this process only.
            since: earlier copy of the sums, from `mark`. The means are over the images added after it. None for all
                images.
        """
        if self._total is None or self.count == (since or (None, 0))[1]:
            return torch.zeros(0, dtype=torch.float64)
        total, count = self._since(since)
        total = torch.cat([total, total.new_tensor([count])])
        total = (reduce(total) if reduce else total).cpu().double()
        return total[:-1] / total[-1]

    def window(self, since: Mark | None) -> tuple[Tensor, Mark]:
        """Return the means (M,) over the images added since `since`, and a copy of the current sums, on the device.

        Args:
            since: earlier copy of the sums, from `mark` or `window`; None for all images.
        """
        total, count = self._since(since)
        return total / count, self.mark()


def psnr(mse: float) -> float:
    """Return the peak signal-to-noise ratio -10 log10(mse) in dB, for a mean squared error of pixels in [0, 1]."""
    return math.inf if mse <= 0 else -10 * math.log10(mse)


def active_units(mean: Tensor, mean_of_squares: Tensor) -> int:
    """Return the number of latents whose posterior mean has a variance > ACTIVE_VARIANCE over the images.

    Args:
        mean: posterior means (Z,), averaged over the images.
        mean_of_squares: squared posterior means (Z,), averaged over the images.
    """
    return int((mean_of_squares - mean.square() > ACTIVE_VARIANCE).sum())
