"""Fashion-MNIST, which has the same file names and file format as MNIST."""

from __future__ import annotations

from typing import ClassVar

from autoencoders.data.mnist import MNISTDataModule


class FashionMNISTDataModule(MNISTDataModule):
    """Gray 28 x 28 images of clothes: 60,000 for training and 10,000 for test.

    Source: Xiao, Rasul and Vollgraf, 2017.
    """

    default_name: ClassVar[str] = "fashion"
    dataset: ClassVar[str] = "FashionMNIST"
    classes: ClassVar[tuple[str, ...]] = (
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
