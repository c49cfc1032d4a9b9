"""Labeled Faces in the Wild (LFW): photos of persons, with attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TextIO

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
PHOTO = 250
"""Height and width of the photos, in pixels."""
DOWNLOAD = "https://ndownloader.figshare.com/files/5976015"
SHA256 = "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"
"""SHA-256 checksum of the archive at `DOWNLOAD`. The URL and checksum are equal to those in scikit-learn."""
ATTRIBUTES_FILE = "lfw_attributes.txt"


class LFWDataModule(ImageDataModule):
    """13,233 photos of 5,749 persons (Huang et al., 2007), cropped to a central square and resized.

    Photos are read from an unpacked folder in `<root>/lfw/`. If this folder does not exist, an archive in
    `<root>/lfw/` is unpacked. If there is no archive, the archive of the funneled (aligned) photos is downloaded.
    Attributes are read from the table `<root>/lfw/lfw_attributes.txt` (Kumar et al., 2009), which identifies a photo by
    the name of the person and the image number. The table may have any number of attribute columns.

    Args:
        root: folder for downloaded files; see `ImageDataModule`.
        size: height and width of the resized images, in pixels.
        crop: height and width of the central square, in pixels of the 250 x 250 photos.
        color: load images with three color channels, else with one gray channel.
        attributes: attributes that a conditional model or a classifier uses as labels; `all` for every attribute.
            Photos that lack one of these attributes are removed.
        cache: folder for the cache of decoded images; None for a folder in the user's cache folder.
        split: see `ImageDataModule`.
        test: see `ImageDataModule`.
        batch_size: see `ImageDataModule`.
        eval_batch_size: see `ImageDataModule`.
        flip: see `ImageDataModule`.
        **common: options of `ImageDataModule`.
    """

    default_name: ClassVar[str] = "lfw"
    selectable_attributes: ClassVar[tuple[str, ...]] = ("Male", "Smiling")

    def __init__(
        self,
        root: str | None = None,
        *,
        size: int = 64,
        crop: int = 90,
        color: bool = True,
        attributes: Sequence[str] | str = (),
        cache: str | None = None,
        split: str = "alphabetical",
        test: float = 0.1,
        batch_size: int | Literal["auto"] = 64,
        eval_batch_size: int = 250,
        flip: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(
            root, split=split, test=test, batch_size=batch_size, eval_batch_size=eval_batch_size, flip=flip, **common
        )
        for field, value in (("size", size), ("crop", crop)):
            require(8 <= value <= 250, f"data.{field}", value, "a number of pixels between 8 and 250")
        self.size, self.crop, self.color, self.cache = size, crop, color, cache
        self.all_attributes = attributes == "all"
        self.attributes = () if self.all_attributes else tuple(attributes)

    @property
    def has_labels(self) -> bool:
        """Whether the images have labels, which is true if `attributes` is not empty."""
        return self.all_attributes or bool(self.attributes)

    @property
    def folder(self) -> Path:
        """Folder `<root>/lfw/`, which contains the photos and the attribute table."""
        return self.root / "lfw"

    @property
    def origin(self) -> str:
        """Text that says where the images come from."""
        return str(self._find_photos() or self.folder)

    @property
    def attribute_table(self) -> Path:
        """Path of the attribute table."""
        return self.folder / ATTRIBUTES_FILE

    def prepare_data(self) -> None:
        """Unpack or download the photos if the unpacked folder does not exist."""
        if self.is_loaded or self._find_photos() is not None:
            return
        archive = next((self.folder / name for name in ARCHIVES if (self.folder / name).is_file()), None)
        unpack(archive or self._download(), self.folder, FOLDERS)

    def _find_photos(self) -> Path | None:
        """Return the path of the unpacked folder with photos, or None if it does not exist."""
        return next((self.folder / name for name in FOLDERS if (self.folder / name).is_dir()), None)

    def _list_photos(self) -> tuple[Path, list[Path]]:
        """Return the path of the unpacked folder, and the paths of its photos, sorted by name."""
        photos = self._find_photos()
        if photos is None:
            raise UserError(
                f"{self.folder} must contain one of the folders {', '.join(FOLDERS)}, got none. "
                "Call prepare_data() first."
            )
        files = sorted(photos.glob("*/*.jpg"))
        if not files:
            raise UserError(
                f"{photos} must contain photos with names such as <Person_Name>/<Person_Name>_0001.jpg, got none. "
                "Unpack the archive again."
            )
        return photos, files

    def _download(self) -> Path:
        archive = self.folder / "lfw-funneled.tgz"
        try:
            fetch([DOWNLOAD], archive, f"sha256:{SHA256}")
        except UserError as error:
            raise UserError(
                f"data=lfw needs photos, but {self.folder} contains neither the folder {FOLDERS[0]} nor one of the "
                f"archives {', '.join(ARCHIVES)}, and the download failed ({error}). Connect to the network, or set "
                "data.root (or AUTOENCODERS_DATA) to the folder that contains lfw/ with the photos."
            ) from error
        return archive

    def read(self) -> Source:
        """Read all photos, sorted by name. The chosen attributes become the labels."""
        photos, files = self._list_photos()
        stored = cached_images(
            "lfw",
            ["lfw", file_digest(photos, _relative_names(files)), self.size, self.crop, self.color],
            len(files),
            (3 if self.color else 1, self.size, self.size),
            decode_files(files, lambda file, white=None: self._decode(file, self.crop, white), "decoding lfw"),
            cache=self.cache,
            memory=self.memory,
        )
        if stored.unreadable:
            reasons = {files[row]: reason for row, reason in stored.unreadable.items()}
            message = describe_unreadable(reasons, len(files))
            raise UserError(f"{message} Unpack the archive again.")
        if not self.has_labels:
            return Source(Split(stored.images, None), None, None)
        names = read_attribute_names(self.attribute_table) if self.all_attributes else self.attributes
        labels = read_attributes(self.attribute_table, files, names)
        return Source(Split(stored.images, labels), None, Context("attributes", names))

    def annotate(self, part: str) -> Annotations:
        """Return the person in each photo and, if the attribute table exists, all attributes.

        There is no official test split, so `part` is not used.
        """
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
        """Read other image files into a tensor (N, C, H, W).

        Only images with 250 x 250 pixels, the size of the LFW photos, are first cropped to the central square of `crop`
        pixels.
        """

        def decode(file: Path, white: float | None = None) -> np.ndarray:
            return self._decode(file, self._box(file), white)

        return torch.from_numpy(read_all(files, decode))

    def mask_geometry(self, file: Path) -> tuple[str, int | None]:
        """Return how a mask file gets the size of the images, as an image in `read_image_files` does."""
        return "crop", self._box(file)

    @property
    def photo_crop(self) -> tuple[int, int]:
        """Height and width of the LFW photos, and side of the central square to which they are cropped, in pixels."""
        return PHOTO, self.crop

    def _box(self, file: Path) -> int | None:
        """Return the side of the central square to which an image file is cropped; None if it is no LFW photo."""
        return self.crop if stored_size(file) == (PHOTO, PHOTO) else None

    def _decode(self, file: Path, crop: int | None, white: float | None = None) -> np.ndarray:
        return read_image(file, (self.size, self.size), color=self.color, box=crop, white=white)


def _relative_names(files: Sequence[Path]) -> list[str]:
    """Return the relative path of each photo, such as `<Person_Name>/<Person_Name>_0001.jpg`."""
    return [f"{file.parent.name}/{file.name}" for file in files]


def _read_header(file: TextIO) -> list[str]:
    """Read an attribute table up to its header and return the column names: person, image number, attributes."""
    return next(line for line in file if line.startswith("#\t")).rstrip("\n").split("\t")[1:]


def read_attribute_names(table: Path) -> tuple[str, ...]:
    """Return the names of all attributes in an attribute table.

    Raises:
        UserError: if the table does not exist.
    """
    if not table.is_file():
        raise UserError(
            f"data.attributes needs the file {table}, but this file does not exist. "
            f"Copy the published {table.name} to this path."
        )
    with table.open(encoding="utf-8") as file:
        return tuple(_read_header(file)[2:])


def read_attributes(table: Path, files: Sequence[Path], names: Sequence[str]) -> Tensor:
    """Return the values (N, A) of A attributes for N photos, float32. Photos that are not in the table have NaN.

    Args:
        table: file in the published format. A comment is followed by a header, which begins with `#` and a tab. Each
            further row describes one photo with tab-separated values: the name of the person (with spaces), the image
            number and the attributes.
        files: paths of photos with names `<Person_Name>_<number>.jpg`.
        names: names of the A attributes.

    Raises:
        UserError: if the table does not exist or lacks one of the attributes (the message then lists all attributes in
            the table), if it lists a photo twice, or if a value is not a number.
    """
    import pandas as pd

    known = read_attribute_names(table)
    missing = [name for name in names if name not in known]
    if missing:
        raise UserError(
            f"data.attributes must contain only attributes in {table.name}, got {missing[0]!r}. "
            f"Choose from: {', '.join(known)}."
        )
    with table.open(encoding="utf-8") as file:
        header = _read_header(file)
        unknown = {name: ["", "nan", "NaN"] for name in header[1:]}  # a person may be called None or NA
        values = pd.read_csv(
            file, sep="\t", names=header, dtype={"person": str}, na_values=unknown, keep_default_na=False
        )
    try:
        numbers = values["imagenum"].astype(int)
        chosen = values[list(names)].astype("float32")
    except ValueError as error:
        raise UserError(
            f"{table} must contain numbers in all columns but the first ({error}). Copy the published file again."
        ) from error
    chosen.index = pd.MultiIndex.from_arrays([values["person"].str.replace(" ", "_"), numbers])
    if chosen.index.has_duplicates:
        person, number = chosen.index[chosen.index.duplicated()][0]
        raise UserError(f"{table} must list each photo once, got {person}_{number:04d} twice. Remove one of the rows.")
    stems = [file.stem.rpartition("_") for file in files]
    index = pd.MultiIndex.from_arrays(
        [[stem[0] for stem in stems], [int(stem[2]) if stem[2].isdecimal() else -1 for stem in stems]]
    )
    return torch.tensor(chosen.reindex(index).to_numpy())
