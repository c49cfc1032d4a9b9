"""Data module of a run whose data are not known, such as an exported model."""

from __future__ import annotations

from autoencoders.data.datamodule import ImageDataModule
from autoencoders.data.splits import Source
from autoencoders.types import UserError


class MissingData(ImageDataModule):
    """Data module that raises an error when its images are needed.

    Args:
        name: display name of the data of the training.
        reason: sentence that says why there are no data.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name=name)
        self.reason = reason

    def read(self) -> Source:
        """Raise UserError, because there are no images."""
        raise UserError(self.reason)
