"""Dataset from any map-style `torch.utils.data.Dataset`, which is read once into the cache."""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from autoencoders.data.array_images import ArrayImagesDataModule, Items, Opened, Part
from autoencoders.data.image_cache import file_digest
from autoencoders.types import SPLITS, UserError

MAX_FILES = 100_000
"""Maximum number of files in a folder whose sizes and times determine whether images are read again."""


class DatasetPart:
    """A part whose images are the items of a dataset: `(image, label)` or only the image.

    Args:
        dataset: map-style dataset.
        key: JSON values that determine the content of the dataset.
    """

    def __init__(self, dataset: Any, key: list[Any]) -> None:
        try:
            self.count = len(dataset)
        except TypeError as error:
            raise UserError(
                f"data.dataset must be a dataset with __len__ and __getitem__, got {type(dataset).__name__}. Choose a "
                "map-style dataset."
            ) from error
        self.dataset, self.key = dataset, [*key, self.count]

    def read(self, rows: range) -> tuple[Items, Items | None]:
        """Return the images and the labels with the given indices."""
        items = [self.dataset[row] for row in rows]
        pairs = [isinstance(item, (tuple, list)) for item in items]
        if not any(pairs):
            return items, None
        if not all(pairs) or any(len(item) != 2 for item in items):
            raise UserError(
                f"Each item of {type(self.dataset).__name__} must be an image, or an image and a label, got "
                f"{len(items[0]) if pairs[0] else 1} values. Return (image, label)."
            )
        labels = [label for _, label in items]
        if any(isinstance(label, Mapping) for label in labels):
            raise UserError(
                f"A label of {type(self.dataset).__name__} must be a number, a text or an array of numbers, got a "
                "dict. Choose one of its values."
            )
        return [image for image, _ in items], None if all(label is None for label in labels) else labels


class DatasetDataModule(ArrayImagesDataModule):
    """The images of a `torch.utils.data.Dataset`, whose items are `(image, label)` or images.

    An image is a Pillow image, or an array or tensor (H, W), (C, H, W) or (H, W, C). The items are read once into the
    cache. They are read again if the file that defines the dataset, its options, its length, or the files that its
    options name have changed. Random transforms of the dataset are therefore drawn once; use `flip` and `shift`.

    Args:
        dataset: function or class that returns the dataset, with its options, such as `functools.partial(MyDataset,
            root="pictures")`.
        splits: split (`train`, `val` or `test`) -> further options with which `dataset` returns this split. If it is
            empty, `dataset` returns all images.
        **options: options of `ArrayImagesDataModule`.
    """

    default_name: ClassVar[str] = "dataset"

    def __init__(
        self, dataset: Callable[..., Any], *, splits: Mapping[str, Mapping[str, Any]] | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.dataset, self.splits = dataset, {} if splits is None else dict(splits)
        if self.splits and ("train" not in self.splits or not set(self.splits) <= set(SPLITS)):
            raise UserError(
                f"data.splits must contain train, and possibly val and test, got {', '.join(self.splits)}. Correct "
                "data.splits, such as data.splits={train: {train: true}, test: {train: false}}."
            )

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        function, keywords = split_partial(self.dataset)
        return f"{function.__module__}.{function.__qualname__}({', '.join(f'{k}={v!r}' for k, v in keywords.items())})"

    def open(self) -> Opened:
        """Build the dataset of each split."""
        function, keywords = split_partial(self.dataset)
        parts: dict[str, Part] = {}
        names = None
        for part, options in (self.splits or {"train": {}}).items():
            dataset = self.dataset(**options)
            parts[part] = DatasetPart(dataset, dataset_key(function, {**keywords, **options}))
            names = names or label_names(dataset)
        return Opened(parts, names)


def split_partial(factory: Callable[..., Any]) -> tuple[Any, dict[str, Any]]:
    """Return the function of a `functools.partial`, and its keyword arguments. Another function has no arguments."""
    return (factory.func, factory.keywords) if isinstance(factory, functools.partial) else (factory, {})


def label_names(dataset: Any) -> list[str] | None:
    """Return the names of classes or attributes, if the dataset has them as in torchvision, else None."""
    names = getattr(dataset, "classes", None) or getattr(dataset, "attr_names", None)
    return [str(name) for name in names] if isinstance(names, (list, tuple)) else None


def dataset_key(function: Any, options: Mapping[str, Any]) -> list[Any]:
    """Return JSON values that change if the code, the options or the files of a dataset change."""
    key: list[Any] = [f"{function.__module__}.{function.__qualname__}"]
    try:
        source = Path(inspect.getfile(function))
        key.append(file_digest(source.parent, [source.name]))
    except (TypeError, OSError):  # defined in an interactive session
        key.append(None)
    for name, value in sorted(options.items()):
        key.append([name, json.loads(json.dumps(value, default=repr))])
        if isinstance(value, (str, os.PathLike)) and Path(value).expanduser().exists():
            key.append(_path_digest(Path(value).expanduser()))
    return key


def _path_digest(path: Path) -> str:
    """Return a digest of the sizes and modification times of a file, or of the files in a folder."""
    if path.is_file():
        return file_digest(path.parent, [path.name])
    names = []
    for folder, _, files in os.walk(path):
        names += [os.path.relpath(os.path.join(folder, file), path) for file in files]
        if len(names) > MAX_FILES:
            break
    return file_digest(path, sorted(names)[:MAX_FILES])
