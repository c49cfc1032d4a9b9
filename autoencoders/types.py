"""The nouns every layer shares: what a batch is, what a condition is, and what a user's mistake is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, int, int]
"""(C, H, W): channels, height and width of one image."""


class UserError(Exception):
    """Something the user asked for cannot be done.

    The message says what was expected, what came, where, and what to do. The doors print it as one
    sentence and leave with a non-zero exit; any other exception is a defect of ours.
    """


class Batch(NamedTuple):
    """What one step sees.

    Attributes:
        x: (B, C, H, W) float32 in [0, 1]: what the encoder sees.
        target: (B, C, H, W) float32 in [0, 1]: what the decoder must explain; `x` itself unless the input
            was corrupted.
        y: (B,) int64 classes, (B, A) float32 attributes, or None where the data has neither.
        index: (B,) int64: the row in the split.
    """

    x: Tensor
    target: Tensor
    y: Tensor | None
    index: Tensor


@dataclass(frozen=True)
class Context:
    """What labels mean: the names of the classes, or of the attributes, that a CVAE is conditioned on."""

    kind: Literal["classes", "attributes"]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """K, the length of the vector that encodes one label: one-hot for classes, one number an attribute."""
        return len(self.names)

    def to_dict(self) -> dict:
        """Plain containers, for a checkpoint that loads without executing code."""
        return {"kind": self.kind, "names": list(self.names)}

    @classmethod
    def from_dict(cls, plain: dict | None) -> Context | None:
        """The inverse of `to_dict`; None stays None."""
        return None if plain is None else cls(plain["kind"], tuple(plain["names"]))
