"""Serve float batches from uint8 images: one gather and one conversion per batch, on the device of the images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data.transforms import Corruption, Draws, NoCorruption, augment
from autoencoders.types import Batch
from autoencoders.utils import counter_rng
from autoencoders.utils.chunks import chunk_slices

CHUNK_ROWS = 4096
"""Maximum number of images per chunk when a complete split is read; fewer if the images are large."""

DEVICE_SHARE = 0.5
"""A split moves to the accelerator if it takes at most this share of the free memory there."""


class RowView:
    """Selected rows of a store that is too large to copy. It is indexed like a uint8 tensor (N, C, H, W).

    Args:
        store: (M, C, H, W) uint8, memory-mapped.
        index: (N,) rows of the store.
    """

    device = torch.device("cpu")
    shape: torch.Size

    def __init__(self, store: Tensor | RowView, index: Tensor) -> None:
        self.store, self.index = store, index
        self.shape = torch.Size((len(index), *store.shape[1:]))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | slice | Tensor) -> Tensor:
        rows = self.index[key]
        return self.read(rows.reshape(-1)).view(*rows.shape, *self.shape[1:])

    def read(self, rows: Tensor) -> Tensor:
        """Return the rows (B,) of the store."""
        return self.store.index_select(0, rows)  # copies complete rows, which is faster than store[rows]

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows (B,) of this view. `dim` must be 0, as in `Tensor.index_select(0, index)`."""
        return self.read(self.index[index])

    def numel(self) -> int:
        """Return the number of elements, which is the size in bytes."""
        return self.shape.numel()

    def to(self, device: torch.device) -> Tensor:
        """Copy all rows to one tensor on a device, chunk by chunk."""
        moved = torch.empty(self.shape, dtype=torch.uint8, device=device)
        for chunk in chunk_slices(len(self), self.shape[1:].numel(), CHUNK_ROWS):
            moved[chunk] = self[chunk]
        return moved


class BinarizedView(RowView):
    """A store that is binarized when it is read. Each row is always drawn the same.

    A pixel is 255 with its gray level as probability, else 0.

    Args:
        images: (N, C, H, W) uint8.
        seed: seed of the draw.
    """

    def __init__(self, images: Tensor | RowView, seed: int) -> None:
        super().__init__(images, torch.arange(len(images)))
        self.seed = seed

    def read(self, rows: Tensor) -> Tensor:
        """Return the rows (B,), with pixels of 0 or 255."""
        return (binarize_pixels(self.store[rows] / 255, self.seed, rows) * 255).to(torch.uint8)


class Split(NamedTuple):
    """Images with their labels.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64 classes, (N, A) float32 attributes, or None.
        unreadable: int64 rows without an image, or None. `data.splits.select_usable` removes them.
    """

    images: Tensor | RowView
    labels: Tensor | None
    unreadable: Tensor | None = None

    def select(self, index: Tensor, memory: float = math.inf) -> Split:
        """Return the split of these rows, in this order. Images of more than `memory` bytes are not copied."""
        images, labels = self.images, None if self.labels is None else self.labels[index]
        if len(index):
            first, end = int(index[0]), int(index[0]) + len(index)
            if torch.equal(index, torch.arange(first, end)):
                return Split(images[first:end], labels)
        if images.numel() > memory:
            return Split(RowView(images, index), labels)
        return Split(images.index_select(0, index), labels)


class Batches:
    """An iterable of `Batch`, built by one gather and one conversion per batch on the device of the images.

    In training, the last batch is dropped if it is smaller than the others, and each of several processes gets its part
    of every batch. In evaluation, each image is visited exactly once by one of the processes. The position in the epoch
    can be saved and restored.

    Args:
        data: images and labels.
        split: name of the split. The random numbers depend on it.
        batch_size: images per step: over all processes in training, per process in evaluation.
        train: shuffle the rows and drop the last batch.
        seed: seed of the order, augmentation, corruption and binarization in training.
        binarize: see `ImageDataModule`. Images that are binarized statically are passed with `none`.
        corruption: applied to the input only.
        flip: mirror training images with probability 1/2.
        shift: move training images by up to this many pixels in each direction.
        rank: number of this process.
        world: number of processes.
    """

    def __init__(
        self,
        data: Split,
        split: str,
        *,
        batch_size: int,
        train: bool = False,
        seed: int = 0,
        binarize: str = "none",
        corruption: Corruption | None = None,
        flip: bool = False,
        shift: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.data, self.split, self.batch_size, self.train = data, split, batch_size, train
        self.seed, self.dynamic, self.rank, self.world = seed, binarize == "dynamic", rank, world
        self.corruption: Corruption = corruption or NoCorruption()
        self.flip, self.shift = flip, shift
        self.epoch, self.start, self.done, self._first = 0, 0, 0, 0
        self.sampler, self.batch_sampler = self, None  # Lightning calls `set_epoch` on these attributes

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that determines the order of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        count = len(self.data.images)
        if self.train:
            return count // self.batch_size
        own = len(range(self.rank, count, self.world))
        return -(-own // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        first, chunks = self.start_epoch()
        for number in range(first, len(chunks)):
            yield self.serve(number, chunks[number])

    def start_epoch(self) -> tuple[int, list[Tensor]]:
        """Start an epoch. Return the index of its first batch, and the rows of all batches of this process."""
        self._first, self.start = self.start, 0
        self.done = self._first
        return self._first, self._training_chunks() if self.train else self._evaluation_chunks()

    def serve(self, number: int, rows: Tensor) -> Batch:
        """Build the batch with this index in the epoch from its rows (B,), and count it as done."""
        self.done = number + 1
        return self.batch(rows)

    @property
    def batches_served(self) -> int:
        """Number of batches of this epoch so far, since this process started."""
        return self.done - self._first

    def _training_chunks(self) -> list[Tensor]:
        """Return the rows of each batch of this process in training."""
        chunks = [chunk[self.rank :: self.world] for chunk in self._order().split(self.batch_size)[: len(self)]]
        if not chunks:
            return []
        return list(torch.cat(chunks).to(self.data.images.device).split(self.batch_size // self.world))

    def _evaluation_chunks(self) -> list[Tensor]:
        """Return the rows of each batch of this process in evaluation."""
        images = self.data.images
        own = torch.arange(self.rank, len(images), self.world, device=images.device)
        return list(own.split(self.batch_size))

    def _order(self) -> Tensor:
        """Return the rows of the training epoch in its order."""
        generator = torch.Generator().manual_seed(counter_rng.derive_seed(self.seed, "order", self.epoch))
        return torch.randperm(len(self.data.images), generator=generator)

    def training_batch(self, number: int) -> Batch:
        """Rebuild a batch of the current epoch, over all processes."""
        return self.batch(self._order().split(self.batch_size)[number].to(self.data.images.device))

    def batch(self, index: Tensor) -> Batch:
        """Return the rows (B,) as floats in [0, 1]."""
        images, labels = self.data.images, self.data.labels
        target = images.index_select(0, index).float().mul_(1 / 255)  # copies complete rows, unlike images[index]
        if self.train and (self.flip or self.shift):
            target = augment(target, Draws(self._derive_seed("augment"), index), self.flip, self.shift)
        if self.dynamic:
            target = binarize_pixels(target, self._derive_seed("binarize"), index)
        x = target
        if self.corruption.changes:
            x = self.corruption(target, self.draws(index))
        return Batch(x, target, None if labels is None else labels[index], index)

    def draws(self, index: Tensor) -> Draws:
        """Return the random numbers that corrupt these rows, for example to find out which pixels were covered."""
        return Draws(self._derive_seed("corruption"), index)

    def _derive_seed(self, purpose: str) -> int:
        """Return a seed that changes with every epoch of training and is constant in validation and test."""
        return counter_rng.derive_seed(self.seed if self.train else 0, purpose, self.split, self.epoch * self.train)

    def position(self) -> dict[str, int]:
        """Return the epoch and the number of its batches that are done."""
        return {"done": self.done, "epoch": self.epoch}

    def go_to(self, position: dict[str, int]) -> None:
        """Start the next iteration after the batches that are already done."""
        self.start, self.epoch = position["done"], position["epoch"]


def binarize_pixels(gray: Tensor, seed: int, index: Tensor) -> Tensor:
    """Return binary images, (B, C, H, W) float32: each pixel is 1 with its gray level in [0, 1] as probability."""
    return (counter_rng.uniform(seed, index, gray[0].numel()).view_as(gray) < gray).float()


def move_to_device(data: Split, device: torch.device) -> Split:
    """Move a split to the training device if it fits there (see `DEVICE_SHARE`), else return it unchanged."""
    size = data.images.numel()
    if device.type == "cpu" or (device.type == "cuda" and size > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]):
        return data
    return Split(data.images.to(device), None if data.labels is None else data.labels.to(device))
