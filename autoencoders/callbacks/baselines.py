"""The numbers that belong beside an MSE: the mean image's, and exact PCA's with a code of the same size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightning.pytorch as pl

from autoencoders.callbacks.base import continue_on_error
from autoencoders.utils.pca import PCABaseline

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule


class Baselines(pl.Callback):
    """Logs `mse_mean_image` and `mse_pca` of validation and test, both fitted to the training images alone.

    Args:
        pca: whether to fit PCA; on thousands of images of 12,288 pixels it takes half a minute.
    """

    def __init__(self, pca: bool = True) -> None:
        self.pca = pca
        self._measured: dict[str, dict[str, float]] = {}

    def measure(self, data: ImageDataModule, split: str, code: int) -> dict[str, float]:
        """What to call each baseline, and its MSE per pixel on a split; measured once."""
        if split not in self._measured:
            found = {f"PCA-{code}": pca_mse(data, split, code) if self.pca else None}
            found["mean image"] = data.mean_image_mse(split)
            self._measured[split] = {name: mse for name, mse in found.items() if mse is not None}
        return self._measured[split]

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log them beside the model's own `test/mse`."""
        if not hasattr(pl_module, "decode"):  # a classifier
            return
        with continue_on_error(trainer, self):
            for split in ("val", "test"):
                for name, mse in self.measure(trainer.datamodule, split, pl_module.latent_dim).items():
                    pl_module.log(f"{split}/mse_{'pca' if name.startswith('PCA') else 'mean_image'}", mse)


def baselines(trainer: pl.Trainer, model: pl.LightningModule, split: str) -> dict[str, float]:
    """The baselines that belong beside a figure of a split: the mean image's MSE, and PCA's where it is asked for."""
    for callback in trainer.callbacks:
        if isinstance(callback, Baselines):
            return callback.measure(trainer.datamodule, split, model.latent_dim)
    return {"mean image": trainer.datamodule.mean_image_mse(split)}


def pca_mse(data: ImageDataModule, split: str, count: int) -> float | None:
    """MSE per pixel, against the target, of projecting a split's inputs on that many components of the training images.

    Corrupted inputs are projected as they are: PCA is told no more than the model. As many components as pixels
    return the input; None where the training images do not hold so many.
    """
    train = data.images("train")
    whole = count >= train[0].numel()
    if not whole and count > len(train) - 1:
        return None
    pca = None if whole else PCABaseline.of(train, count)
    total = 0.0
    for batch in data.evaluation(split):
        output = batch.x if whole else pca.reconstruct(batch.x)
        total += (output.double() - batch.target).square().sum().item()
    return total / data.images(split).numel()
