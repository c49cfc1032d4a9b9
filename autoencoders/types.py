"""The nouns every layer shares: what a batch is, what a condition is, and what a user's mistake is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import Tensor


Shape = tuple[int, int, int]
"""(C, H, W): channels, height and width of one image."""


class UserError(Exception):
    """Something the user asked for cannot be done.

    The message says what was expected, what came, where, and what to do. The doors print it as one
    sentence and leave with a non-zero exit; any other exception is a defect of ours.
    """


class RunStopped(SystemExit):
    """A signal ended the run, which can be resumed.

    A SystemExit, so that a sweep ends with it: whoever presses Ctrl-C does not want the next job.

    Args:
        number: of the signal; the exit status is 128 more, as shells have it.
        where: what the run had come to, for the line on the terminal.
    """

    def __init__(self, number: int, where: str) -> None:
        super().__init__(128 + number)
        self.number, self.where = number, where


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

    def parts(self, size: int) -> list[Batch]:
        """The batch in pieces of at most so many images."""
        starts = range(0, len(self.x), size)
        return [Batch(*(None if a is None else a[start : start + size] for a in self)) for start in starts]


class Codes(NamedTuple):
    """A split as a model encodes it, on the CPU, row by row.

    Attributes:
        z: (N, Z) float32 posterior means.
        y: (N,) int64 classes, (N, A) float32 attributes the model was told, or None.
        index: (N,) int64 rows in the split.
        distortion: (N,) float32 -log p(target | z), in nats, with z sampled by row as in validation.
        rate: (N,) float32 KL(q || p), in nats.
    """

    z: Tensor
    y: Tensor | None
    index: Tensor
    distortion: Tensor
    rate: Tensor


@dataclass
class ApplicationResult:
    """What an application answers; it neither saves nor shows.

    Attributes:
        metrics: name -> number, flat: what a test or a dashboard reads.
        figures: name -> matplotlib figure.
        tables: name -> table, methods in rows where there are baselines.
        animations: name -> frames (T, H, W, 3) in [0, 1].
        examples: name -> table, a row per image, whose cells may be images, (C, H, W) in [0, 1]: for dashboards.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    animations: dict[str, np.ndarray] = field(default_factory=dict)
    examples: dict[str, pd.DataFrame] = field(default_factory=dict)


@dataclass
class Annotations:
    """What is known of each image of a split, whether or not a model is told.

    Attributes:
        names: N file names, or None.
        groups: (N,) int64, such as persons, of whom a split may hold several images, or None.
        group_names: a name for each group.
        attributes: (N, A) float32, NaN where unknown, or None.
        attribute_names: A names.
        classes: (N,) int64, or None.
        class_names: a name for each class.
    """

    names: list[str] | None = None
    groups: Tensor | None = None
    group_names: tuple[str, ...] = ()
    attributes: Tensor | None = None
    attribute_names: tuple[str, ...] = ()
    classes: Tensor | None = None
    class_names: tuple[str, ...] = ()

    def rows(self, index: Tensor) -> Annotations:
        """Those of these rows."""
        picked = {name: getattr(self, name) for name in ("groups", "attributes", "classes")}
        picked = {name: None if values is None else values[index] for name, values in picked.items()}
        names = None if self.names is None else [self.names[i] for i in index.tolist()]
        return Annotations(
            names, picked["groups"], self.group_names, picked["attributes"], self.attribute_names,
            picked["classes"], self.class_names,
        )  # fmt: skip

    def attribute(self, name: str) -> Tensor:
        """(N,) values of one attribute.

        Raises:
            UserError: where there is none of that name; it lists those there are.
        """
        if name not in self.attribute_names:
            known = ", ".join(self.attribute_names) or "none"
            raise UserError(f"These data have no attribute {name!r}. They have: {known}.")
        return self.attributes[:, self.attribute_names.index(name)]


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
