"""Description of what a dataset is taken to mean, for the terminal, the run record and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoencoders.types import SPLITS

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.data.datamodule import ImageDataModule

MAX_RECORDED = 200
"""Maximum number of classes or attributes in a description. It also contains the number of all of them."""
MAX_PRINTED = 12
"""Maximum number of classes or attributes in a line of text."""


def describe_data(data: ImageDataModule) -> dict[str, Any]:
    """Return a description of a dataset after `setup`, as plain values for JSON.

    Returns:
        A dict with these entries:

        - `name`: display name of the dataset.
        - `origin`: where the images come from, such as a folder.
        - `shape`: [C, H, W] of one image.
        - `images`: split -> number of images.
        - `labels`: None, or a dict with `kind` (`classes` or `attributes`), `count` (number of classes or attributes),
          and `names` (the first `MAX_RECORDED` names, as a list). For classes, `frequencies` has one dict
          split -> number of images per name. For attributes, `ranges` has one dict per name with the smallest, mean
          and largest value in the training split: `min`, `mean`, `max`, and `binary` (whether all values are 0 and 1,
          or -1 and 1).
        - `factors`: None, or a list with one dict per generating factor: `name`, `size` (number of values), and
          `values` (the first `MAX_RECORDED` values).
        - `left_out`: reason -> number of images that were left out.
        - `duplicates`: `train` and `val` -> number of images that have an equal image in a later split.
        - `notes`: sentences on how the data were read.
    """
    duplicates = data.duplicate_counts()
    return {
        "name": data.name,
        "origin": data.origin,
        "shape": list(data.shape),
        "images": {split: len(data.images(split)) for split in SPLITS},
        "labels": _describe_labels(data),
        "factors": _describe_factors(data),
        "left_out": dict(data.left_out),
        "duplicates": duplicates,
        "notes": [*data.notes, *_duplicate_notes(duplicates)],
    }


def _describe_labels(data: ImageDataModule) -> dict[str, Any] | None:
    context, labels = data.context, data.get_split("train").labels
    if context is None or labels is None:
        return None
    names = list(context.names[:MAX_RECORDED])
    described: dict[str, Any] = {"kind": context.kind, "count": context.size, "names": names}
    if context.kind == "classes":
        counts = {split: _count_classes(data.get_split(split).labels, context.size) for split in SPLITS}
        described["frequencies"] = [{split: counts[split][i] for split in SPLITS} for i in range(len(names))]
    else:
        described["ranges"] = [_describe_values(labels[:, i]) for i in range(len(names))]
    return described


def _describe_factors(data: ImageDataModule) -> list[dict[str, Any]] | None:
    factors = data.factors
    if factors is None:
        return None
    pairs = zip(factors.names, factors.values, strict=True)
    return [{"name": name, "size": len(values), "values": list(values[:MAX_RECORDED])} for name, values in pairs]


def _count_classes(labels: Tensor | None, classes: int) -> list[int]:
    return [0] * classes if labels is None else labels.bincount(minlength=classes).tolist()


def _describe_values(values: Tensor) -> dict[str, Any]:
    distinct = set(values.unique().tolist()) if len(values) else set()
    return {
        "min": values.min().item(),
        "mean": values.double().mean().item(),
        "max": values.max().item(),
        "binary": distinct <= {0.0, 1.0} or distinct <= {-1.0, 1.0},
    }


def _duplicate_notes(duplicates: Mapping[str, int]) -> list[str]:
    notes = []
    if count := duplicates["train"]:
        notes.append(
            f"{_count(count)} of the training split {'has' if count == 1 else 'have'} an equal image in the validation "
            "or test split. data.duplicates=drop removes them from training."
        )
    if count := duplicates["val"]:
        notes.append(
            f"{_count(count)} of the validation split {'has' if count == 1 else 'have'} an equal image in the test "
            "split."
        )
    return notes


def _count(images: int) -> str:
    return f"{images:,} image{'' if images == 1 else 's'}"


def description_rows(description: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a description as pairs of a label and a line of text, for the terminal and the report."""
    shape, images = description["shape"], description["images"]
    rows = [
        ("data", f"{description['name']}: {sum(images.values()):,} images with shape {' x '.join(map(str, shape))}"),
        ("from", description["origin"]),
        ("splits", ", ".join(f"{split} {count:,}" for split, count in images.items())),
    ]
    if description["labels"] is None:
        rows.append(("labels", "none"))
    else:
        rows.append((description["labels"]["kind"], label_text(description["labels"])))
    if factors := description.get("factors"):
        rows.append(("factors", ", ".join(f"{factor['name']} ({factor['size']} values)" for factor in factors)))
    if description["left_out"]:
        texts = [f"{_count(count)} ({reason})" for reason, count in description["left_out"].items()]
        rows.append(("left out", ", ".join(texts)))
    return rows + [("note", note) for note in description["notes"]]


def label_text(labels: Mapping[str, Any]) -> str:
    """Return the classes with their numbers of images in all splits, or the attributes with their ranges, as text.

    With more than `MAX_PRINTED` names, the text contains the first names and the number of all names.
    """
    names = labels["names"][:MAX_PRINTED]
    if labels["kind"] == "classes":
        texts = [
            f"{name} ({sum(counts.values()):,})" for name, counts in zip(names, labels["frequencies"], strict=False)
        ]
    else:
        texts = [_range_text(name, values) for name, values in zip(names, labels["ranges"], strict=False)]
    more = labels["count"] - len(names)
    return ", ".join(texts) + (f", and {more:,} more" if more else "")


def _range_text(name: str, values: Mapping[str, Any]) -> str:
    if values["binary"]:
        share = (values["mean"] - values["min"]) / max(values["max"] - values["min"], 1)
        return f"{name} ({share:.0%})" if values["max"] > values["min"] else f"{name} (constant {values['max']:g})"
    return f"{name} ({values['min']:.4g} to {values['max']:.4g})"
