"""Find images with equal pixels in different splits."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.loader import CHUNK_ROWS, RowView
from autoencoders.utils.chunks import chunk_slices

Images = Tensor | RowView
WORD = 4
"""Number of bytes in the integers of which the hash is computed."""


def find_duplicates(images: Images, others: list[Images]) -> Tensor:
    """Return a mask (N,) of the images that have an equal image in one of the other splits.

    Images with equal hashes are compared pixel by pixel.

    Args:
        images: images (N, C, H, W) uint8.
        others: images of other splits, uint8, with the same shape (C, H, W).
    """
    mask = torch.zeros(len(images), dtype=torch.bool)
    own = hash_images(images)
    for other in others:
        first = np.unique(hash_images(other), return_index=True)
        position = np.searchsorted(first[0], own).clip(max=max(len(first[0]) - 1, 0))
        candidates = np.flatnonzero(first[0][position] == own) if len(first[0]) else np.empty(0, int)
        left, right = torch.from_numpy(candidates), torch.from_numpy(first[1][position[candidates]])
        for chunk in chunk_slices(len(left), math.prod(images.shape[1:]), CHUNK_ROWS):
            a, b = images.index_select(0, left[chunk]), other.index_select(0, right[chunk])
            mask[left[chunk]] |= (a == b).flatten(1).all(1)
    return mask


def hash_images(images: Images) -> np.ndarray:
    """Return a 64-bit hash (N,) uint64 of each image (N, C, H, W) uint8. Equal images have equal hashes.

    The hash is a sum of the 32-bit words of the image, each multiplied by a fixed random number, modulo 2^64 (Carter
    and Wegman, 1979). This is several times faster than SHA-256 of each image.
    """
    size = math.prod(images.shape[1:])
    weights = np.random.default_rng(0).integers(2**64, size=-(-size // WORD), dtype=np.uint64)
    hashes = np.empty(len(images), dtype=np.uint64)
    for chunk in chunk_slices(len(images), size, CHUNK_ROWS):
        pixels = images[chunk].contiguous().flatten(1).numpy()
        if size % WORD:
            pixels = np.pad(pixels, ((0, 0), (0, -size % WORD)))
        hashes[chunk] = np.einsum("ij,j->i", pixels.view(np.uint32), weights, dtype=np.uint64, casting="safe")
    return hashes
