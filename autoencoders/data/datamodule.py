"""The base class of all datasets: options, prepared splits, and batches on the training device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from torch import Tensor

from autoencoders.data import statistics
from autoencoders.data.download import resolve_root
from autoencoders.data.groups import BatchGroup, GroupPlan
from autoencoders.data.image_io import read_all, read_image
from autoencoders.data.loader import Batches, BinarizedView, RowView, Split, move_to_device
from autoencoders.data.options import BatchOptions, SplitOptions
from autoencoders.data.splits import Source, excluded_classes, split_data, split_source
from autoencoders.data.transforms import Corruption, NoCorruption
from autoencoders.types import Annotations, Batch, Context, Shape, UserError
from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require


def get_datamodule(trainer: pl.Trainer) -> ImageDataModule:
    """Return the data module of a trainer."""
    return trainer.datamodule  # type: ignore[attr-defined]  # set outside of the class body


class ImageDataModule(pl.LightningDataModule):
    """Splits of uint8 images, served as float batches without worker processes.

    A dataset overrides `read`, and `prepare_data` if it downloads files.

    Args:
        root: folder of the downloads; None for the environment variable AUTOENCODERS_DATA, or the user's cache folder
            if it is not set.
        name: name of the data in figures and tables; empty for the name of the dataset.
        batch_size: images per optimizer step, over all processes together.
        eval_batch_size: images per validation or test step and process.
        validation: validation images, taken from the training images: a count, or a share below 1.
        test: the same for the test images; ignored if there is an official test split.
        split: order in which training images are divided: `random`, or `alphabetical`: training, validation and test
            images follow each other in the order of the source.
        split_seed: seed of the random division and of static binarization. Runs to be compared need the same value.
        seed: seed of the order of training batches and of all random numbers in training.
        binarize: `none`; `static`: one fixed draw, each pixel is 1 with its gray level as probability; `dynamic`: a
            new draw per epoch in training, and one fixed draw in validation and test.
        corruption: applied to inputs, never to targets; see `autoencoders.data.transforms`.
        flip: mirror training images with probability 1/2.
        shift: move training images by up to this many pixels in each direction.
        memory: maximum number of bytes of a store in memory. A larger store is memory-mapped.
        exclude: names of classes that are left out of training and validation and kept in test, for anomaly detection.

    Attributes:
        notes: remarks on the data for the run's record, besides its config.
        plan: division of the training batches into groups, set by `autoencoders.training.grouping`; None for single
            batches.
    """

    default_name: ClassVar[str] = "images"
    """Name in figures and tables if no `name` is given."""
    name: str
    cache: str | None = None
    """Folder of decoded images, for datasets that have one."""

    def __init__(
        self,
        root: str | None = None,
        *,
        name: str = "",
        batch_size: int = 128,
        eval_batch_size: int = 500,
        validation: float = 0.1,
        test: float = 0.2,
        split: str = "random",
        split_seed: int = 0,
        seed: int = 0,
        binarize: str = "none",
        corruption: Corruption | None = None,
        flip: bool = False,
        shift: int = 0,
        memory: float = 2e9,
        exclude: Sequence[str | int] = (),
    ) -> None:
        super().__init__()
        require(memory >= 0, "data.memory", memory, "a number of bytes from 0 up")
        self.name, self.root, self.memory = name or self.default_name, resolve_root(root), memory
        self.split_options = SplitOptions(validation, test, split, split_seed, tuple(map(str, exclude)))
        self.batch_options = BatchOptions(
            batch_size, eval_batch_size, seed, binarize, corruption or NoCorruption(), flip, shift
        )
        self.notes: list[str] = []
        self._splits: dict[str, Split] = {}
        self._rows: dict[str, Tensor] = {}
        self._context: Context | None = None
        self._source_labels: list[Tensor | None] = []  # of the training images, and of the official test images
        self._annotations: dict[bool, Annotations] = {}
        self._mean_image: Tensor | None = None
        self._mean_image_mse: dict[str, float] = {}
        self.plan: GroupPlan | None = None
        self._training: Batches | None = None
        self._position: dict[str, int] | None = None

    # Methods that a dataset may override ----------------------------------------------------------------

    @property
    def has_labels(self) -> bool:
        """Whether the images come with labels, as far as this is known before the images are read."""
        return True

    def read(self) -> Source:
        """Read the images and labels of the dataset, from files that `prepare_data` has put in place."""
        raise NotImplementedError

    def annotate(self, test: bool) -> Annotations:
        """Return all known labels of the source, in its order, or of its official test images."""
        labels, context = self._source_labels[int(test)], self._context
        if context is None:
            return Annotations()
        if context.kind == "classes":
            return Annotations(classes=labels, class_names=context.names)
        return Annotations(attributes=labels, attribute_names=context.names)

    def read_image_files(self, files: Sequence[Path]) -> Tensor:
        """Read image files of the user, prepared like the images of the dataset: (N, C, H, W) uint8."""
        channels, height, width = self.shape
        return torch.from_numpy(read_all(files, lambda f: read_image(f, (height, width), color=channels == 3)))

    # Splits ---------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Read the images, divide them and binarize them. Repeated calls do nothing."""
        if self._splits:
            return
        source = self.read()
        rows = split_source(source, self.split_options, self.name)
        splits = {split: split_data(source, split).select(index, self.memory) for split, index in rows.items()}
        if self.batch_options.binarize == "static":
            splits = {name: Split(self._binarize_once(name, data.images), data.labels) for name, data in splits.items()}
        self.batch_options.check_images(splits["train"].images, self.name)
        # Only the labels of the source are kept: its images may be a second copy of those in the splits.
        self._source_labels = [data.labels for data in (source.train, source.test) if data is not None]
        self._splits, self._rows, self._context = splits, rows, source.context

    def _binarize_once(self, split: str, images: Tensor | RowView) -> Tensor | RowView:
        """Binarize all images once, or at each reading if they take more than `memory` bytes."""
        seed = counter_rng.derive_seed(self.split_options.split_seed, "binarize", split)
        binarized = BinarizedView(images, seed)
        return binarized if binarized.numel() > self.memory else binarized.to(binarized.device)

    def get_split(self, split: str) -> Split:
        """Return the images and labels of a split. The data must be prepared."""
        if not self._splits:
            raise RuntimeError("The data are not prepared. Call prepare_data() and setup() first.")
        return self._splits[split]

    @property
    def shape(self) -> Shape:
        """(C, H, W) of one image."""
        channels, height, width = self.get_split("train").images.shape[1:]
        return channels, height, width

    @property
    def context(self) -> Context | None:
        """Meaning of the labels, or None if there are no labels."""
        self.get_split("train")
        return self._context

    @property
    def exclude(self) -> tuple[str, ...]:
        """Names of the excluded classes."""
        return self.split_options.exclude

    @property
    def excluded(self) -> Tensor:
        """Numbers of the excluded classes, int64; empty if no class is excluded."""
        return excluded_classes(self.context, self.exclude, self.name)

    def images(self, split: str) -> Tensor | RowView:
        """Return the uint8 images of `train`, `val` or `test`, (N, C, H, W)."""
        return self.get_split(split).images

    def annotations(self, split: str) -> Annotations:
        """Return all known labels of `train`, `val` or `test`, including labels that are not passed to a model."""
        self.get_split(split)
        test = split == "test" and len(self._source_labels) == 2
        if test not in self._annotations:
            self._annotations[test] = self.annotate(test)
        return self._annotations[test].rows(self._rows[split])

    def set_root(self, root: str) -> None:
        """Set the folder of the downloads, for a run that is loaded on another machine."""
        self.root = resolve_root(root)

    # Statistics -----------------------------------------------------------------------------------------

    def mean_image(self) -> Tensor:
        """Return the mean training image, (C, H, W) float64 in [0, 1]."""
        if self._mean_image is None:
            self._mean_image = statistics.mean_image(self.images("train"))
        return self._mean_image

    def mean_image_mse(self, split: str) -> float:
        """Return the MSE per pixel of the mean training image on a split: the baseline of every reconstruction."""
        if split not in self._mean_image_mse:
            self._mean_image_mse[split] = statistics.mse_of_constant(self.mean_image(), self.evaluation_batches(split))
        return self._mean_image_mse[split]

    def fingerprint(self) -> str:
        """Return the SHA-256 of the pixels of all splits. It is equal for two runs if and only if their images are."""
        return statistics.pixel_digest(self.images(split) for split in ("train", "val", "test"))

    # Batches --------------------------------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """Images per optimizer step, over all processes together."""
        return self.batch_options.batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:  # for Lightning's BatchSizeFinder
        self.batch_options = replace(self.batch_options, batch_size=value)

    @property
    def evaluation_options(self) -> dict[str, Any]:
        """Options of `Batches` that also apply in evaluation: `binarize` and `corruption`."""
        return {"binarize": self.batch_options.binarize, "corruption": self.batch_options.corruption}

    def evaluation_batches(self, split: str) -> Batches:
        """Return every row of a split once, in order, on the CPU, prepared as in evaluation."""
        return Batches(
            self.get_split(split), split, batch_size=self.batch_options.eval_batch_size, **self.evaluation_options
        )

    def take(self, split: str, count: int) -> Batch:
        """Return at most the first `count` rows of a split, on the CPU, prepared as in evaluation."""
        return self.evaluation_batches(split).batch(torch.arange(min(count, len(self.images(split)))))

    def _trainer(self) -> pl.Trainer:
        if self.trainer is None:
            raise RuntimeError("The data module has no trainer. Pass it to Trainer.fit, validate or test.")
        return self.trainer

    def _batches(self, split: str) -> Batches:
        trainer, options, train = self._trainer(), self.batch_options, split == "train"
        if train and options.batch_size % trainer.world_size:
            raise UserError(
                f"data.batch_size counts images over all processes, and {options.batch_size} does not divide by "
                f"{trainer.world_size}. Choose a multiple of {trainer.world_size}."
            )
        return Batches(
            move_to_device(self.get_split(split), trainer.strategy.root_device),
            split,
            batch_size=options.batch_size if train else options.eval_batch_size,
            train=train,
            seed=options.seed,
            binarize=options.binarize,
            corruption=options.corruption,
            flip=options.flip,
            shift=options.shift,
            rank=trainer.global_rank,
            world=trainer.world_size,
            plan=self.plan if train else None,
        )

    def train_dataloader(self) -> Batches:
        """Return training batches, after a resume from the position of the checkpoint.

        The order is a function of (seed, epoch).
        """
        self._training, position, self._position = self._batches("train"), self._position, None
        if position:
            self._training.go_to(position)
        return self._training

    def val_dataloader(self) -> Batches:
        """Return validation batches, in order."""
        return self._batches("val")

    def test_dataloader(self) -> Batches:
        """Return test batches, in order."""
        return self._batches("test")

    def transfer_batch_to_device(
        self, batch: Batch | BatchGroup, device: torch.device, dataloader_idx: int
    ) -> Batch | BatchGroup:
        """Move a batch, or the batches of a group, unless they are on the device already.

        Lightning's own check of each field is slow.
        """
        if isinstance(batch, BatchGroup):
            return batch.to(device)
        return batch if batch.x.device == device else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def training_batch(self, number: int) -> Batch | None:
        """Rebuild a batch of the current training epoch, over all processes; None if there is no training loader.

        A batch is a function of seed, epoch and number.
        """
        return None if self._training is None else self._training.training_batch(number)

    @property
    def images_served(self) -> int:
        """Training images of this epoch so far, over all processes, since this process started."""
        return 0 if self._training is None else self._training.batches_served * self.batch_size

    @property
    def batches_done(self) -> int:
        """Number of batches of the training epoch that are done, including those before a resume."""
        return 0 if self._training is None else self._training.done

    @property
    def training_batch_count(self) -> int:
        """Number of complete training batches in an epoch."""
        return len(self.images("train")) // self.batch_size

    def state_dict(self) -> dict[str, int]:
        """Return the position in the epoch, for a checkpoint.

        The position is saved here and not by the loader: Lightning does not restore a loader if the number of optimizer
        steps has been read before, and learning-rate schedules read it.
        """
        if self._training is None:
            return {}
        position = self._training.position()
        # An epoch that trainer.limit_train_batches cuts short counts as complete.
        batches = self._trainer().num_training_batches if self.plan is None else self.plan.batches
        return position | {"done": position["done"] % max(int(batches), 1)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Keep the position for the next call of `train_dataloader`."""
        self._position = dict(state_dict)
