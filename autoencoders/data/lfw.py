"""Labeled Faces in the Wild, with attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.datamodule import ImageDataModule, Source
from autoencoders.data.download import fetch, unpack
from autoencoders.data.image_cache import cached_images, listing
from autoencoders.data.image_io import decode_files, picture_size, read_all, read_picture, unreadable_files
from autoencoders.data.loader import Split
from autoencoders.types import Annotations, Context, UserError

FOLDERS = ("lfw-deepfunneled", "lfw_funneled", "lfw")
ARCHIVES = ("lfw-deepfunneled.tgz", "lfw-funneled.tgz", "lfw.tgz")
DOWNLOAD = "https://ndownloader.figshare.com/files/5976015"
SHA256 = "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"
"""The funneled archive and its checksum, as in scikit-learn's `fetch_lfw_people`."""
ATTRIBUTES = "lfw_attributes.txt"


class LFWDataModule(ImageDataModule):
    """13,233 photos of 5,749 persons (Huang et al., 2007), central crop, resized.

    Under `<root>/lfw/` an unpacked folder is used, else an archive is unpacked there, else the funneled archive
    is downloaded. Attributes come from `<root>/lfw/lfw_attributes.txt` (Kumar et al., 2009), any number of
    columns, joined on person and image number.

    Args:
        size: side of the square images, in pixels.
        crop: side of the central square that is cut first, in pixels of the 250 x 250 photos.
        color: three channels, else one.
        attributes: attributes that make a CVAE's context or a classifier's question, or `all`; photos without them are then
            left out.
        cache: folder of decoded images; None for the user's cache folder.
        **common: see `ImageData`.
    """

    def __init__(
        self,
        *,
        size: int = 64,
        crop: int = 90,
        color: bool = True,
        attributes: Sequence[str] | str = (),
        cache: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        for field, value in (("size", size), ("crop", crop)):
            if not 8 <= value <= 250:
                raise UserError(f"data.{field} must lie in 8 .. 250 pixels, and is {value}.")
        self.size, self.crop, self.color = size, crop, color
        self.attributes, self.cache = attributes if attributes == "all" else tuple(attributes), cache

    @property
    def tells(self) -> bool:
        """Whether labels come with the images."""
        return bool(self.attributes)

    @property
    def folder(self) -> Path:
        """Where photos and attributes are."""
        return self.root / "lfw"

    def prepare_data(self) -> None:
        """Unpack or download the photos unless they are in place."""
        if self._photos() is not None:
            return
        archive = next((self.folder / name for name in ARCHIVES if (self.folder / name).is_file()), None)
        unpack(archive or self._download(), self.folder, FOLDERS)

    def _photos(self) -> Path | None:
        return next((self.folder / name for name in FOLDERS if (self.folder / name).is_dir()), None)

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
        """All photos in name order, with the chosen attributes as labels."""
        photos = self._photos()
        files = sorted(photos.glob("*/*.jpg"))
        if not files:
            raise UserError(f"{photos} holds no <Person_Name>/<Person_Name>_0001.jpg. Unpack the archive again.")
        channels = 3 if self.color else 1
        images, unreadable = cached_images(
            "lfw",
            ["lfw", listing(photos, _names(files)), self.size, self.crop, self.color],
            len(files),
            (channels, self.size, self.size),
            decode_files(
                files,
                lambda f: read_picture(f, (self.size, self.size), color=self.color, box=self.crop),
                "decoding lfw",
            ),
            cache=self.cache,
            memory=self.memory,
        )
        if unreadable:
            told = unreadable_files({files[row]: why for row, why in unreadable.items()}, len(files))
            raise UserError(f"{told} Unpack the archive again.")
        if not self.attributes:
            return Source(Split(images, None), None, None)
        table = self.folder / ATTRIBUTES
        names = columns(table) if self.attributes == "all" else self.attributes
        return Source(Split(images, attributes(table, files, names)), None, Context("attributes", names))

    def annotate(self, test: bool) -> Annotations:
        """Persons, and every attribute of the table where there is one."""
        files = sorted(self._photos().glob("*/*.jpg"))
        persons = [file.parent.name for file in files]
        names = tuple(sorted(set(persons)))
        number = {name: i for i, name in enumerate(names)}
        table, known = self.folder / ATTRIBUTES, ()
        if table.is_file():
            known = columns(table)
        return Annotations(
            names=_names(files),
            groups=torch.tensor([number[person] for person in persons]),
            group_names=tuple(name.replace("_", " ") for name in names),
            attributes=attributes(table, files, known) if known else None,
            attribute_names=known,
        )

    def read_pictures(self, files: Sequence[Path]) -> Tensor:
        """Photos of the size of LFW's are cropped as they are; others, to their central square."""

        def decode(file: Path) -> np.ndarray:
            box = self.crop if picture_size(file) == (250, 250) else None
            return read_picture(file, (self.size, self.size), color=self.color, box=box)

        return torch.from_numpy(read_all(files, decode))


def _names(files: Sequence[Path]) -> list[str]:
    """`<Person_Name>/<Person_Name>_0001.jpg`."""
    return [f"{file.parent.name}/{file.name}" for file in files]


def columns(table: Path) -> tuple[str, ...]:
    """The attributes that a table has.

    Raises:
        UserError: where there is no table.
    """
    if not table.is_file():
        raise UserError(f"data.attributes needs {table}, and there is none. Put the published {ATTRIBUTES} there.")
    with table.open() as file:
        return tuple(next(line for line in file if line.startswith("#\t")).rstrip("\n").split("\t")[3:])


def attributes(table: Path, files: Sequence[Path], names: Sequence[str]) -> Tensor:
    """The named attributes of each photo, (N, A) float32; a photo without a row has NaN.

    Args:
        table: the published format: a comment, a header that begins with `#` and a tab, tab-separated rows of
            person (with spaces), image number and one value per attribute.
        files: photos named `<Person_Name>_<number>.jpg`.
        names: of attributes.

    Raises:
        UserError: where the table or an attribute is missing; the attributes it has are listed.
    """
    import pandas as pd

    known = columns(table)
    with table.open() as file:
        header = next(line for line in file if line.startswith("#\t")).rstrip("\n").split("\t")[1:]
        values = pd.read_csv(file, sep="\t", names=header)
    missing = [name for name in names if name not in known]
    if missing:
        raise UserError(
            f"data.attributes names {missing[0]!r}, and {table.name} has no such column. It has: {', '.join(known)}."
        )
    values.index = pd.MultiIndex.from_arrays([values["person"].str.replace(" ", "_"), values["imagenum"].astype(int)])
    stems = [file.stem.rpartition("_") for file in files]
    index = pd.MultiIndex.from_arrays([[s[0] for s in stems], [int(s[2]) for s in stems]])
    chosen = values[~values.index.duplicated()][list(names)].reindex(index)
    return torch.tensor(chosen.to_numpy(dtype="float32"))
