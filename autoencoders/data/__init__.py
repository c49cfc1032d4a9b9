"""Datasets as Lightning data modules. Their base class in `datamodule.py` builds the splits and the batches.

The classes are imported when they are used:

>>> from autoencoders.data import DigitsDataModule
>>> data = DigitsDataModule(batch_size=64)
>>> data.setup()
>>> data.shape
(1, 28, 28)
>>> len(data.images("train"))
1258
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoencoders.utils.lazy import lazy_names, sorted_names

if TYPE_CHECKING:
    from autoencoders.data.arrays import ArraysDataModule
    from autoencoders.data.cartoons import CartoonsDataModule
    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.data.digits import DigitsDataModule
    from autoencoders.data.dsprites import DSpritesDataModule
    from autoencoders.data.fashion import FashionMNISTDataModule
    from autoencoders.data.folder import ImageFolderDataModule
    from autoencoders.data.huggingface import HuggingFaceDataModule
    from autoencoders.data.lfw import LFWDataModule
    from autoencoders.data.mnist import MNISTDataModule
    from autoencoders.data.shapes3d import Shapes3DDataModule
    from autoencoders.data.sprites import SpritesDataModule
    from autoencoders.data.torchvision_data import TorchvisionDataModule
    from autoencoders.data.wrapped_dataset import DatasetDataModule

__all__ = [
    "ArraysDataModule",
    "CartoonsDataModule",
    "DSpritesDataModule",
    "DatasetDataModule",
    "DigitsDataModule",
    "FashionMNISTDataModule",
    "HuggingFaceDataModule",
    "ImageDataModule",
    "ImageFolderDataModule",
    "LFWDataModule",
    "MNISTDataModule",
    "Shapes3DDataModule",
    "SpritesDataModule",
    "TorchvisionDataModule",
]

_NAMES = {
    "ArraysDataModule": "autoencoders.data.arrays",
    "CartoonsDataModule": "autoencoders.data.cartoons",
    "DSpritesDataModule": "autoencoders.data.dsprites",
    "DatasetDataModule": "autoencoders.data.wrapped_dataset",
    "DigitsDataModule": "autoencoders.data.digits",
    "FashionMNISTDataModule": "autoencoders.data.fashion",
    "HuggingFaceDataModule": "autoencoders.data.huggingface",
    "ImageDataModule": "autoencoders.data.datamodule",
    "ImageFolderDataModule": "autoencoders.data.folder",
    "LFWDataModule": "autoencoders.data.lfw",
    "MNISTDataModule": "autoencoders.data.mnist",
    "Shapes3DDataModule": "autoencoders.data.shapes3d",
    "SpritesDataModule": "autoencoders.data.sprites",
    "TorchvisionDataModule": "autoencoders.data.torchvision_data",
}
__getattr__ = lazy_names(__name__, _NAMES)


def __dir__() -> list[str]:
    return sorted_names(globals(), _NAMES)
