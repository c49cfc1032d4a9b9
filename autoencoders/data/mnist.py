"""MNIST, from the files that torchvision names, and against its checksums."""

from __future__ import annotations

import math
import re
import struct
import sys
from pathlib import Path
from typing import ClassVar

from autoencoders.data.datamodule import ImageDataModule, Source
from autoencoders.data.download import decompress, fetch, matches
from autoencoders.data.loader import Split
from autoencoders.types import Context, UserError

IDX = re.compile(rb"\0\0\x08[\x01\x03]")
"""How an idx file of bytes begins: their type, and one dimension (labels) or three (images)."""


class MNISTDataModule(ImageDataModule):
    """60,000 + 10,000 handwritten digits, 28 x 28 gray (LeCun, Cortes and Burges, 1998).

    Files under `<root>/MNIST/raw/` are used where they are whole; others are downloaded there, with torchvision's
    checksums. The official test split is kept; validation is cut from training.
    """

    dataset: ClassVar[str] = "MNIST"
    """The name of torchvision's dataset, and of the folder under the data root."""
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")

    @property
    def folder(self) -> Path:
        """Where the four files are."""
        return self.root / self.dataset / "raw"

    def prepare_data(self) -> None:
        """Download the files that are not in place, or not whole."""
        import torchvision

        published = getattr(torchvision.datasets, self.dataset)
        for name, md5 in published.resources:
            file, archive = self.folder / name.removesuffix(".gz"), self.folder / name
            damage = idx_damage(file)
            if damage is None:
                continue
            if file.is_file():
                print(f"autoencoders: {file} is damaged ({damage}), and is fetched again.", file=sys.stderr)
            if not matches(archive, f"md5:{md5}"):
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
        import torchvision

        dataset = getattr(torchvision.datasets, self.dataset)(self.root, train=train)
        return Split(dataset.data[:, None].contiguous(), dataset.targets.long())

    def read(self) -> Source:
        """Both official splits."""
        return Source(self._open(train=True), self._open(train=False), Context("classes", self.classes))


def idx_damage(file: Path) -> str | None:
    """What is wrong with an idx file, by the size that its header tells; None where nothing is."""
    if not file.is_file():
        return "is missing"
    with file.open("rb") as stream:
        start = stream.read(4)
        dimensions = struct.unpack(f">{start[3]}I", stream.read(4 * start[3])) if IDX.fullmatch(start) else None
    if dimensions is None:
        return "is no idx file"
    expected = 4 + 4 * len(dimensions) + math.prod(dimensions)
    size = file.stat().st_size
    return None if size == expected else f"has {size:,} bytes where {expected:,} were expected"
