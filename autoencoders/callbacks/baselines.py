"""The numbers that belong beside a test MSE: the mean image's, and exact PCA's with the same code size."""

from __future__ import annotations

import lightning.pytorch as pl

from autoencoders.principal import principal_components


class Baselines(pl.Callback):
    """Logs `test/mse_mean_image` and `test/mse_pca`, both fitted to the training images alone.

    Args:
        pca: whether to fit PCA; on images of many pixels it takes minutes.
    """

    def __init__(self, pca: bool = True) -> None:
        self.pca = pca

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure on the test split, next to the model's own `test/mse`."""
        data = trainer.datamodule
        pl_module.log("test/mse_mean_image", data.mean_image_mse("test"))
        train = data.images("train")
        if self.pca and pl_module.latent_dim <= min(len(train) - 1, train[0].numel()):
            mean, components, _ = principal_components(train, pl_module.latent_dim)
            total = 0.0
            for batch in data.evaluation("test"):
                centred = batch.target.flatten(1).double() - mean
                total += (centred - centred @ components.T @ components).square().sum().item()
            pl_module.log("test/mse_pca", total / data.images("test").numel())
