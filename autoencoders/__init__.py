"""Train, evaluate and apply AE, VAE and CVAE models on images.

Symbols in the shapes that docstrings and comments of this package give:

    B        images in a batch
    N        images in a split or in another set of images
    C, H, W  channels, height and width of an image
    Z        latent size: numbers in the latent code of an image
    A        attributes per image
    F        features per image
    K        size of the context vector, or samples per image; the docstring says which

`import autoencoders` does not import torch or Lightning, so that commands start quickly. Names are imported when they
are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoencoders.utils.lazy import lazy_names, sorted_names

if TYPE_CHECKING:
    from pathlib import Path

    from autoencoders.models.ae import AE
    from autoencoders.models.classifier import Classifier
    from autoencoders.models.cvae import CVAE
    from autoencoders.models.pca import PCA
    from autoencoders.models.supervised_ae import SupervisedAE
    from autoencoders.models.vae import VAE
    from autoencoders.runs.pretrained import list_pretrained
    from autoencoders.runs.run import Run
    from autoencoders.training.from_python import train_from_python as train
    from autoencoders.types import ApplicationResult, UserError

__version__ = "0.2.0"
__all__ = [
    "AE", "CVAE", "PCA", "VAE", "ApplicationResult", "Classifier", "Run",
    "SupervisedAE", "UserError", "list_pretrained", "load", "train",
]  # fmt: skip

_NAMES = {
    "AE": "autoencoders.models.ae",
    "VAE": "autoencoders.models.vae",
    "CVAE": "autoencoders.models.cvae",
    "PCA": "autoencoders.models.pca",
    "SupervisedAE": "autoencoders.models.supervised_ae",
    "Classifier": "autoencoders.models.classifier",
    "Run": "autoencoders.runs.run",
    "list_pretrained": "autoencoders.runs.pretrained",
    "ApplicationResult": "autoencoders.types",
    "UserError": "autoencoders.types",
}
# `autoencoders.train` is the module `train.py`. It can be called like a function; see its class `CallableModule`.
_MODULES = ("train", "data", "models", "nets", "objectives", "latent", "types")
__getattr__ = lazy_names(__name__, _NAMES, _MODULES)


def __dir__() -> list[str]:
    return sorted_names(globals(), (*_NAMES, *_MODULES))


def load(path: str | Path, trust: tuple[str, ...] = ()) -> Run:
    """Load a trained run. Its model is in evaluation mode on the CPU.

    Args:
        path: a run folder, a checkpoint file (`.ckpt`), a folder that `application=export` has written, a repository on
            the hub (`hub:user/name`, or `hub:user/name@revision`), or a model that the package contains
            (`pretrained:mnist-cvae`; see `list_pretrained`).
        trust: prefixes of additional classes that the saved configuration may contain, such as `("my_package.",)`. By
            default, only classes of this package and optimizers and schedules of torch are allowed.

    Returns:
        The run, with its model, data, metrics, history and figures. The data are read, or downloaded, when they are
        used for the first time. An export has no history and no figures.

    Raises:
        autoencoders.types.UserError: if no run can be loaded from the path, or the saved configuration contains a class
            that is not allowed.
    """
    from autoencoders.applications.by_name import load_run

    return load_run(path, trust)
