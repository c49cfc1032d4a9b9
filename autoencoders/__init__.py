"""Train, evaluate and apply AE, VAE and CVAE models on images.

Symbols in the shapes that docstrings and comments of this package give:

    B        images in a batch
    N        images in a split or in another set of images
    C, H, W  channels, height and width of an image
    Z        latent size: numbers in the latent code of an image
    A        attributes per image
    F        features per image
    K        size of the context vector, or samples per image; the docstring says which

`import autoencoders` does not import torch or Lightning, so that commands start quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from autoencoders.models.autoencoder import Autoencoder

__version__ = "0.2.0"


def load(path: str | Path, trust: tuple[str, ...] = ()) -> Autoencoder:
    """Load a trained model, in evaluation mode on the CPU.

    Args:
        path: a run folder, a checkpoint file (`.ckpt`), or a folder that `application=export` has written.
        trust: prefixes of additional classes that the saved configuration may contain, such as `("my_package.",)`. By
            default, only classes of this package and optimizers and schedules of torch are allowed.

    Raises:
        autoencoders.types.UserError: if no model can be loaded from the path, or the saved configuration contains a
            class that is not allowed.
    """
    from autoencoders.runs.loading import load

    return load(path, trust)
