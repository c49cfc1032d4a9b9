"""Autoencoders (AE, VAE, CVAE) on images: compose a run, train it, watch it, keep everything it made.

Letters used in every shape comment of this package:

    B batch    C, H, W image channels, height, width    F features    Z latent size
    K context size or samples    N rows of a split    A attributes

Importing this package is light; torch, lightning and the rest load when a module that needs them does.
"""

__version__ = "0.2.0"


def load(path, trust=()):  # noqa: ANN001, ANN201 - the types would load torch
    """A trained model in evaluation mode: from a run's folder, a checkpoint or a folder of `application=export`.

    Args:
        path: of one of these.
        trust: further prefixes of targets that its configuration may name, such as your own package.

    Raises:
        autoencoders.types.UserError: where there is none of these.
    """
    from autoencoders.runs.loading import load

    return load(path, trust)
