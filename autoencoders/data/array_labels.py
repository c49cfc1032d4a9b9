"""Interpret labels that are numbers, texts or arrays of numbers as classes or attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoencoders.types import Context, UserError

UNKNOWN = -1
"""Class index of an image without a label."""


@dataclass(frozen=True)
class ArrayLabels:
    """Labels of all parts of a dataset.

    Attributes:
        context: type and names of the labels, or None without labels.
        values: part -> labels of its images, or None without labels.
        notes: sentences on how the labels were understood.
    """

    context: Context | None
    values: Mapping[str, Tensor | None]
    notes: list[str] = field(default_factory=list)


def pack(labels: Sequence[Any], count: int) -> np.ndarray | None:
    """Return the labels of N images as one array of numbers or text, or None if there are no labels.

    Args:
        labels: one label per image: a number, a text, or an array or list of numbers.
        count: number of images N.

    Raises:
        UserError: if only some images have a label, or the labels have different shapes or other types.
    """
    if not labels:
        return None
    if len(labels) != count:
        raise UserError(
            f"All {count:,} images or none must have a label, got {len(labels):,} labels. Add the missing labels."
        )
    try:
        packed = np.asarray([label if isinstance(label, str) else np.asarray(label) for label in labels])
    except ValueError:  # different shapes
        packed = np.empty(0, dtype=object)
    if packed.dtype.kind not in "buifU" or packed.ndim > 2:
        raise UserError(
            f"A label must be a number, a text, or a list of numbers with the same length for all images, got "
            f"{labels[0]!r}. Return other labels, or only the image."
        )
    return packed


def interpret(
    raw: Mapping[str, np.ndarray | None], names: Sequence[str] | None = None, separate: bool = False
) -> ArrayLabels:
    """Interpret the labels of all parts of a dataset.

    Integers (N,) or (N, 1), boolean values and texts are classes. The class -1 is unknown. Decimal numbers (N,) are one
    attribute, and numbers (N, A) are A attributes.

    Args:
        raw: part -> array of labels, or None without labels.
        names: names of the classes (in the order of their indices) or attributes, or None.
        separate: whether equal class indices in two parts mean different classes.

    Raises:
        UserError: if only some parts have labels, or the labels of two parts do not match.
    """
    parts = {part: _flatten(values) for part, values in raw.items() if values is not None}
    if not parts:
        return ArrayLabels(None, dict.fromkeys(raw))
    if len(parts) < len(raw):
        missing = next(part for part in raw if part not in parts)
        raise UserError(
            f"All splits or none must have labels, but {missing} has none and {next(iter(parts))} has labels. Add the "
            "labels, or set data.labels=none if the dataset has this option."
        )
    kinds = {("U" if v.dtype.kind == "U" else "f" if v.dtype.kind == "f" else "i", v.shape[1:]) for v in parts.values()}
    if len(kinds) > 1:
        raise UserError("The labels of all splits must have the same type and shape, but they differ. Correct them.")
    kind, shape = kinds.pop()
    if shape or kind == "f":
        return _attributes(parts, names)
    return _classes(parts, names, separate)


def _flatten(values: np.ndarray) -> np.ndarray:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _attributes(parts: Mapping[str, np.ndarray], names: Sequence[str] | None) -> ArrayLabels:
    values = {part: torch.from_numpy(array.astype(np.float32).reshape(len(array), -1)) for part, array in parts.items()}
    size = next(iter(values.values())).shape[1]
    known = tuple(str(name) for name in names or ())[:size]
    if len(known) < size:
        known = ("label",) if size == 1 else tuple(f"label {i}" for i in range(size))
    notes = []
    if size > 1 and all(((v == 0) | (v == 1)).all() and (v.sum(1) == 1).all() for v in values.values()):
        notes.append(
            f"Each image has exactly one of the {size} labels. They are read as {size} attributes; class indices (N,) "
            "would be read as classes."
        )
    return ArrayLabels(Context("attributes", known), values, notes)


def _classes(parts: Mapping[str, np.ndarray], names: Sequence[str] | None, separate: bool) -> ArrayLabels:
    if separate:
        parts = {part: np.asarray([f"{part} {label}" for label in values]) for part, values in parts.items()}
        names = None
    known = sorted({label for values in parts.values() for label in np.unique(values).tolist()})
    is_text = isinstance(known[0], str)
    if not is_text:
        known = [label for label in known if label != UNKNOWN]
        if names is not None and known and known[0] >= 0 and known[-1] < len(names):
            known = list(range(len(names)))
        else:
            names = None
    if not known:
        return ArrayLabels(None, dict.fromkeys(parts), ["The images have no classes, because every label is -1."])
    number = {label: i for i, label in enumerate(known)}
    values = {
        part: torch.tensor([number.get(label, UNKNOWN) for label in array.tolist()]) for part, array in parts.items()
    }
    texts = tuple(str(names[i] if names is not None and not is_text else label) for i, label in enumerate(known))
    return ArrayLabels(Context("classes", texts), values)


def select(labels: ArrayLabels, attributes: Sequence[str] | str) -> ArrayLabels:
    """Return only the attributes that the option `data.attributes` names. Classes are not changed.

    Raises:
        UserError: if a name is not an attribute. The message lists all attributes.
    """
    if attributes == "all" or labels.context is None:
        return labels
    if labels.context.kind == "classes":
        raise UserError(
            f"data.attributes must be `all` for images with classes, got {list(attributes)}. Remove data.attributes."
        )
    known = labels.context.names
    unknown = [name for name in attributes if name not in known]
    if unknown:
        raise UserError(
            f"data.attributes must contain only attributes of the images, got {unknown[0]!r}. Choose from: "
            f"{', '.join(known)}."
        )
    if not attributes:
        return replace(labels, context=None, values=dict.fromkeys(labels.values))
    columns = [known.index(name) for name in attributes]
    values = {part: None if array is None else array[:, columns] for part, array in labels.values.items()}
    return replace(labels, context=Context("attributes", tuple(attributes)), values=values)
