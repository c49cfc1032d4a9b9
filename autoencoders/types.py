"""Types that all packages share: batches, codes, annotations, results of applications, and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor


Shape = tuple[int, int, int]
"""(C, H, W): channels, height and width of one image."""


class UserError(Exception):
    """An error caused by the user, such as a wrong option.

    The message states what was expected, what was given, and what to do. Entry points print it as one sentence and exit
    with a non-zero status. Any other exception is a bug.
    """


class FormatError(UserError):
    """A file has the format of another version of this package, so that no other file of the run can be read."""


class RunStopped(SystemExit):
    """A signal ended the run, which can be resumed.

    It is a SystemExit, so that it also ends a sweep.

    Args:
        number: the signal. The exit status is 128 more, as in shells.
        where: what the run was doing, for the message.
    """

    def __init__(self, number: int, where: str) -> None:
        super().__init__(128 + number)
        self.number, self.where = number, where


class Batch(NamedTuple):
    """One batch.

    Attributes:
        x: (B, C, H, W) float32 in [0, 1]: the input of the encoder.
        target: (B, C, H, W) float32 in [0, 1]: the target of the decoder; equal to `x` unless the input is corrupted.
        y: (B,) int64 classes, (B, A) float32 attributes, or None if the data has no labels.
        index: (B,) int64: rows in the split.
    """

    x: Tensor
    target: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]  # replaces tuple.index

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        y = None if self.y is None else self.y.to(device)
        return Batch(self.x.to(device), self.target.to(device), y, self.index.to(device))

    def select(self, rows: Tensor | slice) -> Batch:
        """Return rows of the batch."""
        y = None if self.y is None else self.y[rows]
        return Batch(self.x[rows], self.target[rows], y, self.index[rows])

    def chunks(self, size: int) -> list[Batch]:
        """Return the batch in chunks of at most `size` images."""
        starts = range(0, len(self.x), size)
        return [self.select(slice(start, start + size)) for start in starts]


class Codes(NamedTuple):
    """The codes of a split, on the CPU, in the order of its rows.

    Attributes:
        z: (N, Z) float32 posterior means.
        y: (N,) int64 classes, (N, A) float32 attributes that the model is conditioned on, or None.
        index: (N,) int64 rows in the split.
        distortion: (N,) float32 -log p(target | z), in nats, with z sampled by row as in validation.
        rate: (N,) float32 KL(q || p), in nats.
    """

    z: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]  # replaces tuple.index
    distortion: Tensor
    rate: Tensor


@dataclass
class ApplicationResult:
    """The result of an application, which neither saves nor shows anything.

    Attributes:
        metrics: name -> number.
        figures: name -> matplotlib figure.
        tables: name -> table, with one row per method: the model, then its baselines.
        animations: name -> frames (T, H, W, 3) in [0, 1].
        examples: name -> table with one row per image, for dashboards. Cells may be images, (C, H, W) in [0, 1].
    """

    metrics: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    animations: dict[str, np.ndarray] = field(default_factory=dict)
    examples: dict[str, pd.DataFrame] = field(default_factory=dict)


@dataclass
class Annotations:
    """Everything known about each image of a split, whether or not a model uses it.

    Attributes:
        names: N file names, or None.
        groups: (N,) int64, for example persons with several images, or None.
        group_names: one name per group.
        attributes: (N, A) float32, NaN if unknown, or None.
        attribute_names: A names.
        classes: (N,) int64, or None.
        class_names: one name per class.
    """

    names: list[str] | None = None
    groups: Tensor | None = None
    group_names: tuple[str, ...] = ()
    attributes: Tensor | None = None
    attribute_names: tuple[str, ...] = ()
    classes: Tensor | None = None
    class_names: tuple[str, ...] = ()

    def rows(self, index: Tensor) -> Annotations:
        """Return the annotations of these rows."""
        picked = {name: getattr(self, name) for name in ("groups", "attributes", "classes")}
        picked = {name: None if values is None else values[index] for name, values in picked.items()}
        names = None if self.names is None else [self.names[i] for i in index.tolist()]
        return Annotations(
            names, picked["groups"], self.group_names, picked["attributes"], self.attribute_names,
            picked["classes"], self.class_names,
        )  # fmt: skip

    def attribute(self, name: str) -> Tensor:
        """Return the (N,) values of one attribute.

        Raises:
            UserError: if there is no attribute of this name. The message lists all attributes.
        """
        if self.attributes is None or name not in self.attribute_names:
            known = ", ".join(self.attribute_names) or "none"
            raise UserError(f"The data has no attribute {name!r}. Its attributes: {known}.")
        return self.attributes[:, self.attribute_names.index(name)]


@dataclass(frozen=True)
class Context:
    """The labels that a model is conditioned on: the names of the classes or of the attributes."""

    kind: Literal["classes", "attributes"]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Size K of the context vector of one image: one-hot for classes, one number per attribute."""
        return len(self.names)

    def to_dict(self) -> dict:
        """Return plain containers, for a checkpoint that can be loaded without executing code."""
        return {"kind": self.kind, "names": list(self.names)}

    @classmethod
    def from_dict(cls, plain: dict | None) -> Context | None:
        """Invert `to_dict`; None stays None."""
        return None if plain is None else cls(plain["kind"], tuple(plain["names"]))
