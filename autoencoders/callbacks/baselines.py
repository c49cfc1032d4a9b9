"""Baselines for the mean squared error: the mean training image, and PCA with as many components as latents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning.pytorch as pl

from autoencoders.callbacks.base import continue_on_error
from autoencoders.data.datamodule import get_datamodule
from autoencoders.models.autoencoder import Autoencoder
from autoencoders.utils.lightning import get_callbacks
from autoencoders.utils.pca import PCABaseline

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule


class Baselines(pl.Callback):
    """Log the metrics `mse_mean_image` and `mse_pca` for validation and test images.

    Mean image and PCA are computed from the training images.

    Args:
        pca: whether to compute the PCA baseline. With thousands of images of 12,288 pixel values it takes half a
            minute.
    """

    def __init__(self, pca: bool = True) -> None:
        self.pca = pca
        self._measured: dict[str, dict[str, float]] = {}

    def measure(self, data: ImageDataModule, split: str, code: int) -> dict[str, float]:
        """Return the MSE per pixel of each baseline on a split: display name -> MSE. The result is cached.

        Args:
            data: data module with the training images and the split.
            split: name of the split.
            code: number of principal components, which is the number of latents.
        """
        if split not in self._measured:
            errors: dict[str, float | None] = {f"PCA-{code}": pca_mse(data, split, code) if self.pca else None}
            errors["mean image"] = data.mean_image_mse(split)
            self._measured[split] = {name: mse for name, mse in errors.items() if mse is not None}
        return self._measured[split]

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the baselines for validation and test, so that they appear next to the MSE of the model."""
        if not isinstance(pl_module, Autoencoder):  # a classifier has no MSE
            return
        with continue_on_error(trainer, self):
            for split in ("val", "test"):
                errors = self.measure(get_datamodule(trainer), split, pl_module.latent_dim)
                names = {name: "pca" if name.startswith("PCA") else "mean_image" for name in errors}
                pl_module.log_metrics({f"{split}/mse_{names[name]}": mse for name, mse in errors.items()})


def baselines(trainer: pl.Trainer, model: pl.LightningModule, split: str) -> dict[str, float]:
    """Return the baselines on a split, for figures: display name -> MSE. PCA is included if `Baselines` computes it."""
    for callback in get_callbacks(trainer):
        if isinstance(callback, Baselines) and isinstance(model, Autoencoder):
            return callback.measure(get_datamodule(trainer), split, model.latent_dim)
    return {"mean image": get_datamodule(trainer).mean_image_mse(split)}


def pca_mse(data: ImageDataModule, split: str, count: int) -> float | None:
    """Return the MSE per pixel between the targets of a split and the PCA reconstructions of its inputs.

    PCA reconstructs from the corrupted inputs, so that PCA and the model have the same information. The reconstructions
    are clipped to [0, 1]. If `count` is the number of pixel values or more, the reconstruction is the clipped input.

    Args:
        data: data module; PCA is fitted to its training images.
        split: name of the split.
        count: number of principal components.

    Returns:
        The MSE, or None if the training images have fewer than `count` principal components.
    """
    train = data.images("train")
    full_rank = count >= train[0].numel()
    if not full_rank and count > len(train) - 1:
        return None
    pca = None if full_rank else PCABaseline.of(train, count)
    total = 0.0
    for batch in data.evaluation_batches(split):
        output = batch.x.clamp(0, 1) if pca is None else pca.reconstruct(batch.x)
        total += (output.double() - batch.target).square().sum().item()
    return total / data.images(split).numel()
