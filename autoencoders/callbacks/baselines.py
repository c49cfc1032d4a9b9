"""The numbers that belong beside an MSE: the mean image's, and exact PCA's with a code of the same size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning.pytorch as pl

from autoencoders.principal import principal_components

if TYPE_CHECKING:
    from autoencoders.data.base import ImageData


class Baselines(pl.Callback):
    """Logs `mse_mean_image` and `mse_pca` of validation and test, both fitted to the training images alone.

    Args:
        pca: whether to fit PCA; on thousands of images of 12,288 pixels it takes half a minute.
    """

    def __init__(self, pca: bool = True) -> None:
        self.pca = pca

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure once, at the end of the run."""
        data = trainer.datamodule
        for split in ("val", "test"):
            pl_module.log(f"{split}/mse_mean_image", data.mean_image_mse(split))
            pca = pca_mse(data, split, pl_module.latent_dim) if self.pca else None
            if pca is not None:
                pl_module.log(f"{split}/mse_pca", pca)


def pca_mse(data: ImageData, split: str, count: int) -> float | None:
    """MSE per pixel on a split of that many components of the training images.

    With as many components as pixels it is 0; None where the training images do not hold that many.
    """
    train = data.images("train")
    if count >= train[0].numel():
        return 0.0
    if count > len(train) - 1:
        return None
    mean, components, _ = principal_components(train, count)
    total = 0.0
    for batch in data.evaluation(split):
        centred = batch.target.flatten(1).double() - mean
        total += (centred - centred @ components.T @ components).square().sum().item()
    return total / data.images(split).numel()
