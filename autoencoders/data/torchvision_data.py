"""Image classification datasets of torchvision, by name, with their own downloads and splits."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from autoencoders.config.signatures import constructor_parameters
from autoencoders.config.suggestions import suggest_name
from autoencoders.data.array_images import ArrayImagesDataModule, Opened, Part
from autoencoders.data.image_cache import file_digest
from autoencoders.data.wrapped_dataset import DatasetPart, label_names
from autoencoders.types import UserError
from autoencoders.utils.error_messages import short_reason

SPLIT_VALUES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""Part -> values of the argument `split` that torchvision uses for it."""


class TorchvisionDataModule(ArrayImagesDataModule):
    """An image classification dataset of torchvision, with its official splits.

    The arguments of the class in torchvision determine the splits: `train=True` and `train=False`, `background=True`
    and `background=False` (Omniglot, whose two parts have different classes), or `split="train"`, `split="valid"` and
    `split="test"`. A dataset without such an argument is one part, from which the splits are cut.

    Args:
        dataset: name of the class in `torchvision.datasets`, such as `CIFAR10`.
        root: folder that contains the files, or into which torchvision downloads them; see `ImageDataModule`.
        options: further arguments of the class, such as `{"split": "letters"}` for `EMNIST`.
        **common: options of `ArrayImagesDataModule`.
    """

    default_name: ClassVar[str] = "torchvision"

    def __init__(
        self, dataset: str, root: str | None = None, *, options: Mapping[str, Any] | None = None, **common: Any
    ) -> None:
        super().__init__(root, **common)
        self.dataset, self.options = dataset, {} if options is None else dict(options)
        self._found = find_class(dataset)
        self._parameters = constructor_parameters(self._found)
        self._prepared: dict[str, tuple[dict[str, Any], Any]] | None = None

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return f"torchvision.datasets.{self.dataset}{options}, in {self.root}"

    def prepare_data(self) -> None:
        """Download the files that are missing."""
        if self.is_loaded:  # Lightning calls this method again before the test, when the files may no longer exist
            return
        self._prepared = self._datasets()

    def open(self) -> Opened:
        """Open the dataset of each official split."""
        parts: dict[str, Part] = {}
        names = None
        datasets, self._prepared = self._prepared or self._datasets(), None  # not kept, because it may be large
        for part, (arguments, dataset) in datasets.items():
            plain = {name: value for name, value in arguments.items() if name != "root"}
            parts[part] = DatasetPart(dataset, [self.dataset, plain, self._file_key(dataset)])
            names = names or label_names(dataset)
        return Opened(parts, names, separate_classes="background" in self._parameters)

    @functools.cached_property
    def _arguments(self) -> dict[str, Any]:
        """Arguments for all splits."""
        return {**({"root": str(self.root)} if "root" in self._parameters else {}), **self.options}

    def _datasets(self) -> dict[str, tuple[dict[str, Any], Any]]:
        """Return part -> arguments of the dataset, and the dataset."""
        for flag in ("train", "background"):
            if flag in self._parameters and flag not in self.options:
                return {part: self._build({flag: part == "train"}) for part in ("train", "test")}
        if "split" not in self._parameters or "split" in self.options:
            return {"train": self._build({})}
        found: dict[str, tuple[dict[str, Any], Any]] = {}
        refusals = []
        for part, values in SPLIT_VALUES.items():
            for value in values:
                try:
                    found[part] = self._build({"split": value})
                    break
                except ValueError as error:  # torchvision refuses an unknown split
                    refusals.append(short_reason(error))
        if "train" not in found:
            raise UserError(
                f"torchvision.datasets.{self.dataset} must have a split named train, but refuses it ({refusals[0]}). "
                "Choose one of its splits, such as data.options={split: trainval}."
            )
        return found

    def _build(self, split: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Build the dataset. Download its files if they are missing.

        Raises:
            UserError: if the files are missing and cannot be downloaded, or an argument is not valid.
            ValueError: if torchvision refuses the value of an argument.
        """
        arguments = {**self._arguments, **split}
        try:
            return arguments, self._found(**arguments)
        except ValueError:
            raise
        except (RuntimeError, OSError) as error:  # files are missing
            missing = error
        except TypeError as error:
            raise UserError(
                f"data.options must be arguments of torchvision.datasets.{self.dataset}, got {self.options} "
                f"({short_reason(error)})."
            ) from error
        try:
            if "download" not in self._parameters:
                raise missing
            return arguments, self._found(**arguments, download=True)
        except Exception as error:
            raise UserError(
                f"data.dataset={self.dataset} needs the files of torchvision.datasets.{self.dataset} in {self.root}, "
                f"but they are missing and cannot be downloaded ({short_reason(error)}). Connect to the network, or "
                "set data.root (or AUTOENCODERS_DATA) to the folder that contains the files."
            ) from error

    def _file_key(self, dataset: Any) -> str | None:
        """Return a digest of the files of the dataset, if torchvision tells in which folder they are."""
        folder = getattr(dataset, "raw_folder", None) or getattr(dataset, "base_folder", None)
        if folder is None or not (path := self.root / Path(folder)).is_dir():
            return None
        return file_digest(path, sorted(file.name for file in path.iterdir() if file.is_file()))


def find_class(name: str) -> Any:
    """Return the class of torchvision with a name.

    Raises:
        UserError: if torchvision has no such dataset. The message suggests a similar name.
    """
    import torchvision  # type: ignore[import-untyped]  # torchvision has no type information

    datasets = torchvision.datasets
    known = [other for other in datasets.__all__ if isinstance(getattr(datasets, other), type)]
    if name not in known:
        raise UserError(
            f"data.dataset must be the name of a class in torchvision.datasets, such as CIFAR10, got {name!r}."
            f"{suggest_name(name, known, 'data.dataset={}')}"
        )
    return getattr(datasets, name)
