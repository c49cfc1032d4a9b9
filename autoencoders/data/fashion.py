"""Fashion-MNIST, in the same files as MNIST."""

from __future__ import annotations

from typing import ClassVar

from autoencoders.data.mnist import MNISTDataModule


class FashionMNISTDataModule(MNISTDataModule):
    """60,000 + 10,000 images of clothes, 28 x 28 gray (Xiao, Rasul and Vollgraf, 2017)."""

    default_name: ClassVar[str] = "fashion"
    dataset: ClassVar[str] = "FashionMNIST"
    classes: ClassVar[tuple[str, ...]] = (
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
