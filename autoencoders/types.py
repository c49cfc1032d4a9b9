"""Types that several subpackages use: batches, latent codes, annotations, results of applications, and errors."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    import torch
    from matplotlib.figure import Figure
    from torch import Tensor


SPLITS = ("train", "val", "test")
"""Names of the splits of a dataset."""
MAX_ROWS = 60
"""Maximum number of rows of a table that a notebook shows."""
MAX_LISTED = 20
"""Maximum number of names that a message lists."""
Shape = tuple[int, int, int]
"""(C, H, W): channels, height and width of one image."""


class UserError(Exception):
    """An error that the user can fix, such as a wrong option.

    The message states what was expected, what was given, and what to do. The commands of this package print the message
    without a traceback and exit with a non-zero status. Any other exception is a bug in this package.
    """


class PeerError(UserError):
    """Another process of the run has failed. The message names its rank and the reason."""


class FormatError(UserError):
    """A file was written in the format of another version of this package.

    All files of a run have the same format. If one file raises this error, the other files cannot be read either.
    """


class FolderInUseError(UserError):
    """The folder of a run or a sweep is in use by another process. Nothing in the folder may be written."""


class RunStopped(SystemExit):
    """Raised to end a run after a signal such as SIGTERM. The stopped run can be resumed.

    The class derives from SystemExit, so that the exception also ends the sweep that contains the run.

    Args:
        number: number of the signal. The exit status is 128 + `number`, as in shells.
        where: when the signal arrived, for the message `stopped <where>`. Example: `before training`.

    Attributes:
        reported: whether the message has been printed.
    """

    def __init__(self, number: int, where: str) -> None:
        super().__init__(128 + number)
        self.number, self.where, self.reported = number, where, False


class Batch(NamedTuple):
    """A batch of B images with their targets and labels.

    Attributes:
        x: encoder input, (B, C, H, W) float32 in [0, 1].
        target: images that the decoder should output, (B, C, H, W) float32 in [0, 1]. They are equal to `x` unless the
            encoder input is corrupted.
        y: class indices (B,) int64, or attributes (B, A) float32, or None if the data has no labels.
        index: indices of the images in the split, (B,) int64.
    """

    x: Tensor
    target: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]  # replaces tuple.index

    def to(self, device: torch.device) -> Batch:
        """Return a copy of the batch with all tensors on the given device."""
        y = None if self.y is None else self.y.to(device)
        return Batch(self.x.to(device), self.target.to(device), y, self.index.to(device))

    def select(self, rows: Tensor | slice) -> Batch:
        """Return a smaller batch with the selected images.

        Args:
            rows: a slice, or a tensor with indices into the batch.
        """
        y = None if self.y is None else self.y[rows]
        return Batch(self.x[rows], self.target[rows], y, self.index[rows])

    def chunks(self, size: int) -> list[Batch]:
        """Split the batch into consecutive smaller batches with at most `size` images each."""
        starts = range(0, len(self.x), size)
        return [self.select(slice(start, start + size)) for start in starts]


class Codes(NamedTuple):
    """Latent codes and loss terms for the N images of a split, on the CPU, in the order of the images in the split.

    Attributes:
        z: posterior means (N, Z) float32.
        y: class indices (N,) int64, or attributes (N, A) float32, or None if the data has no labels.
        index: indices of the images in the split, (N,) int64.
        distortion: -log p(target | z) in nats, (N,) float32. Each image has one sample z from its posterior, with the
            same fixed noise as in validation.
        rate: KL divergence of the posterior q(z | x) from the prior p(z) in nats, (N,) float32.
    """

    z: Tensor
    y: Tensor | None
    index: Tensor  # type: ignore[assignment]  # replaces tuple.index
    distortion: Tensor
    rate: Tensor


@dataclass(repr=False)
class ApplicationResult:
    """The result of an application. The caller of the application saves and prints the result.

    A notebook shows the tables and figures of a result.

    Attributes:
        metrics: name -> number.
        figures: name -> matplotlib figure.
        tables: name -> table. Most tables have one row per method: the model first, then its baselines.
        animations: name -> frames (T, H, W, 3) with T time steps and values in [0, 1].
        examples: name -> table with one row per image, for loggers such as W&B. A cell may be an image (C, H, W) with
            values in [0, 1].
        files: files or folders that the application has written itself, such as a file with codes.

    Example:
        >>> import pandas as pd
        >>> result = ApplicationResult({"mse": 0.01}, tables={"errors": pd.DataFrame({"method": ["vae"]})})
        >>> result
        ApplicationResult(tables: errors; metrics: 1)
    """

    metrics: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    animations: dict[str, np.ndarray] = field(default_factory=dict)
    examples: dict[str, pd.DataFrame] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def __repr__(self) -> str:
        parts: dict[str, Mapping[str, object]] = {
            "tables": self.tables,
            "figures": self.figures,
            "animations": self.animations,
        }
        texts = [f"{name}: {', '.join(values)}" for name, values in parts.items() if values]
        return f"ApplicationResult({'; '.join([*texts, f'metrics: {len(self.metrics)}'])})"

    def _repr_html_(self) -> str:
        blocks = []
        for name, table in self.tables.items():
            if len(table.columns) == 1:  # lines of text; the rows of a Markdown table repeat another table
                lines = [html.escape(str(line)) for line in table.iloc[:, 0] if not str(line).startswith("|")]
                blocks.append("".join(f"<p>{line}</p>" for line in lines))
                continue
            text = table.head(MAX_ROWS).to_html(index=False, float_format="{:.4g}".format, na_rep="n/a", border=0)
            more = f"<p>{len(table) - MAX_ROWS:,} more rows</p>" if len(table) > MAX_ROWS else ""
            blocks.append(f"<h4>{html.escape(name)}</h4>{text}{more}")
        for name, figure in self.figures.items():
            stream = io.BytesIO()
            figure.savefig(stream, format="png", dpi=100)
            data = base64.b64encode(stream.getvalue()).decode()
            title = html.escape(name)
            blocks.append(
                f'<h4>{title}</h4><img alt="{title}" style="max-width: 100%" src="data:image/png;base64,{data}">'
            )
        return "\n".join(blocks)


@dataclass
class Annotations:
    """File names, groups, attributes and classes of the N images in a split. A model need not use them.

    A field without data is None or empty.

    Attributes:
        names: N file names.
        groups: group indices (N,) int64. The images of one group show the same subject, for example the same person.
        group_names: one name per group.
        attributes: attribute values (N, A) float32, NaN if unknown.
        attribute_names: one name per attribute.
        classes: class indices (N,) int64.
        class_names: one name per class.
        factors: index of the value of each generating factor, (N, F) int64; see `Factors`.
        factor_names: one name per factor.
    """

    names: list[str] | None = None
    groups: Tensor | None = None
    group_names: tuple[str, ...] = ()
    attributes: Tensor | None = None
    attribute_names: tuple[str, ...] = ()
    classes: Tensor | None = None
    class_names: tuple[str, ...] = ()
    factors: Tensor | None = None
    factor_names: tuple[str, ...] = ()

    def rows(self, index: Tensor) -> Annotations:
        """Return the annotations of the images with the given indices (int64 tensor) in the split."""
        picked = {name: getattr(self, name) for name in ("groups", "attributes", "classes", "factors")}
        picked = {name: None if values is None else values[index] for name, values in picked.items()}
        names = None if self.names is None else [self.names[i] for i in index.tolist()]
        return Annotations(
            names, picked["groups"], self.group_names, picked["attributes"], self.attribute_names,
            picked["classes"], self.class_names, picked["factors"], self.factor_names,
        )  # fmt: skip

    def attribute(self, name: str) -> Tensor:
        """Return the values (N,) of the attribute with the given name.

        Raises:
            UserError: if the data has no attribute with this name. The message lists the first MAX_LISTED attributes.
        """
        if self.attributes is None or name not in self.attribute_names:
            known = ", ".join(self.attribute_names[:MAX_LISTED]) or "none"
            if len(self.attribute_names) > MAX_LISTED:
                known += f", ... ({len(self.attribute_names):,} in total)"
            raise UserError(f"The data has no attribute {name!r}. The attributes of the data are: {known}.")
        return self.attributes[:, self.attribute_names.index(name)]


@dataclass(frozen=True)
class Context:
    """The kind and the names of the labels that a conditional model receives as its condition.

    Attributes:
        kind: `classes` or `attributes`.
        names: names of the K classes or attributes.
    """

    kind: Literal["classes", "attributes"]
    names: tuple[str, ...]

    @property
    def size(self) -> int:
        """Size K of the vector that represents the labels of one image.

        The vector is one-hot for classes. For attributes it has one number per attribute.
        """
        return len(self.names)

    def to_dict(self) -> dict:
        """Return the context as a dictionary of strings and lists, for a checkpoint that contains no Python objects."""
        return {"kind": self.kind, "names": list(self.names)}

    @classmethod
    def from_dict(cls, plain: dict | None) -> Context | None:
        """Return the context that `to_dict` has converted to `plain`. Return None if `plain` is None."""
        return None if plain is None else cls(plain["kind"], tuple(plain["names"]))

    @classmethod
    def of(cls, context: Context | dict | None) -> Context | None:
        """Return a context that is given as an object or, in a checkpoint, as a dictionary."""
        return cls.from_dict(context) if isinstance(context, dict) else context


@dataclass(frozen=True)
class Factors:
    """The generating factors of the images of a dataset, such as the shape, the size and the position of an object.

    Attributes:
        names: names of the F factors.
        values: for each factor, the value that each index stands for: numbers, or texts such as `heart`.
        note: sentence on how the factors were obtained, for example that they were binned; empty for none.
    """

    names: tuple[str, ...]
    values: tuple[tuple[float, ...] | tuple[str, ...], ...]
    note: str = ""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each factor."""
        return tuple(len(values) for values in self.values)

    @property
    def ordered(self) -> tuple[bool, ...]:
        """Whether the values of each factor are numbers, which have an order. Texts are categories."""
        return tuple(not any(isinstance(value, str) for value in values) for values in self.values)
