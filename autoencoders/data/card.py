"""Numbers of a data card: brightness, class counts, attribute correlations, and sizes and formats of image files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from autoencoders.types import SPLITS, Annotations

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule

MEASURED = 2000
"""Maximum number of images per split whose brightness is measured, and of files whose headers are read."""


@dataclass
class DataCard:
    """Numbers that describe a dataset.

    Attributes:
        brightness: split -> mean pixel value in [0, 1] of each measured image (N,).
        class_names: names of the K classes; empty without classes.
        class_counts: split -> number of images per class (K,).
        attribute_names: names of the A attributes; empty without attributes.
        correlations: (A, A) Pearson correlations over the training images; NaN for constant attributes.
        examples: evenly spaced training images (N, C, H, W) in [0, 1].
    """

    brightness: dict[str, Tensor]
    class_names: tuple[str, ...]
    class_counts: dict[str, Tensor]
    attribute_names: tuple[str, ...]
    correlations: Tensor
    examples: Tensor


def measure_data(data: ImageDataModule, examples: int = 10) -> DataCard:
    """Return the data card of a dataset after `setup`.

    Args:
        data: the dataset.
        examples: number of example images.
    """
    known = {split: data.annotations(split) for split in SPLITS}
    counts = {}
    for split, labels in known.items():
        if labels.classes is not None:
            counts[split] = labels.classes.bincount(minlength=len(labels.class_names))
    brightness = {split: _evaluation_images(data, split, MEASURED).flatten(1).mean(1) for split in SPLITS}
    train = known["train"]
    return DataCard(
        brightness, train.class_names if counts else (), counts, *_correlate(train),
        _evaluation_images(data, "train", examples),
    )  # fmt: skip


def card_figure_arguments(data: ImageDataModule, card: DataCard) -> dict[str, Any]:
    """Return the arguments of `figures.data_card.data_card` for a dataset and its data card."""
    return {
        "examples": card.examples.numpy(),
        "brightness": {split: values.numpy() for split, values in card.brightness.items()},
        "classes": {split: counts.numpy() for split, counts in card.class_counts.items()},
        "names": card.class_names or card.attribute_names,
        "correlations": card.correlations.numpy(),
        "title": f"{data.name}: {' + '.join(f'{len(data.images(split)):,} {split}' for split in SPLITS)} images",
        "caption": f"shape {' x '.join(map(str, data.shape))}, from {data.origin}",
    }


def _evaluation_images(data: ImageDataModule, split: str, count: int) -> Tensor:
    """Return at most `count` evenly spaced target images of a split, (N, C, H, W) in [0, 1]."""
    total = len(data.images(split))
    rows = torch.linspace(0, total - 1, min(count, total)).round().long()
    return torch.cat([data.evaluation_batches(split).batch(part).target for part in rows.split(256)])


def _correlate(annotations: Annotations) -> tuple[tuple[str, ...], Tensor]:
    """Return the names of the attributes and their Pearson correlations (A, A), without images of unknown values."""
    if annotations.attributes is None:
        return (), torch.zeros(0, 0)
    values = annotations.attributes.double()
    values = values[values.isfinite().all(1)]
    if len(values) < 2:
        return annotations.attribute_names, torch.full((values.shape[1], values.shape[1]), torch.nan)
    return annotations.attribute_names, torch.atleast_2d(torch.corrcoef(values.T))


def describe_files(files: Sequence[Path]) -> dict[str, str]:
    """Return the formats and the sizes in pixels of image files as text, from the headers of at most MEASURED files."""
    from PIL import Image

    formats: Counter[str] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    step = max(1, -(-len(files) // MEASURED))
    for file in files[::step]:
        try:
            with Image.open(file) as image:
                formats[str(image.format)] += 1
                sizes[image.size] += 1
        except OSError:
            formats["unreadable"] += 1
    if not sizes:
        return {}
    (common, count), smallest, largest = sizes.most_common(1)[0], min(sizes), max(sizes)
    text = f"{common[0]} x {common[1]} ({count:,} of {sum(sizes.values()):,} files)"
    if len(sizes) > 1:
        text += f", from {smallest[0]} x {smallest[1]} to {largest[0]} x {largest[1]}"
    return {"formats": ", ".join(f"{name} {n:,}" for name, n in formats.most_common()), "sizes": text}
