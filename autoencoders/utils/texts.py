"""Short texts about many names, such as the classes of a dataset."""

from __future__ import annotations

from collections.abc import Sequence

MAX_CLASSES = 20
"""Maximum number of classes or attributes that a figure shows, or that a message lists."""
MAX_SCALARS = 100
"""Maximum number of rows of a table, such as classes, whose values are logged as one metric each."""


def display_name(name: str) -> str:
    """Return the name of a model as in titles, such as `SUPERVISED AE` for `supervised_ae`."""
    return name.replace("_", " ").upper()


def shown_labels(count: int) -> list[int]:
    """Return the indices of the classes that a figure shows: all, or MAX_CLASSES evenly spaced ones."""
    if count <= MAX_CLASSES:
        return list(range(count))
    return [round(i * (count - 1) / (MAX_CLASSES - 1)) for i in range(MAX_CLASSES)]


def describe_shown(count: int, what: str = "classes") -> str:
    """Return a text such as `20 of 1,500 classes` if a figure does not show all classes, else an empty text."""
    return f"{MAX_CLASSES} of {count:,} {what}" if count > MAX_CLASSES else ""


def list_names(names: Sequence[object]) -> str:
    """Return names as a comma-separated list, or `none`. Of many names, the first ones and their number are listed."""
    listed = ", ".join(map(str, names[:MAX_CLASSES])) or "none"
    return listed if len(names) <= MAX_CLASSES else f"{listed}, ... ({len(names):,} in total)"
