"""Classes that store uint8 or uint16 images and build float batches from them on the device of the images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.data.image_cache import MappedFile, find_mapped_file
from autoencoders.data.transforms import Corruption, Draws, NoCorruption, augment
from autoencoders.types import Batch
from autoencoders.utils import counter_rng
from autoencoders.utils.chunks import chunk_slices
from autoencoders.utils.pixels import to_unit, white_level

CHUNK_ROWS = 4096
"""Maximum number of images per chunk when all images of a split are read. For large images, a chunk is smaller."""

DEVICE_SHARE = 0.5
"""A split is moved to a CUDA GPU only if its images need at most this fraction of the free GPU memory."""


class RowView:
    """View of selected images in a store that is too large to copy. It is indexed like a tensor (N, C, H, W).

    Args:
        store: all M images (M, C, H, W), uint8 or uint16, usually memory-mapped.
        index: indices (N,) of the selected images in the store.
    """

    device = torch.device("cpu")
    dtype: torch.dtype
    shape: torch.Size

    def __init__(self, store: Tensor | RowView, index: Tensor) -> None:
        self.store, self.index, self.dtype = store, index, store.dtype
        self.shape = torch.Size((len(index), *store.shape[1:]))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, key: int | slice | Tensor) -> Tensor:
        rows = self.index[key]
        return self.read(rows.reshape(-1)).view(*rows.shape, *self.shape[1:])

    def read(self, rows: Tensor) -> Tensor:
        """Return the images (B, C, H, W) with the indices `rows` (B,) in the store."""
        return self.store.index_select(0, rows)  # copies complete images, which is faster than store[rows]

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the images (B, C, H, W) with the given indices (B,) in this view.

        Args:
            dim: must be 0, as in `Tensor.index_select(0, index)`. The value is not used.
            index: indices (B,) of images in this view.
        """
        return self.read(self.index[index])

    def numel(self) -> int:
        """Return the number of pixel values."""
        return self.shape.numel()

    @property
    def nbytes(self) -> int:
        """Size of the images in bytes."""
        return self.numel() * self.dtype.itemsize

    def to(self, device: torch.device) -> Tensor:
        """Copy all images of the view to one tensor (N, C, H, W) on a device, chunk by chunk."""
        moved = torch.empty(self.shape, dtype=self.dtype, device=device)
        for chunk in chunk_slices(len(self), self.nbytes // max(len(self), 1), CHUNK_ROWS):
            moved[chunk] = self[chunk]
        return moved


class BinarizedView(RowView):
    """View of images that are binarized at random when they are read. An image is always binarized in the same way.

    A pixel becomes 255 with a probability equal to its gray level in [0, 1], else 0.

    Args:
        images: gray images (N, C, H, W), uint8 or uint16. The binary images are uint8.
        seed: seed of the random binarization.
    """

    def __init__(self, images: Tensor | RowView, seed: int) -> None:
        super().__init__(images, torch.arange(len(images)))
        self.seed, self.dtype = seed, torch.uint8

    def read(self, rows: Tensor) -> Tensor:
        """Return the images (B, C, H, W) uint8 with the indices `rows` (B,), with pixel values 0 or 255."""
        return (binarize_pixels(to_unit(self.store[rows]), self.seed, rows) * 255).to(torch.uint8)


class Split(NamedTuple):
    """The N images of a split with their labels.

    Attributes:
        images: images (N, C, H, W), uint8 or uint16; see `autoencoders.utils.pixels`.
        labels: class indices (N,) int64, or attributes (N, A) float32, or None if the data has no labels.
        unreadable: int64 indices of images whose files cannot be read, or None. `data.splits.select_usable` removes
            these images from the split.
    """

    images: Tensor | RowView
    labels: Tensor | None
    unreadable: Tensor | None = None

    def select(self, index: Tensor, memory: float = math.inf) -> Split:
        """Return a split with selected images in the given order.

        Args:
            index: int64 indices of the selected images.
            memory: if this split has more than `memory` bytes of images, the images are not copied. The result then
                contains a `RowView` of them.
        """
        images, labels = self.images, None if self.labels is None else self.labels[index]
        if len(index):
            first, end = int(index[0]), int(index[0]) + len(index)
            if torch.equal(index, torch.arange(first, end)):
                return Split(images[first:end], labels)
        if images.nbytes > memory:
            return Split(RowView(images, index), labels)
        return Split(images.index_select(0, index), labels)


class Batches:
    """Iterable over the batches of a split. Each batch is built on the device that stores the images.

    In training, the last batch is dropped if it is smaller than `batch_size`, and each process gets its own part of
    every batch. In evaluation, each image is processed exactly once, by one of the processes. The position in the epoch
    can be saved and restored.

    Args:
        data: images and labels of the split.
        split: name of the split. The random numbers depend on this name.
        batch_size: in training, number of images per batch of all processes together. In evaluation, number of images
            per batch of each process.
        train: True for training: shuffle the images, and drop the last batch if it is smaller than `batch_size`.
        seed: seed of the image order, augmentation, corruption and binarization in training.
        binarize: `dynamic` to binarize the images at random: again in each training epoch, but only once in validation
            and test. `none` to keep the pixel values, also if the images have already been binarized.
        corruption: corruption of the model input. It does not change the target. None for no corruption.
        flip: mirror each training image with probability 1/2.
        shift: maximum shift of a training image in each direction, in pixels.
        rank: index of this process, from 0.
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
        self._mapped_file = mapped_file_of(data.images)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch index, which determines the image order and the random numbers in training."""
        if epoch != self.epoch:
            self.done, self._first = 0, 0  # the iteration starts later, and counts are read before
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
        """Start an epoch, or continue one at the position set by `go_to`.

        Returns:
            The index of the first batch to process, and a list with one tensor for each batch of the epoch: the indices
            of the images that this process loads for the batch.
        """
        self._first, self.start = self.start, 0
        self.done = self._first
        return self._first, self._training_chunks() if self.train else self._evaluation_chunks()

    def serve(self, number: int, rows: Tensor) -> Batch:
        """Build a batch, and count it as done.

        Args:
            number: index of the batch in the epoch.
            rows: indices (B,) of the images of the batch in the split.
        """
        self.done = number + 1
        return self.batch(rows)

    @property
    def batches_served(self) -> int:
        """Number of batches of the current epoch that this process has built, without the batches before a resume."""
        return self.done - self._first

    def _training_chunks(self) -> list[Tensor]:
        """Return the image indices for each training batch of this process."""
        chunks = [chunk[self.rank :: self.world] for chunk in self._order().split(self.batch_size)[: len(self)]]
        if not chunks:
            return []
        return list(torch.cat(chunks).to(self.data.images.device).split(self.batch_size // self.world))

    def _evaluation_chunks(self) -> list[Tensor]:
        """Return the image indices for each evaluation batch of this process."""
        images = self.data.images
        own = torch.arange(self.rank, len(images), self.world, device=images.device)
        return list(own.split(self.batch_size))

    def _order(self) -> Tensor:
        """Return the image indices (N,) in the random order of the current training epoch."""
        generator = torch.Generator().manual_seed(counter_rng.derive_seed(self.seed, "order", self.epoch))
        return torch.randperm(len(self.data.images), generator=generator)

    def training_batch(self, number: int) -> Batch:
        """Build a batch of the current training epoch again, with the images of all processes.

        Args:
            number: index of the batch in the epoch.
        """
        return self.batch(self._order().split(self.batch_size)[number].to(self.data.images.device))

    def batch(self, index: Tensor) -> Batch:
        """Return a batch of the images with the given indices (B,), as floats in [0, 1]."""
        images, labels = self.data.images, self.data.labels
        if self._mapped_file is not None:
            self._mapped_file.check()
        # index_select is faster than images[index], and mul_ is faster than a division.
        target = images.index_select(0, index).float().mul_(1 / white_level(images.dtype))
        if self.train and (self.flip or self.shift):
            target = augment(target, Draws(self._derive_seed("augment"), index), self.flip, self.shift)
        if self.dynamic:
            target = binarize_pixels(target, self._derive_seed("binarize"), index)
        x = target
        if self.corruption.changes:
            x = self.corruption(target, self.draws(index))
        return Batch(x, target, None if labels is None else labels.index_select(0, index), index)

    def draws(self, index: Tensor) -> Draws:
        """Return the random numbers that corrupt the images with the given indices (B,).

        For example, a corruption that masks pixels can use these numbers again to find the masked pixels.
        """
        return Draws(self._derive_seed("corruption"), index)

    def _derive_seed(self, purpose: str) -> int:
        """Return a seed for one purpose, such as `augment`.

        In training, the seed changes with every epoch. In validation and test, the seed is constant.
        """
        return counter_rng.derive_seed(self.seed if self.train else 0, purpose, self.split, self.epoch * self.train)

    def position(self) -> dict[str, int]:
        """Return the epoch index as `epoch`, and the number of batches done in this epoch as `done`."""
        return {"done": self.done, "epoch": self.epoch}

    def go_to(self, position: dict[str, int]) -> None:
        """Start the next iteration at a saved position, after the batches that are already done.

        Args:
            position: result of the method `position`.
        """
        self.start, self.epoch = position["done"], position["epoch"]


def mapped_file_of(images: Tensor | RowView) -> MappedFile | None:
    """Return the memory-mapped file that stores the images, or None if they are in memory."""
    while isinstance(images, RowView):
        images = images.store
    return find_mapped_file(images)


def binarize_pixels(gray: Tensor, seed: int, index: Tensor) -> Tensor:
    """Return random binary images (B, C, H, W) float32. A pixel is 1 with a probability equal to its gray level.

    Args:
        gray: gray levels (B, C, H, W) in [0, 1].
        seed: seed of the random numbers.
        index: indices (B,) of the images. The same seed and index always give the same binary image.
    """
    return (counter_rng.uniform(seed, index, gray[0].numel()).view_as(gray) < gray).float()


def move_to_device(data: Split, device: torch.device) -> Split:
    """Return the split on the given device, or the unchanged split if its images need too much GPU memory.

    The limit is `DEVICE_SHARE` of the free memory of a CUDA GPU.
    """
    size = data.images.nbytes
    if device.type == "cpu" or (device.type == "cuda" and size > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]):
        return data
    return Split(data.images.to(device), None if data.labels is None else data.labels.to(device))
