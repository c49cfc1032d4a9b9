"""Base class of all datasets. It divides the images into splits and builds batches on the training device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from autoencoders.data import fingerprint, statistics
from autoencoders.data.download import resolve_root
from autoencoders.data.duplicates import find_duplicates
from autoencoders.data.groups import BatchGroup, GroupedBatches, GroupPlan
from autoencoders.data.image_io import read_all, read_image
from autoencoders.data.loader import Batches, BinarizedView, RowView, Split, move_to_device
from autoencoders.data.masks import read_mask
from autoencoders.data.options import BatchOptions, SplitOptions
from autoencoders.data.splits import DUPLICATE, Source, excluded_classes, split_source
from autoencoders.data.transforms import Corruption, NoCorruption
from autoencoders.types import SPLITS, Annotations, Batch, Context, Factors, Shape, UserError
from autoencoders.utils import counter_rng
from autoencoders.utils.checks import require
from autoencoders.utils.recorded import Recorded


def get_datamodule(trainer: pl.Trainer) -> ImageDataModule:
    """Return the data module that is attached to a trainer.

    Raises:
        UserError: if the trainer has no data module of this package.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]  # Lightning sets it outside of the class body
    if data is None:
        raise UserError(
            "The trainer needs a data module, got data loaders or no data. Pass a data module of autoencoders.data, "
            "such as trainer.fit(model, DigitsDataModule()). Own images are read by ImageFolderDataModule, "
            "ArraysDataModule and DatasetDataModule."
        )
    return data


class ImageDataModule(Recorded, pl.LightningDataModule):
    """Base class of all datasets. It stores uint8 or uint16 images, and serves float32 batches without workers.

    A subclass overrides `read`. A subclass that downloads files also overrides `prepare_data`.

    Args:
        root: folder for downloaded files. None selects the folder in the environment variable AUTOENCODERS_DATA, or the
            user's cache folder if this variable is not set.
        name: display name of the dataset in figures and tables; empty for the default name.
        batch_size: number of images per optimizer step, summed over all processes. `auto` selects a power of two that
            fits the number of training images; see `data.options.choose_batch_size`.
        eval_batch_size: number of images per validation or test step in each process.
        validation: size of the validation split, as a number of images or as a fraction below 1. The images are taken
            from the training images.
        training_images: number of training images that are used, chosen at random with `split_seed`; None for all. The
            other training images are left out.
        test: size of the test split, as a number of images or as a fraction below 1. It is ignored if the dataset has
            an official test split.
        split: `random` assigns images to splits at random. Images with names are assigned by a hash of their names, so
            that the split of an image does not depend on the other images; see `autoencoders.data.splits`.
            `alphabetical` keeps the order of the source: first the training images, then the validation images, then
            the test images.
        split_seed: seed of the random split and of static binarization. Use the same value in runs that are compared.
        seed: seed of the order of the training images and of all random numbers in training.
        binarize: `none` keeps the gray levels. `static` and `dynamic` sample each pixel: it is 1 with a probability
            equal to its gray level, else 0. `static` samples once. `dynamic` samples again in each training epoch,
            but only once in validation and test.
        corruption: corruption of the model input. The target is never corrupted. See `autoencoders.data.transforms`.
        flip: mirror training images left to right with probability 1/2.
        shift: maximum distance, in pixels, by which training images are moved in each direction.
        memory: maximum size, in bytes, of an image array in memory. A larger array is memory-mapped.
        exclude: names of classes that are removed from the training and validation splits and kept in the test split,
            for anomaly detection.
        duplicates: `drop` removes training images that have an equal image in the validation or test split. `keep` only
            counts them.

    Attributes:
        notes: sentences on how the data were read, for the terminal and the run record.
        left_out: reason -> number of images that were left out for this reason, set by `setup`.
        on_first_use: function that is called instead of `load` when the images are needed for the first time; None for
            `load`. A loaded run compares the data with those of the training.
        plan: division of the training batches into groups, set by `autoencoders.training.grouping`; None for single
            batches.
    """

    selectable_attributes: ClassVar[tuple[str, ...]] = ()
    """Names for `data.attributes`, some or all of them, for datasets that have this option."""
    default_name: ClassVar[str] = "images"
    """Display name in figures and tables if the argument `name` is empty."""
    name: str
    white_point: float | None = None
    """Pixel value of white in image files with more than 8 bits, or None if it is decided from the files."""
    cache: str | None = None
    """Folder for the cache of decoded images, or None for a default folder. Some datasets have no cache."""

    def __init__(
        self,
        root: str | None = None,
        *,
        name: str = "",
        batch_size: int | Literal["auto"] = 128,
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
        duplicates: str = "keep",
        training_images: int | None = None,
    ) -> None:
        super().__init__()
        require(memory >= 0, "data.memory", memory, "a number of bytes >= 0")
        self.name, self.root, self.memory = name or self.default_name, resolve_root(root), memory
        excluded = tuple(map(str, exclude))
        self.split_options = SplitOptions(validation, test, split, split_seed, excluded, duplicates, training_images)
        self.batch_options = BatchOptions(
            batch_size, eval_batch_size, seed, binarize, corruption or NoCorruption(), flip, shift
        )
        self.notes: list[str] = []
        self._splits: dict[str, Split] = {}
        self._rows: dict[str, Tensor] = {}
        self._context: Context | None = None
        self.left_out: dict[str, int] = {}
        self._source_labels: dict[str, Tensor | None] = {}  # part of the source -> labels
        self._annotations: dict[str, Annotations] = {}
        self._duplicates: dict[str, int] | None = None
        self._identity: dict[str, Any] = {}
        self._mean_image: Tensor | None = None
        self._mean_image_mse: dict[str, float] = {}
        self.on_first_use: Callable[[], object] | None = None
        self.plan: GroupPlan | None = None
        self._training: Batches | None = None
        self._position: dict[str, int] | None = None

    # Methods that a dataset may override ----------------------------------------------------------------

    @property
    def has_labels(self) -> bool:
        """Whether the images may have labels. This property is available before the images are read."""
        return True

    def read(self) -> Source:
        """Read the images and labels of the dataset. The files must exist; `prepare_data` downloads missing files."""
        raise NotImplementedError

    @property
    def origin(self) -> str:
        """Text that says where the images come from, such as a folder. It is printed and recorded."""
        return (type(self).__doc__ or "").strip().partition("\n")[0]

    def annotate(self, part: str) -> Annotations:
        """Return all known labels of the images that `read` returns, in the same order.

        Args:
            part: part of the source, which is `train`, `val` or `test`; see `Source`.
        """
        labels, context = self._source_labels[part], self._context
        if context is None:
            return Annotations()
        if context.kind == "classes":
            return Annotations(classes=labels, class_names=context.names)
        return Annotations(attributes=labels, attribute_names=context.names)

    @property
    def factors(self) -> Factors | None:
        """Generating factors of the images after `setup`, or None if they are not known.

        The indices of their values for each image are in `annotations`.
        """
        return None

    def read_image_files(self, files: Sequence[Path]) -> Tensor:
        """Read other image files, cropped and resized like the images of the dataset.

        Returns:
            Images (N, C, H, W), of the type of the stored images.

        Raises:
            UserError: if a file cannot be read, or if the images of the dataset have neither one nor three channels.
        """
        (channels, height, width), bits = self.shape, 8 * self.images("train").dtype.itemsize
        if channels not in (1, 3):
            raise UserError(
                f"Image files can only be read for images with 1 or 3 channels, but those of data={self.name} have "
                f"{channels}. Choose images of the dataset instead."
            )

        def decode(file: Path, white: float | None = None) -> np.ndarray:
            return read_image(file, (height, width), color=channels == 3, white=white, depth=bits)

        return torch.from_numpy(read_all(files, decode, self.white_point))

    @property
    def photo_crop(self) -> tuple[int, int] | None:
        """Photos that `read_image_files` first crops to a central square, for other programs that prepare images.

        The numbers are the height and width of these photos and the side of the square, in pixels. None if no image is
        cropped in this way.
        """
        return None

    def mask_geometry(self, file: Path) -> tuple[str, int | None]:
        """Return how a mask file gets the size of the images: the arguments `fit` and `box` of `image_io.read_image`.

        It is the geometry of `read_image_files`.
        """
        return "crop", None

    def read_mask_files(self, files: Sequence[Path]) -> Tensor:
        """Read black and white mask files, cropped and resized like the images, with the nearest pixels.

        Returns:
            Masks (N, H, W) bool: whether a pixel is white.

        Raises:
            UserError: if a file cannot be read, or is not black and white.
        """
        height, width = self.shape[1:]
        return torch.stack([torch.from_numpy(read_mask(f, (height, width), *self.mask_geometry(f))) for f in files])

    # Splits ---------------------------------------------------------------------------------------------

    def setup(self, stage: str | None = None) -> None:
        """Read the images, divide them into splits and apply static binarization. Repeated calls do nothing."""
        if self._splits:
            return
        source = self.read()
        rows, self.left_out = split_source(source, self.split_options, self.name)
        splits = {split: source.parts[source.part(split)].select(rows[split], self.memory) for split in SPLITS}
        if self.split_options.duplicates == "drop":
            copies = find_duplicates(splits["train"].images, [splits["val"].images, splits["test"].images])
            rows["train"] = self._drop_duplicates(rows["train"], copies)
            splits["train"] = source.train.select(rows["train"], self.memory)
        if self.batch_options.binarize == "static":
            self._duplicates = self._count_duplicates(splits)  # before the gray levels are replaced
            splits = {name: Split(self._binarize_once(name, data.images), data.labels) for name, data in splits.items()}
        self._set_batch_size(splits["train"].images)
        # Keep only the labels of the source. The splits may contain copies of its images.
        self._source_labels = {part: data.labels for part, data in source.parts.items()}
        self._splits, self._rows, self._context = splits, rows, source.context

    def _set_batch_size(self, images: Tensor | RowView) -> None:
        """Choose the batch size for the training images (N, C, H, W) if it is `auto`, and check it."""
        automatic = self.batch_options.batch_size == "auto"
        self.batch_options = self.batch_options.for_images(len(images))
        self.batch_options.check_images(images, self.name)
        if automatic:
            self.notes.append(
                f"data.batch_size=auto selects {self.batch_size} images per optimizer step for {len(images):,} "
                f"training images, which gives {len(images) // self.batch_size:,} steps per epoch."
            )

    def _drop_duplicates(self, rows: Tensor, copies: Tensor) -> Tensor:
        """Return the training images without the copies of validation and test images, and count the copies."""
        if copies.all():
            raise UserError(
                f"data.duplicates=drop must leave at least one training image of data={self.name}, got none, because "
                "each training image has an equal image in the validation or test split. Set data.duplicates=keep."
            )
        if copies.any():
            self.left_out[DUPLICATE] = int(copies.sum())
        return rows[~copies]

    @staticmethod
    def _count_duplicates(splits: Mapping[str, Split]) -> dict[str, int]:
        train, val, test = (splits[split].images for split in SPLITS)
        return {"train": int(find_duplicates(train, [val, test]).sum()), "val": int(find_duplicates(val, [test]).sum())}

    def _binarize_once(self, split: str, images: Tensor | RowView) -> Tensor | RowView:
        """Binarize the images of a split now, or each time they are read if they take more than `memory` bytes."""
        seed = counter_rng.derive_seed(self.split_options.split_seed, "binarize", split)
        binarized = BinarizedView(images, seed)
        return binarized if binarized.nbytes > self.memory else binarized.to(binarized.device)

    @property
    def is_loaded(self) -> bool:
        """Whether `setup` has read the images. After that, the files of the images are not needed any more."""
        return bool(self._splits)

    def get_split(self, split: str) -> Split:
        """Return the images and labels of the split `train`, `val` or `test`. The first call loads the data."""
        if not self._splits:
            (self.on_first_use or self.load)()
        return self._splits[split]

    def load(self) -> None:
        """Download the data if necessary, read them and divide them into splits. Repeated calls do nothing."""
        if not self._splits:
            self.prepare_data()
            self.setup()

    @property
    def shape(self) -> Shape:
        """Shape (C, H, W) of one image."""
        channels, height, width = self.get_split("train").images.shape[1:]
        return channels, height, width

    @property
    def context(self) -> Context | None:
        """Type of the labels (classes or attributes) and their names, or None if there are no labels."""
        self.get_split("train")
        return self._context

    @property
    def exclude(self) -> tuple[str, ...]:
        """Names of the classes that are removed from the training and validation splits."""
        return self.split_options.exclude

    @property
    def excluded(self) -> Tensor:
        """Class indices, int64, of the classes that are removed from the training and validation splits."""
        return excluded_classes(self.context, self.exclude, self.name)

    def images(self, split: str) -> Tensor | RowView:
        """Return the uint8 or uint16 images (N, C, H, W) of the split `train`, `val` or `test`."""
        return self.get_split(split).images

    def annotations(self, split: str) -> Annotations:
        """Return all known labels of the images in the split `train`, `val` or `test`.

        They include labels that are not passed to the model.
        """
        self.get_split(split)
        part = split if split in self._source_labels else "train"
        if part not in self._annotations:
            self._annotations[part] = self.annotate(part)
        return self._annotations[part].rows(self._rows[split])

    def set_root(self, root: str) -> None:
        """Set the folder for downloaded files, for example after loading a trained run on another machine."""
        self.root = resolve_root(root)

    # Statistics -----------------------------------------------------------------------------------------

    def mean_image(self) -> Tensor:
        """Return the mean image (C, H, W) of the training split, float64 in [0, 1]."""
        if self._mean_image is None:
            self._mean_image = statistics.mean_image(self.images("train"))
        return self._mean_image

    def mean_image_mse(self, split: str) -> float:
        """Return the MSE per pixel on a split if the mean training image is the prediction for every image.

        This MSE is the baseline for reconstructions.
        """
        if split not in self._mean_image_mse:
            self._mean_image_mse[split] = statistics.mse_of_constant(self.mean_image(), self.evaluation_batches(split))
        return self._mean_image_mse[split]

    def duplicate_counts(self) -> dict[str, int]:
        """Return the number of images that have an equal image in another split.

        Returns:
            `train`: number of training images with an equal validation or test image. `val`: number of validation
            images with an equal test image.
        """
        if self._duplicates is None:
            self._duplicates = self._count_duplicates({split: self.get_split(split) for split in SPLITS})
        return self._duplicates

    def fingerprint(self) -> str:
        """Return a SHA-256 digest of the pixels in all splits. Two runs with equal digests use the same images.

        For images with more than `memory` bytes, the digest is computed from a sample of the images; see `identity`.
        """
        return fingerprint.join_digests(self.identity()["images"])

    def identity(self, sampled: bool | None = None) -> dict[str, Any]:
        """Return digests of the images and labels in each split, to compare the data with those of a trained run.

        Args:
            sampled: use the cheaper digest of the image names and a sample of the images. None: only if all images
                together have more than `memory` bytes.

        Returns:
            Plain values; see `autoencoders.data.fingerprint.identify`.
        """
        if sampled is None:
            sampled = sum(self.images(split).nbytes for split in SPLITS) > self.memory
        key = "sampled" if sampled else "complete"
        if key not in self._identity:
            self._identity[key] = fingerprint.identify(self, sampled)
        return self._identity[key]

    # Batches --------------------------------------------------------------------------------------------

    @property
    def batch_size(self) -> int:
        """Number of images per optimizer step, summed over all processes. With `auto`, it is known after `setup`."""
        size = self.batch_options.batch_size
        if isinstance(size, str):
            raise RuntimeError(f"The batch size is {size}. Call setup() first.")
        return size

    @batch_size.setter
    def batch_size(self, value: int) -> None:  # Lightning's BatchSizeFinder sets it
        self.batch_options = replace(self.batch_options, batch_size=value)

    @property
    def evaluation_options(self) -> dict[str, Any]:
        """Keyword arguments for `Batches` that also apply in evaluation: `binarize` and `corruption`."""
        return {"binarize": self.batch_options.binarize, "corruption": self.batch_options.corruption}

    def evaluation_batches(self, split: str) -> Batches:
        """Return batches of all images in a split, in order, on the CPU.

        The images are binarized and corrupted as in validation and test.
        """
        return Batches(
            self.get_split(split), split, batch_size=self.batch_options.eval_batch_size, **self.evaluation_options
        )

    def take(self, split: str, count: int) -> Batch:
        """Return one batch with the first `count` images of a split, or with all images if there are fewer, on the CPU.

        The images are binarized and corrupted as in validation and test.
        """
        return self.evaluation_batches(split).batch(torch.arange(min(count, len(self.images(split)))))

    def _trainer(self) -> pl.Trainer:
        if self.trainer is None:
            raise RuntimeError(
                "The data module has no trainer. Pass the data module to Trainer.fit, Trainer.validate or Trainer.test."
            )
        return self.trainer

    def _batches(self, split: str) -> Batches:
        trainer, options, train = self._trainer(), self.batch_options, split == "train"
        if train and self.batch_size % trainer.world_size:
            raise UserError(
                f"data.batch_size must be a multiple of the number of processes ({trainer.world_size}), because each "
                f"batch is divided equally among the processes, got {self.batch_size}. "
                f"Choose a multiple of {trainer.world_size}."
            )
        return Batches(
            move_to_device(self.get_split(split), trainer.strategy.root_device),
            split,
            batch_size=self.batch_size if train else options.eval_batch_size,
            train=train,
            seed=options.seed,
            binarize=options.binarize,
            corruption=options.corruption,
            flip=options.flip,
            shift=options.shift,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )

    def train_dataloader(self) -> Batches | GroupedBatches:
        """Return the training batches. A resumed run continues after the batches that the checkpoint lists as done.

        The order of the images depends only on the seed and the epoch.
        """
        self._training, position, self._position = self._batches("train"), self._position, None
        if position:
            self._training.go_to(position)
        return self._training if self.plan is None else GroupedBatches(self._training, self.plan)

    def val_dataloader(self) -> Batches:
        """Return the validation batches. The images keep their order in the split."""
        return self._batches("val")

    def test_dataloader(self) -> Batches:
        """Return the test batches. The images keep their order in the split."""
        return self._batches("test")

    def transfer_batch_to_device(
        self, batch: Batch | BatchGroup, device: torch.device, dataloader_idx: int
    ) -> Batch | BatchGroup:
        """Move a batch, or the batches of a group, to a device unless they are already there.

        Lightning's own check per field is slower.
        """
        if isinstance(batch, BatchGroup):
            return batch.to(device)
        return batch if batch.x.device == device else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def training_batch(self, number: int) -> Batch | None:
        """Rebuild a batch of the current training epoch, with the images of all processes.

        Args:
            number: position of the batch in the epoch, from 0.

        Returns:
            The batch, or None if `train_dataloader` has not been called.
        """
        return None if self._training is None else self._training.training_batch(number)

    @property
    def images_served(self) -> int:
        """Number of training images served in this epoch, summed over all processes.

        Images served before a resume are not included.
        """
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
        """Return the position in the training epoch, for a checkpoint.

        The data module saves the position instead of the loader, because Lightning does not restore a loader after the
        number of optimizer steps has been read. Learning-rate schedules read this number.
        """
        if self._training is None:
            return {}
        position = self._training.position()
        # An epoch that trainer.limit_train_batches cuts short counts as complete.
        batches = self._trainer().num_training_batches if self.plan is None else self.plan.batches
        return position | {"done": position["done"] % max(int(batches), 1)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Store the position in the training epoch for the next call of `train_dataloader`."""
        self._position = dict(state_dict)
