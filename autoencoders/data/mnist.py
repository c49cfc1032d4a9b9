"""MNIST, from the files and checksums that torchvision lists."""

from __future__ import annotations

import math
import re
import struct
import sys
from pathlib import Path
from typing import Any, ClassVar

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.download import decompress, fetch, matches_checksum
from autoencoders.data.loader import Split
from autoencoders.data.splits import Source
from autoencoders.types import Context, UserError

IDX_MAGIC = re.compile(rb"\0\0\x08[\x01\x03]")
"""First bytes of an idx file of bytes: the type, and one dimension (labels) or three (images)."""


class MNISTDataModule(ImageDataModule):
    """60,000 + 10,000 handwritten digits, 28 x 28 gray (LeCun, Cortes and Burges, 1998).

    Complete files under `<root>/MNIST/raw/` are used. Missing and damaged files are downloaded to this folder and
    checked against torchvision's checksums. The official test split is kept; validation images are taken from the
    training images.
    """

    default_name: ClassVar[str] = "mnist"
    dataset: ClassVar[str] = "MNIST"
    """Name of torchvision's dataset, and of the folder under the data root."""
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")

    @property
    def folder(self) -> Path:
        """Folder of the four files."""
        return self.root / self.dataset / "raw"

    def _torchvision_dataset(self) -> Any:
        """Return torchvision's class of the dataset, which lists its files and reads them."""
        import torchvision  # type: ignore[import-untyped]  # it has no type information

        return getattr(torchvision.datasets, self.dataset)

    def prepare_data(self) -> None:
        """Download the files that are missing or damaged."""
        published = self._torchvision_dataset()
        for name, md5 in published.resources:
            file, archive = self.folder / name.removesuffix(".gz"), self.folder / name
            damage = find_idx_damage(file)
            if damage is None:
                continue
            if file.is_file():
                print(f"autoencoders: {file} is damaged ({damage}), and is fetched again.", file=sys.stderr)
            if not matches_checksum(archive, f"md5:{md5}"):
                self._fetch([mirror + name for mirror in published.mirrors], archive, f"md5:{md5}", damage)
            decompress(archive, file)

    def _fetch(self, addresses: list[str], archive: Path, checksum: str, damage: str) -> None:
        try:
            fetch(addresses, archive, checksum)
        except UserError as error:
            raise UserError(
                f"data={self.name} needs the {self.dataset} files in {self.folder}; {archive.stem} {damage}, and "
                f"the download failed ({error}). Connect to the network, put the four idx files there, or point "
                "AUTOENCODERS_DATA (or data.root) to a folder that has them."
            ) from error

    def _open(self, train: bool) -> Split:
        dataset = self._torchvision_dataset()(self.root, train=train)
        return Split(dataset.data[:, None].contiguous(), dataset.targets.long())

    def read(self) -> Source:
        """Read both official splits."""
        return Source(self._open(train=True), self._open(train=False), Context("classes", self.classes))


def find_idx_damage(file: Path) -> str | None:
    """Return why an idx file is not usable, by its size and header, or None if it is complete."""
    if not file.is_file():
        return "is missing"
    with file.open("rb") as stream:
        start = stream.read(4)
        if not IDX_MAGIC.fullmatch(start):
            return "is not an idx file"
        dimensions = struct.unpack(f">{start[3]}I", stream.read(4 * start[3]))
    expected = 4 + 4 * len(dimensions) + math.prod(dimensions)
    size = file.stat().st_size
    return None if size == expected else f"has {size:,} bytes, expected {expected:,}"
