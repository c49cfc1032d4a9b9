"""Digests of the images and labels of a dataset, to check that a trained run is applied to the data of its training.

An identity is a dict of plain values, so that it can be saved in checkpoints:

sampled   whether the digests are computed from a sample of the images
count     split -> number of images
images    split -> SHA-256 digest of the images
labels    split -> SHA-256 digest of the labels, without the entry if there are no labels
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from autoencoders.data.loader import CHUNK_ROWS, RowView
from autoencoders.types import SPLITS
from autoencoders.utils.chunks import chunk_slices

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule

SAMPLE = 256
"""Number of images per split whose pixels a sampled digest contains."""


def identify(data: ImageDataModule, sampled: bool) -> dict[str, Any]:
    """Return the identity of the data, as described at the top of this module.

    Args:
        data: data module, after `setup`.
        sampled: compute the digests of the images from the number and shape of the images, their names, and the pixels
            of `SAMPLE` evenly spaced images, instead of from all pixels.
    """
    labels = {split: data.get_split(split).labels for split in SPLITS}
    names = data.context.names if data.context is not None else ()
    return {
        "sampled": sampled,
        "count": {split: len(data.images(split)) for split in SPLITS},
        "images": {
            split: sample_digest(data.images(split), data.annotations(split).names)
            if sampled
            else pixel_digest(data.images(split))
            for split in SPLITS
        },
        "labels": {split: label_digest(values, names) for split, values in labels.items() if values is not None},
    }


def pixel_digest(images: Tensor | RowView) -> str:
    """Return the SHA-256 digest, in hexadecimal, of the pixels of uint8 images (N, C, H, W)."""
    digest = hashlib.sha256()
    for chunk in chunk_slices(len(images), math.prod(images.shape[1:]), CHUNK_ROWS):
        digest.update(images[chunk].contiguous().numpy().data)
    return digest.hexdigest()


def sample_digest(images: Tensor | RowView, names: list[str] | None) -> str:
    """Return the SHA-256 digest of the shape of the images, of their names, and of the pixels of `SAMPLE` images."""
    digest = hashlib.sha256(json.dumps([list(images.shape), names]).encode())
    rows = torch.linspace(0, len(images) - 1, min(SAMPLE, len(images)), dtype=torch.float64).long()
    digest.update(images.index_select(0, rows).contiguous().numpy().data)
    return digest.hexdigest()


def label_digest(labels: Tensor, names: tuple[str, ...]) -> str:
    """Return the SHA-256 digest of labels, (N,) int64 or (N, A) float32, and of the names of the labels."""
    digest = hashlib.sha256(json.dumps([list(labels.shape), names]).encode())
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()


def join_digests(digests: Mapping[str, str]) -> str:
    """Return one SHA-256 digest of the digests of all splits."""
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def describe_difference(saved: Mapping[str, Any], current: Mapping[str, Any]) -> str | None:
    """Return what differs between the data of a trained run and the present data, or None if they are equal.

    Args:
        saved: identity of the data in training.
        current: identity of the present data, with the same value of `sampled`.
    """
    counts = [
        f"{split} has {current['count'][split]:,} images instead of {saved['count'][split]:,}"
        for split in SPLITS
        if current["count"][split] != saved["count"][split]
    ]
    if counts:
        return ", ".join(counts)
    for kind in ("images", "labels"):
        for split in SPLITS:
            if current[kind].get(split) != saved[kind].get(split):
                return f"the {kind} of the {split} split differ"
    return None
