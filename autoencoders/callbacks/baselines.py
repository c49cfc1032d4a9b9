"""Baselines of the mean squared error: the mean image, and exact PCA with as many components as latents."""

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
    """Log `mse_mean_image` and `mse_pca` of validation and test, both fitted to the training images.

    Args:
        pca: whether to fit PCA. For thousands of images of 12,288 pixels it takes half a minute.
    """

    def __init__(self, pca: bool = True) -> None:
        self.pca = pca
        self._measured: dict[str, dict[str, float]] = {}

    def measure(self, data: ImageDataModule, split: str, code: int) -> dict[str, float]:
        """Return the MSE per pixel of each baseline on a split, by metric name. It is computed once."""
        if split not in self._measured:
            errors: dict[str, float | None] = {f"PCA-{code}": pca_mse(data, split, code) if self.pca else None}
            errors["mean image"] = data.mean_image_mse(split)
            self._measured[split] = {name: mse for name, mse in errors.items() if mse is not None}
        return self._measured[split]

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the baselines next to `test/mse`."""
        if not isinstance(pl_module, Autoencoder):  # a classifier
            return
        with continue_on_error(trainer, self):
            for split in ("val", "test"):
                errors = self.measure(get_datamodule(trainer), split, pl_module.latent_dim)
                names = {name: "pca" if name.startswith("PCA") else "mean_image" for name in errors}
                pl_module.log_metrics({f"{split}/mse_{names[name]}": mse for name, mse in errors.items()})


def baselines(trainer: pl.Trainer, model: pl.LightningModule, split: str) -> dict[str, float]:
    """Return the baselines of a split for a figure: MSE of the mean image, and of PCA if it is configured."""
    for callback in get_callbacks(trainer):
        if isinstance(callback, Baselines) and isinstance(model, Autoencoder):
            return callback.measure(get_datamodule(trainer), split, model.latent_dim)
    return {"mean image": get_datamodule(trainer).mean_image_mse(split)}


def pca_mse(data: ImageDataModule, split: str, count: int) -> float | None:
    """Return the MSE per pixel of projecting the inputs of a split on principal components, compared with the targets.

    Corrupted inputs are projected as they are, so that PCA has the same information as the model. With as many
    components as pixels the projection is the input. Returns None if the training images have fewer components.
    """
    train = data.images("train")
    full_rank = count >= train[0].numel()
    if not full_rank and count > len(train) - 1:
        return None
    pca = None if full_rank else PCABaseline.of(train, count)
    total = 0.0
    for batch in data.evaluation_batches(split):
        output = batch.x if pca is None else pca.reconstruct(batch.x)
        total += (output.double() - batch.target).square().sum().item()
    return total / data.images(split).numel()
