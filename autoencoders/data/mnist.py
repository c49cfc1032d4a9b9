"""MNIST, from torchvision's files and download."""

from __future__ import annotations

from typing import ClassVar

from autoencoders.data.base import ImageData, Source
from autoencoders.data.batches import Split
from autoencoders.types import Context, UserError


class MNIST(ImageData):
    """60,000 + 10,000 handwritten digits, 28 x 28 grey (LeCun, Cortes and Burges, 1998).

    Files under `<root>/MNIST/raw/` are used as they are; else they are downloaded there, with torchvision's
    checksums. The official test split is kept; validation is cut from training.
    """

    dataset: ClassVar[str] = "MNIST"
    """The name of torchvision's dataset, and of the folder under the data root."""
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def _open(self, train: bool, download: bool = False) -> Split:
        import torchvision

        dataset = getattr(torchvision.datasets, self.dataset)(self.root, train=train, download=download)
        return Split(dataset.data[:, None].contiguous(), dataset.targets.long())

    def prepare_data(self) -> None:
        """Download the files unless they are in place."""
        try:
            self._open(train=True)
        except RuntimeError:
            pass
        else:
            return
        try:
            self._open(train=True, download=True)
        except (RuntimeError, OSError) as error:
            folder = self.root / self.dataset / "raw"
            raise UserError(
                f"data={self.name} needs the {self.dataset} files in {folder}; they are not there, and the download "
                f"failed ({str(error).splitlines()[0].rstrip(':')}). Connect to the network, put the four idx files "
                "there, or point AUTOENCODERS_DATA (or data.root) to a folder that has them."
            ) from error

    def read(self) -> Source:
        """Both official splits."""
        return Source(self._open(train=True), self._open(train=False), Context("classes", self.classes))
