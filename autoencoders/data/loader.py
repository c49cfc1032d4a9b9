"""From the uint8 store to float batches: one gather and one conversion each, where the store lives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data.transforms import Draws, NoCorruption, augment
from autoencoders.types import Batch
from autoencoders.utils import counter_rng
from autoencoders.utils.chunks import chunk_slices

CHUNK = 4096
"""Images that are read at once where a whole split is gone through, unless they are large."""

DEVICE_SHARE = 0.5
"""A split moves to the accelerator when it takes at most this share of the free memory there."""


class Rows:
    """Chosen rows of a store that is too large to copy: indexes like the tensor it stands for.

    Args:
        store: (M, C, H, W) uint8, memory-mapped.
        index: (N,) rows of it.
    """

    device = torch.device("cpu")

    def __init__(self, store: Tensor | Rows, index: Tensor) -> None:
        self.store, self.index = store, index
        self.shape = torch.Size((len(index), *store.shape[1:]))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | slice | Tensor) -> Tensor:
        rows = self.index[key]
        return self.read(rows.reshape(-1)).view(*rows.shape, *self.shape[1:])

    def read(self, rows: Tensor) -> Tensor:
        """The rows (B,) of the store."""
        return self.store.index_select(0, rows)  # copies row by row, where indexing goes pixel by pixel

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Rows (B,) of these; `dim` is 0, as there is no other."""
        return self.read(self.index[index])

    def numel(self) -> int:
        """Bytes, were it a tensor."""
        return self.shape.numel()

    def to(self, device: torch.device) -> Tensor:
        """All of them as one tensor on a device, moved a part at a time."""
        moved = torch.empty(self.shape, dtype=torch.uint8, device=device)
        for part in chunk_slices(len(self), self.shape[1:].numel(), CHUNK):
            moved[part] = self[part]
        return moved


class Drawn(Rows):
    """A store whose pixels are drawn once, white with their gray level as probability: by row, whenever it is read.

    Args:
        images: (N, C, H, W) uint8.
        seed: of the draw.
    """

    def __init__(self, images: Tensor | Rows, seed: int) -> None:
        super().__init__(images, torch.arange(len(images)))
        self.seed = seed

    def read(self, rows: Tensor) -> Tensor:
        """The rows (B,), 0 or 255."""
        return (binary(self.store[rows] / 255, self.seed, rows) * 255).to(torch.uint8)


class Split(NamedTuple):
    """Images (N, C, H, W) uint8, with int64 classes (N,), float32 attributes (N, A), or None.

    `blank` are rows of a source that hold no image, int64: a run leaves them out.
    """

    images: Tensor | Rows
    labels: Tensor | None
    blank: Tensor | None = None

    def rows(self, index: Tensor, memory: float = math.inf) -> Split:
        """The split of these rows, in this order; its images are copied while they take at most so many bytes."""
        part, labels = self.images, None if self.labels is None else self.labels[index]
        if len(index) and torch.equal(index, torch.arange(index[0], index[0] + len(index))):
            return Split(part[index[0] : index[0] + len(index)], labels)
        if part.numel() > memory:
            return Split(Rows(part, index), labels)
        return Split(part.index_select(0, index), labels)


class Batches:
    """An iterable of `Batch`: one gather by an index tensor and one conversion per batch, on the store's device.

    Training drops the last, smaller batch and, with several processes, gives each its share of every batch.
    Evaluation visits each row exactly once over all processes. The position survives a resume.

    Args:
        part: the split's images and labels.
        split: its name, a part of the noise's key.
        batch_size: images per step: over all processes in training, per process in evaluation.
        train: whether to shuffle and drop the last batch.
        seed: of order and training noise.
        binarize: see `ImageData`; static binarization has happened before.
        corruption: of the input.
        flip: mirror training images with probability 1/2.
        shift: move training images by up to this many pixels.
        rank: of this process.
        world: number of processes.
    """

    def __init__(
        self,
        part: Split,
        split: str,
        *,
        batch_size: int,
        train: bool = False,
        seed: int = 0,
        binarize: str = "none",
        corruption: Callable[[Tensor, Draws], Tensor] | None = None,
        flip: bool = False,
        shift: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.part, self.split, self.batch_size, self.train = part, split, batch_size, train
        self.seed, self.dynamic, self.rank, self.world = seed, binarize == "dynamic", rank, world
        self.corruption = corruption or NoCorruption()
        self.flip, self.shift = flip, shift
        self.epoch, self.start, self.done, self.served = 0, 0, 0, 0
        self.sampler, self.batch_sampler = self, None  # where Lightning looks for set_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        count = len(self.part.images)
        if self.train:
            return count // self.batch_size
        mine = len(range(self.rank, count, self.world))
        return -(-mine // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        device, count = self.part.images.device, len(self.part.images)
        if self.train:
            chunks = [chunk[self.rank :: self.world] for chunk in self._order().split(self.batch_size)[: len(self)]]
            chunks = list(torch.cat(chunks).to(device).split(self.batch_size // self.world)) if chunks else []
        else:
            chunks = torch.arange(self.rank, count, self.world, device=device).split(self.batch_size)
        first, self.start = self.start, 0
        for self.done, index in enumerate(chunks[first:], first + 1):
            self.served = self.done - first
            yield self.batch(index)

    def _order(self) -> Tensor:
        """The rows of an epoch of training, in the order of the epoch."""
        generator = torch.Generator().manual_seed(counter_rng.derive_seed(self.seed, "order", self.epoch))
        return torch.randperm(len(self.part.images), generator=generator)

    def training_batch(self, number: int) -> Batch:
        """A batch of the epoch again, over all processes."""
        return self.batch(self._order().split(self.batch_size)[number].to(self.part.images.device))

    def batch(self, index: Tensor) -> Batch:
        """The rows of an index tensor (B,), as floats in [0, 1]."""
        target = self.part.images.index_select(0, index).float().mul_(1 / 255)  # copies rows whole, unlike [index]
        if self.train and (self.flip or self.shift):
            target = augment(target, Draws(self._seed("augment"), index), self.flip, self.shift)
        if self.dynamic:
            target = binary(target, self._seed("binarize"), index)
        x = target
        if self.corruption.changes:
            x = self.corruption(target, self.draws(index))
        y = None if self.part.labels is None else self.part.labels[index]
        return Batch(x, target, y, index)

    def draws(self, index: Tensor) -> Draws:
        """The random numbers that corrupt these rows: where an image was covered can be asked again."""
        return Draws(self._seed("corruption"), index)

    def _seed(self, purpose: str) -> int:
        """Of numbers that are fresh in every epoch of training, and the same always in validation and test."""
        return counter_rng.derive_seed(self.seed if self.train else 0, purpose, self.split, self.epoch * self.train)

    def position(self) -> dict[str, int]:
        """The epoch and how many of its batches are done."""
        return {"done": self.done, "epoch": self.epoch}

    def go_to(self, position: dict[str, int]) -> None:
        """Continue after the batches already done."""
        self.start, self.epoch = position["done"], position["epoch"]


def binary(gray: Tensor, seed: int, index: Tensor) -> Tensor:
    """Binary images, (B, C, H, W) float32, each pixel 1 with its gray level in [0, 1] as probability."""
    return (counter_rng.uniform(seed, index, gray[0].numel()).view_as(gray) < gray).float()


def on_device(part: Split, device: torch.device) -> Split:
    """The split on the training device where it fits there, else as it is."""
    size = part.images.numel()
    if device.type == "cpu" or (device.type == "cuda" and size > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]):
        return part
    return Split(part.images.to(device), None if part.labels is None else part.labels.to(device))
