"""One base for every dataset: splits, the uint8 store, batches on the training device."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor

from autoencoders.data.image_io import read_all, read_picture
from autoencoders.data.loader import CHUNK, Batches, Drawn, Rows, Split, on_device
from autoencoders.data.transforms import Draws, NoCorruption
from autoencoders.types import Annotations, Batch, Context, Shape, UserError
from autoencoders.utils import counter_rng
from autoencoders.utils.chunks import chunk_slices

BINARIZE, SPLITS = ("none", "static", "dynamic"), ("random", "alphabetical")


class Source(NamedTuple):
    """What a dataset declares: its images, its official test images if it has such, and what labels mean."""

    train: Split
    test: Split | None
    context: Context | None


class ImageDataModule(pl.LightningDataModule):
    """Splits held as uint8 tensors and served as float batches; no per-image Python, no worker processes.

    A dataset overrides `read`, and `prepare_data` where it downloads.

    Args:
        name: what figures and tables call these data.
        root: folder that holds the downloads; None for the environment variable AUTOENCODERS_DATA, else the
            user's cache folder.
        batch_size: images per optimizer step, over all processes together.
        eval_batch_size: images per validation or test step and process.
        validation: images cut from training for validation: a count, or a share below 1.
        test: the same for testing; used where there is no official test split.
        split_seed: of the cut and of static binarization: the same for every run that is to be compared.
        seed: of the order of training batches and of dynamic binarization.
        split: how training images are cut where there is no official split: `random`, or `alphabetical`, the
            first for training, then validation, then test, in the order of the source.
        corruption: what happens to inputs, never to targets; see `autoencoders.data.transforms`.
        flip: mirror training images with probability 1/2.
        shift: move training images by up to this many pixels each way.
        memory: a store of more bytes stays on disk where it is memory-mapped.
        exclude: names of classes that training and validation leave out and testing keeps: novelties to detect.
        binarize: `none`; `static`: one fixed draw, each pixel 1 with its gray level as probability;
            `dynamic`: a fresh draw at every visit in training, fixed by row in validation and test.

    Attributes:
        notes: what a run's record must say of these data beside its configuration.
    """

    def __init__(
        self,
        *,
        name: str,
        root: str | None = None,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        validation: float = 0.1,
        test: float = 0.2,
        split: str = "random",
        split_seed: int = 0,
        seed: int = 0,
        binarize: str = "none",
        corruption: Callable[[Tensor, Draws], Tensor] | None = None,
        flip: bool = False,
        shift: int = 0,
        memory: float = 2e9,
        exclude: Sequence[str | int] = (),
    ) -> None:
        super().__init__()
        if binarize not in BINARIZE:
            raise UserError(f"data.binarize must be one of {list(BINARIZE)}, and is {binarize!r}.")
        if split not in SPLITS:
            raise UserError(f"data.split must be one of {list(SPLITS)}, and is {split!r}.")
        if shift < 0:
            raise UserError(f"data.shift must be a number of pixels from 0 up, and is {shift}.")
        if memory < 0:
            raise UserError(f"data.memory must be a number of bytes from 0 up, and is {memory}.")
        for field, value in (("validation", validation), ("test", test)):
            if not 0 < value < math.inf or (value > 1 and value != int(value)):
                raise UserError(f"data.{field} must be a share in (0, 1) or a whole number of images, and is {value}.")
        for field, value in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if value < 1:
                raise UserError(f"data.{field} must be a number of images from 1 up, and is {value}.")
        self.name, self.root = name, data_root(root)
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.validation, self.test = validation, test
        self.split, self.split_seed, self.seed, self.memory = split, split_seed, seed, memory
        self.exclude = tuple(map(str, exclude))
        self.views = {"binarize": binarize, "corruption": corruption or NoCorruption()}
        self.training_views = {"flip": flip, "shift": shift}
        self._splits: dict[str, Split] = {}
        self._rows: dict[str, Tensor] = {}
        self._source: Source | None = None
        self._annotations: dict[bool, Annotations] = {}
        self._context: Context | None = None
        self._baselines: dict[str, float] = {}
        self._mean: Tensor | None = None
        self.notes: list[str] = []
        self._training: Batches | None = None
        self._position: dict[str, int] | None = None

    @property
    def tells(self) -> bool:
        """Whether labels come with the images, as far as is known before these are read."""
        return True

    def move(self, root: str) -> None:
        """Look for the downloads in another folder: a run opened on another machine."""
        self.root = data_root(root)

    def read(self) -> Source:
        """The images and labels of this dataset, from files that `prepare_data` left in place."""
        raise NotImplementedError

    def annotate(self, test: bool) -> Annotations:
        """What is known of every image of the source, in its order, or of its official test images."""
        part = self._source.test if test else self._source.train
        context = self._source.context
        if context is None:
            return Annotations()
        if context.kind == "classes":
            return Annotations(classes=part.labels, class_names=context.names)
        return Annotations(attributes=part.labels, attribute_names=context.names)

    def read_pictures(self, files: Sequence[Path]) -> Tensor:
        """Somebody's own pictures, prepared like these data: (N, C, H, W) uint8."""
        channels, *size = self.shape
        return torch.from_numpy(read_all(files, lambda f: read_picture(f, tuple(size), color=channels == 3)))

    # What the data report once prepared -----------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Read, cut and binarize, once."""
        if self._splits:
            return
        source = self.read()
        train, test = source.train, source.test
        cuts = self._cuts(len(train.images), test is not None)
        if test is not None:
            cuts["test"] = torch.arange(len(test.images))
        sources = {name: test if name == "test" and test is not None else train for name in cuts}
        cuts = {name: rows[usable(sources[name], rows)] for name, rows in cuts.items()}
        self._rows = self._without_excluded(cuts, source)
        splits = {name: sources[name].rows(rows, self.memory) for name, rows in self._rows.items()}
        if self.views["binarize"] == "static":
            splits = {k: Split(self._draw_once(k, v.images), v.labels) for k, v in splits.items()}
        if self.batch_size > len(splits["train"].images):
            raise UserError(
                f"data.batch_size is {self.batch_size}, and data={self.name} has {len(splits['train'].images)} "
                "training images. Lower it."
            )
        if self.training_views["shift"] >= (side := min(splits["train"].images.shape[2:])):
            raise UserError(
                f"data.shift must be less than the {side} pixels of a side, and is {self.training_views['shift']}."
            )
        # Labels alone: the source's images may be a second copy of the splits'.
        keep = [None if part is None else Split(None, part.labels) for part in (train, test)]
        self._splits, self._context, self._source = splits, source.context, Source(*keep, source.context)

    def _cuts(self, total: int, official_test: bool) -> dict[str, Tensor]:
        """The rows of each split, sorted: a memory-mapped store is then read in order."""
        held_out = self._count("validation", self.validation, total)
        tested = 0 if official_test else self._count("test", self.test, total)
        kept = total - held_out - tested
        if kept <= 0:
            raise UserError(
                f"data.validation and data.test take {held_out + tested} of the {total} images of "
                f"data={self.name}, and none is left to train on. Lower them."
            )
        if self.split == "alphabetical":
            parts = torch.arange(total).split([kept, held_out, tested])
            return dict(zip(("train", "val", "test"), parts, strict=True))
        order = torch.randperm(total, generator=torch.Generator().manual_seed(self.split_seed))
        parts = [rows.sort().values for rows in order.split([held_out, tested, kept])]
        return dict(zip(("val", "test", "train"), parts, strict=True))

    def _without_excluded(self, cuts: dict[str, Tensor], source: Source) -> dict[str, Tensor]:
        """The rows of training and validation without those of excluded classes."""
        excluded = self._excluded(source.context)
        if not len(excluded):
            return cuts
        kept = {name: rows[~torch.isin(source.train.labels[rows], excluded)] for name, rows in cuts.items()}
        for name in ("train", "val"):
            if not len(kept[name]):
                raise UserError(f"data.exclude leaves no image of data={self.name} in {name}. Exclude fewer classes.")
        return {**kept, "test": cuts["test"]}

    def _excluded(self, context: Context | None) -> Tensor:
        known = context.names if context is not None and context.kind == "classes" else ()
        missing = [name for name in self.exclude if name not in known]
        if missing:
            has = f"It has the classes: {', '.join(known)}." if known else "It has no classes: leave data.exclude out."
            raise UserError(f"data.exclude names {missing[0]!r}, and data={self.name} has no such class. {has}")
        return torch.tensor([known.index(name) for name in self.exclude], dtype=torch.long)

    def _count(self, field: str, value: float, total: int) -> int:
        count = round(value * total) if value < 1 else int(value)
        if not 0 < count < total:
            raise UserError(
                f"data.{field} must be a share in (0, 1) or a count below the {total} images of data={self.name}, "
                f"and is {value}."
            )
        return count

    def _draw_once(self, split: str, images: Tensor | Rows) -> Tensor | Rows:
        """One binary draw of every image: kept where it takes no more than `memory`, else drawn when it is read."""
        drawn = Drawn(images, counter_rng.derive_seed(self.split_seed, "binarize", split))
        return drawn if drawn.numel() > self.memory else drawn.to(drawn.device)

    def _prepared(self, split: str) -> Split:
        if not self._splits:
            raise RuntimeError("The data report nothing before prepare_data() and setup() have run.")
        return self._splits[split]

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image."""
        return tuple(self._prepared("train").images.shape[1:])

    @property
    def context(self) -> Context | None:
        """What the labels mean, or None where there are none."""
        self._prepared("train")
        return self._context

    @property
    def excluded(self) -> Tensor:
        """Numbers of the classes that `exclude` names, int64; empty where it names none."""
        return self._excluded(self.context)

    def images(self, split: str) -> Tensor | Rows:
        """The uint8 store of `train`, `val` or `test`, (N, C, H, W)."""
        return self._prepared(split).images

    def annotations(self, split: str) -> Annotations:
        """What is known of each image of `train`, `val` or `test`, whether or not a model is told."""
        self._prepared(split)
        test = split == "test" and self._source.test is not None
        if test not in self._annotations:
            self._annotations[test] = self.annotate(test)
        return self._annotations[test].rows(self._rows[split])

    def take(self, split: str, count: int) -> Batch:
        """The first `count` rows of a split (fewer where it has fewer) as evaluation sees them, on the CPU."""
        return self.evaluation(split).batch(torch.arange(min(count, len(self.images(split)))))

    def evaluation(self, split: str) -> Batches:
        """Every row of a split once, in order, on the CPU, as evaluation sees it."""
        return Batches(self._prepared(split), split, batch_size=self.eval_batch_size, **self.views)

    def mean_image(self) -> Tensor:
        """The mean training image, (C, H, W) float64 in [0, 1]: what is known of an image without looking at it."""
        if self._mean is None:
            train = self.images("train")
            sums = (train[part].double().sum(0) for part in chunk_slices(len(train), 8 * math.prod(self.shape), CHUNK))
            self._mean = sum(sums) / (255 * len(train))
        return self._mean

    def mean_image_mse(self, split: str) -> float:
        """The baseline of every reconstruction: MSE per pixel of the mean training image on a split."""
        if split not in self._baselines:
            mean = self.mean_image()
            total = sum((b.target.double() - mean).square().sum().item() for b in self.evaluation(split))
            self._baselines[split] = total / self.images(split).numel()
        return self._baselines[split]

    def fingerprint(self) -> str:
        """SHA-256 over the pixels of every split: equal exactly where two runs saw the same images."""
        digest = hashlib.sha256()
        for split in ("train", "val", "test"):
            images = self.images(split)
            for part in chunk_slices(len(images), math.prod(self.shape), CHUNK):
                digest.update(memoryview(images[part].contiguous().numpy()))
        return digest.hexdigest()

    # Batches --------------------------------------------------------------------------------------------

    def _batches(self, split: str) -> Batches:
        train, strategy = split == "train", self.trainer.strategy
        size, world = self.eval_batch_size, self.trainer.world_size
        if train:
            if self.batch_size % world:
                raise UserError(
                    f"data.batch_size counts images over all processes, and {self.batch_size} does not divide "
                    f"by {world}. Choose a multiple of {world}."
                )
            size = self.batch_size
        part = on_device(self._prepared(split), strategy.root_device)
        return Batches(
            part,
            split,
            batch_size=size,
            train=train,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world=world,
            **self.views,
            **self.training_views,
        )

    def train_dataloader(self) -> Batches:
        """Training batches in an order that is a function of (seed, epoch), from where a checkpoint stopped."""
        self._training, position, self._position = self._batches("train"), self._position, None
        if position:
            self._training.go_to(position)
        return self._training

    def training_batch(self, number: int) -> Batch | None:
        """A batch of the epoch that training is in, once more, over all processes; None where no loader of ours served.

        Batches are functions of seed, epoch and number, so that nothing need be kept to see one again.
        """
        return None if self._training is None else self._training.training_batch(number)

    def state_dict(self) -> dict[str, int]:
        """The position in the epoch, for every checkpoint.

        Here and not on the loader: Lightning restores loaders only when nothing has asked for the number of
        optimizer steps before, and learning-rate schedules do.
        """
        if self._training is None:
            return {}
        position = self._training.position()
        # An epoch that trainer.limit_train_batches cuts short is over all the same.
        return position | {"done": position["done"] % max(int(self.trainer.num_training_batches), 1)}

    @property
    def served(self) -> int:
        """Training images of this epoch so far, over all processes, in this process's lifetime."""
        return 0 if self._training is None else self._training.served * self.batch_size

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Keep the position for the next `train_dataloader`."""
        self._position = dict(state_dict)

    def val_dataloader(self) -> Batches:
        """Validation batches, in order."""
        return self._batches("val")

    def test_dataloader(self) -> Batches:
        """Test batches, in order."""
        return self._batches("test")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Batches of a store on the device are there already; walking them would cost a step's time."""
        return batch if batch.x.device == device else super().transfer_batch_to_device(batch, device, dataloader_idx)


def data_root(root: str | None) -> Path:
    """The folder of downloads: the one given, else AUTOENCODERS_DATA, else the user's cache folder."""
    import platformdirs

    chosen = root or os.environ.get("AUTOENCODERS_DATA") or platformdirs.user_cache_dir("autoencoders")
    return Path(chosen).expanduser()


def usable(part: Split, rows: Tensor) -> Tensor:
    """Which rows have a picture and their attributes: asked after the split, so that splits agree whatever is left out.

    A run that is conditioned on attributes is so cut like one that is not, and a folder with unreadable files like one
    where they are whole.
    """
    kept = torch.ones(len(rows), dtype=torch.bool) if part.blank is None else ~torch.isin(rows, part.blank)
    if part.labels is not None and part.labels.is_floating_point():
        kept &= part.labels[rows].isfinite().all(1)
    return kept
