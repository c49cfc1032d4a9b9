"""Fashion-MNIST, from torchvision's files and download."""

from __future__ import annotations

from typing import ClassVar

from autoencoders.data.mnist import MNISTDataModule


class FashionMNISTDataModule(MNISTDataModule):
    """60,000 + 10,000 pictures of clothes, 28 x 28 gray (Xiao, Rasul and Vollgraf, 2017)."""

    dataset: ClassVar[str] = "FashionMNIST"
    classes: ClassVar[tuple[str, ...]] = (
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
