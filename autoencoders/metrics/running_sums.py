"""Running sums over images on the device, which give exact means for any split and batch size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Mark = tuple[Tensor | None, int]

ACTIVE_VARIANCE = 0.01
"""A latent is active if the variance of its posterior mean over the data exceeds this value (Burda et al., 2016)."""


class RunningSums:
    """A vector of sums and the number of images. Adding does not wait for the device.

    A mean of batch means is wrong if batches differ in size. Sums are exact, and can be added over processes.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Clear all sums."""
        self._total: Tensor | None = None
        self.count = 0

    def state(self, marks: Mapping[str, Mark | None], reduce: Callable[[Tensor], Tensor]) -> dict:
        """Return sums and marks of all processes as plain containers; `reduce` sums over processes."""

        def reduced(point: Mark | None) -> tuple[Tensor, int] | None:
            if point is None or point[0] is None:
                return None
            total = reduce(torch.cat([point[0], point[0].new_tensor([point[1]])])).cpu()
            return total[:-1], int(total[-1])

        return {"now": reduced((self._total, self.count)), **{name: reduced(mark) for name, mark in marks.items()}}

    def load(self, state: Mapping, first: bool, device: torch.device) -> dict[str, Mark | None]:
        """Restore the sums of a checkpoint on the `first` process, and return the marks."""

        def restored(point: tuple[Tensor, int] | None) -> Mark | None:
            if point is None:
                return None
            return (point[0] if first else torch.zeros_like(point[0])).to(device), point[1] if first else 0

        self._total, self.count = restored(state["now"]) or (None, 0)
        return {name: restored(point) for name, point in state.items() if name != "now"}

    @property
    def total(self) -> Tensor | None:
        """(M,) sums so far, on the device; None before the first addition. A sum that is not finite stays so."""
        return self._total

    def add(self, sums: Tensor, count: int) -> None:
        """Add (M,) sums over `count` images."""
        if self._total is None:  # float64, which Apple's GPUs do not support
            self._total = torch.zeros_like(sums, dtype=torch.float32 if sums.device.type == "mps" else torch.float64)
        self._total += sums
        self.count += count

    def mark(self) -> Mark:
        """Return the current state, from which `means` and `window` can count."""
        return (None if self._total is None else self._total.clone(), self.count)

    def _since(self, mark: Mark | None) -> tuple[Tensor, int]:
        before, count = mark or (None, 0)
        if self._total is None:
            return torch.zeros(0, dtype=torch.float64), 0
        return self._total if before is None else self._total - before, self.count - count

    def means(self, reduce: Callable[[Tensor], Tensor] | None = None, since: Mark | None = None) -> Tensor:
        """Return (M,) float64 means per image on the CPU; `reduce` sums a vector over processes.

        Without additions the vector is empty.
        """
        if self._total is None or self.count == (since or (None, 0))[1]:
            return torch.zeros(0, dtype=torch.float64)
        total, count = self._since(since)
        total = torch.cat([total, total.new_tensor([count])])
        total = (reduce(total) if reduce else total).cpu().double()
        return total[:-1] / total[-1]

    def window(self, since: Mark | None) -> tuple[Tensor, Mark]:
        """Return (M,) means since a mark, and a new mark, all on the device."""
        total, count = self._since(since)
        return total / count, self.mark()


def psnr(mse: float) -> float:
    """Return the peak signal-to-noise ratio in dB for a mean squared error of images in [0, 1]: -10 log10(mse)."""
    return math.inf if mse <= 0 else -10 * math.log10(mse)


def active_units(mean: Tensor, mean_of_squares: Tensor) -> int:
    """Return the number of latents whose posterior mean has a variance above ACTIVE_VARIANCE over the data.

    Args:
        mean: (Z,) average of the posterior means over images.
        mean_of_squares: (Z,) average of their squares.
    """
    return int((mean_of_squares - mean.square() > ACTIVE_VARIANCE).sum())
