"""Initialization of a new model from training images, beyond the weights that the nets initialize themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from autoencoders.nets.base import context_shift
from autoencoders.nets.heads import CodeHead, move_context
from autoencoders.types import Batch
from autoencoders.utils.chunks import ROWS_PER_CHUNK, chunk_slices

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.autoencoder import Autoencoder

SAMPLE = 4096
"""Maximum number of training images for the initial estimate of how the codes depend on the context vector."""


@torch.no_grad()
def remove_context_from_codes(model: Autoencoder, data: ImageDataModule) -> None:
    """Initialize a model so that the codes are uncorrelated with the context vector.

    This applies only to a conditional model whose encoder and decoder each have a linear layer that maps the context
    vector to an offset of the code. See `autoencoders.nets.heads.move_context`.
    """
    if not model.context_size or not isinstance(model.head, CodeHead):
        return
    encoder_shift, decoder_shift = model.head.shift, context_shift(model.decoder)
    if encoder_shift is None or decoder_shift is None:
        return
    batch = _spread_batch(data, SAMPLE)
    context = model.context(batch.y)
    if context is None:
        return
    codes = []
    for chunk in chunk_slices(len(batch.x), 4 * batch.x[0].numel(), ROWS_PER_CHUNK):
        codes.append(model.encoder(batch.x[chunk], context[chunk] if model.join == "every_layer" else None))
    move_context(encoder_shift, decoder_shift, torch.cat(codes)[:, : model.latent_dim], context)


@torch.no_grad()
def initialize_prior(model: Autoencoder, data: ImageDataModule) -> None:
    """Initialize the prior of a model if it starts from training images."""
    if model.prior.images:
        batch = _spread_batch(data, model.prior.images)
        model.prior.initialize(batch.x, model.context(batch.y))


def _spread_batch(data: ImageDataModule, count: int) -> Batch:
    """Return at most `count` training images without augmentation.

    They are selected at equal distances in the split, because the first images may all have the same label.
    """
    images = len(data.images("train"))
    rows = torch.linspace(0, images - 1, min(count, images)).long()
    return data.evaluation_batches("train").batch(rows)
