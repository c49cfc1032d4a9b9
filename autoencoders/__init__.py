"""Train, evaluate and apply AE, VAE and CVAE models on images.

Symbols in the shape comments of this package:

    B batch    C, H, W image channels, height, width    F features    Z latent size
    K context size or samples    N rows of a split    A attributes

Importing this package imports neither torch nor Lightning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from autoencoders.models.autoencoder import Autoencoder

__version__ = "0.2.0"


def load(path: str | Path, trust: tuple[str, ...] = ()) -> Autoencoder:
    """Load a trained model in evaluation mode, from a run folder, a checkpoint or a folder of `application=export`.

    Args:
        path: one of these.
        trust: further prefixes of targets that the configuration may name, such as your own package.

    Raises:
        autoencoders.types.UserError: if the path is none of these.
    """
    from autoencoders.runs.loading import load

    return load(path, trust)
