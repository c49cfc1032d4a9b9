"""Labeled Faces in the Wild, with attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.download import fetch, unpack
from autoencoders.data.image_cache import cached_images, file_digest
from autoencoders.data.image_io import decode_files, describe_unreadable, read_all, read_image, stored_size
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Annotations, Context, UserError
from autoencoders.utils.checks import require

FOLDERS = ("lfw-deepfunneled", "lfw_funneled", "lfw")
ARCHIVES = ("lfw-deepfunneled.tgz", "lfw-funneled.tgz", "lfw.tgz")
DOWNLOAD = "https://ndownloader.figshare.com/files/5976015"
SHA256 = "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"
"""The funneled archive and its checksum, as in scikit-learn's `fetch_lfw_people`."""
ATTRIBUTES_FILE = "lfw_attributes.txt"


class LFWDataModule(ImageDataModule):
    """13,233 photos of 5,749 persons (Huang et al., 2007), cropped to the center and resized.

    An unpacked folder under `<root>/lfw/` is used. If there is none, an archive in this folder is unpacked; if there
    is no archive either, the funneled archive is downloaded. Attributes are read from `<root>/lfw/lfw_attributes.txt`
    (Kumar et al., 2009), with any number of columns, and are joined on person and image number.

    Args:
        root: see `ImageDataModule`.
        size: side of the square images, in pixels.
        crop: side of the central square that is cut first, in pixels of the 250 x 250 photos.
        color: three channels, else one.
        attributes: attributes that are the labels of a conditional model or a classifier, or `all`. Photos without
            these attributes are left out.
        cache: folder of decoded images; None for the user's cache folder.
        **common: see `ImageDataModule`.
    """

    default_name: ClassVar[str] = "lfw"

    def __init__(
        self,
        root: str | None = None,
        *,
        size: int = 64,
        crop: int = 90,
        color: bool = True,
        attributes: Sequence[str] | str = (),
        cache: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(root, **common)
        for field, value in (("size", size), ("crop", crop)):
            require(8 <= value <= 250, f"data.{field}", value, "a number of pixels in 8 .. 250")
        self.size, self.crop, self.color, self.cache = size, crop, color, cache
        self.all_attributes = attributes == "all"
        self.attributes = () if self.all_attributes else tuple(attributes)

    @property
    def has_labels(self) -> bool:
        """Whether the images come with labels."""
        return self.all_attributes or bool(self.attributes)

    @property
    def folder(self) -> Path:
        """Folder of the photos and the table of attributes."""
        return self.root / "lfw"

    @property
    def attribute_table(self) -> Path:
        """File of the attributes."""
        return self.folder / ATTRIBUTES_FILE

    def prepare_data(self) -> None:
        """Unpack or download the photos if they are not in place."""
        if self._find_photos() is not None:
            return
        archive = next((self.folder / name for name in ARCHIVES if (self.folder / name).is_file()), None)
        unpack(archive or self._download(), self.folder, FOLDERS)

    def _find_photos(self) -> Path | None:
        """Return the unpacked folder, or None."""
        return next((self.folder / name for name in FOLDERS if (self.folder / name).is_dir()), None)

    def _list_photos(self) -> tuple[Path, list[Path]]:
        """Return the unpacked folder and its photos in the order of their names."""
        photos = self._find_photos()
        if photos is None:
            raise UserError(f"{self.folder} holds none of the folders {', '.join(FOLDERS)}. Call prepare_data() first.")
        files = sorted(photos.glob("*/*.jpg"))
        if not files:
            raise UserError(f"{photos} holds no <Person_Name>/<Person_Name>_0001.jpg. Unpack the archive again.")
        return photos, files

    def _download(self) -> Path:
        archive = self.folder / "lfw-funneled.tgz"
        try:
            fetch([DOWNLOAD], archive, f"sha256:{SHA256}")
        except UserError as error:
            raise UserError(
                f"data=lfw needs the photos in {self.folder}/{FOLDERS[0]} (or one of {', '.join(ARCHIVES)} in "
                f"{self.folder}); they are not there, and the download failed ({error}). Connect to the network, or "
                "point AUTOENCODERS_DATA (or data.root) to a folder that has them."
            ) from error
        return archive

    def read(self) -> Source:
        """Read all photos in the order of their names, with the chosen attributes as labels."""
        photos, files = self._list_photos()
        images, unreadable = cached_images(
            "lfw",
            ["lfw", file_digest(photos, _relative_names(files)), self.size, self.crop, self.color],
            len(files),
            (3 if self.color else 1, self.size, self.size),
            decode_files(files, lambda file: self._decode(file, self.crop), "decoding lfw"),
            cache=self.cache,
            memory=self.memory,
        )
        if unreadable:
            message = describe_unreadable({files[row]: reason for row, reason in unreadable.items()}, len(files))
            raise UserError(f"{message} Unpack the archive again.")
        if not self.has_labels:
            return Source(Split(images, None), None, None)
        names = read_attribute_names(self.attribute_table) if self.all_attributes else self.attributes
        labels = read_attributes(self.attribute_table, files, names)
        return Source(Split(images, labels), None, Context("attributes", names))

    def annotate(self, test: bool) -> Annotations:
        """Return the person of each photo and, if the table exists, all attributes."""
        _, files = self._list_photos()
        persons = [file.parent.name for file in files]
        names = tuple(sorted(set(persons)))
        number = {name: i for i, name in enumerate(names)}
        annotations = Annotations(
            names=_relative_names(files),
            groups=torch.tensor([number[person] for person in persons]),
            group_names=tuple(name.replace("_", " ") for name in names),
        )
        if self.attribute_table.is_file():
            annotations.attribute_names = read_attribute_names(self.attribute_table)
            annotations.attributes = read_attributes(self.attribute_table, files, annotations.attribute_names)
        return annotations

    def read_image_files(self, files: Sequence[Path]) -> Tensor:
        """Read image files of the user. Files of the size of the photos are cropped like these; others are not."""

        def decode(file: Path) -> np.ndarray:
            return self._decode(file, self.crop if stored_size(file) == (250, 250) else None)

        return torch.from_numpy(read_all(files, decode))

    def _decode(self, file: Path, crop: int | None) -> np.ndarray:
        return read_image(file, (self.size, self.size), color=self.color, box=crop)


def _relative_names(files: Sequence[Path]) -> list[str]:
    """Return `<Person_Name>/<Person_Name>_0001.jpg` for each photo."""
    return [f"{file.parent.name}/{file.name}" for file in files]


def _read_header(file: TextIO) -> list[str]:
    """Read up to the header of a table and return its columns: person, image number and the attributes."""
    return next(line for line in file if line.startswith("#\t")).rstrip("\n").split("\t")[1:]


def read_attribute_names(table: Path) -> tuple[str, ...]:
    """Return the names of the attributes in a table.

    Raises:
        UserError: if the table does not exist.
    """
    if not table.is_file():
        raise UserError(f"data.attributes needs {table}, which does not exist. Put the published {table.name} there.")
    with table.open() as file:
        return tuple(_read_header(file)[2:])


def read_attributes(table: Path, files: Sequence[Path], names: Sequence[str]) -> Tensor:
    """Return the named attributes of each photo, (N, A) float32, with NaN for a photo without a row.

    Args:
        table: file in the published format: a comment, a header that begins with `#` and a tab, tab-separated rows of
            person (with spaces), image number and one value per attribute.
        files: photos named `<Person_Name>_<number>.jpg`.
        names: names of attributes.

    Raises:
        UserError: if the table does not exist or has no such attribute. The message lists its attributes.
    """
    import pandas as pd

    known = read_attribute_names(table)
    missing = [name for name in names if name not in known]
    if missing:
        raise UserError(
            f"data.attributes names {missing[0]!r}, and {table.name} has no such column. It has: {', '.join(known)}."
        )
    with table.open() as file:
        header = _read_header(file)
        values = pd.read_csv(file, sep="\t", names=header)
    values.index = pd.MultiIndex.from_arrays([values["person"].str.replace(" ", "_"), values["imagenum"].astype(int)])
    stems = [file.stem.rpartition("_") for file in files]
    index = pd.MultiIndex.from_arrays([[stem[0] for stem in stems], [int(stem[2]) for stem in stems]])
    chosen = values[~values.index.duplicated()][list(names)].reindex(index)
    return torch.tensor(chosen.to_numpy(dtype="float32"))
