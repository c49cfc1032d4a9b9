"""Autoencoders (AE, VAE, CVAE) on images: compose a run, train it, watch it, keep everything it made.

Letters used in every shape comment of this package:

    B batch    C, H, W image channels, height, width    F features    Z latent size
    K context size or samples    N rows of a split    A attributes

Importing this package is light; torch, lightning and the rest load when a module that needs them does.
"""

__version__ = "0.1.0"
