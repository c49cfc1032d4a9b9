"""A classifier that classifiers what autoencoders draw: trained on real images alone, as an ordinary run."""

from __future__ import annotations

from collections.abc import Callable

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from autoencoders.metrics.classification import classification_metrics, classification_sums, cross_entropy
from autoencoders.metrics.labels import attribute_threshold, binarize_at
from autoencoders.metrics.running_sums import RunningSums
from autoencoders.models.autoencoder import Autoencoder
from autoencoders.types import Batch, Context, Shape, UserError


class Classifier(pl.LightningModule):
    """Class or attribute probabilities of an image, and the features they are read off.

    loss = -log p(label | image), in nats per image: cross-entropy of classes, or binary cross-entropy summed over
    the attributes that are known. Attributes with real values are divided into with and without where those of the
    training images say, see `autoencoders.metrics.labels.attribute_threshold`.

    Args:
        shape: (C, H, W), as the datamodule reports it.
        context: classes or attributes, as the datamodule reports them.
        encoder: called with (shape, context_size); see `autoencoders.nets`.
        features: F, numbers between the encoder and the answer.
        optimizer: called with the parameters.
        schedule: called with the optimizer; an argument given as `auto` becomes the run's optimizer steps.
        name: what figures and tables call this model.

    Raises:
        UserError: where the data have no labels.
    """

    has_prior, context_size, beta_schedule = False, 0, None

    def __init__(
        self,
        *,
        shape: Shape,
        context: Context | None,
        encoder: Callable[..., nn.Module],
        features: int = 64,
        optimizer: Callable | None = None,
        schedule: Callable | None = None,
        name: str = "classifier",
    ) -> None:
        super().__init__()
        if context is None:
            raise UserError(
                "model=classifier needs labels, and these data have none. Choose data with classes, or name attributes "
                "where there are some (data=lfw data.attributes=all, or =[Male,Smiling])."
            )
        if features < 1:
            raise UserError(f"model.features must be a number of features from 1 up, and is {features}.")
        self.shape, self.labels, self.name, self.width = tuple(shape), context, name, features
        self._optimizer, self._schedule = optimizer, schedule
        self.encoder = encoder(self.shape, 0)
        self.neck = nn.Sequential(nn.Linear(self.encoder.features, features), nn.BatchNorm1d(features), nn.ReLU())
        self.answer = nn.Linear(features, context.size)
        size = () if context.kind == "classes" else (context.size,)
        self.register_buffer("majority", torch.zeros(size))  # class, or bits, that most training images have
        self.register_buffer("thresholds", torch.zeros(size))  # above which an attribute is there
        self._sums = {split: RunningSums() for split in ("train", "val", "test")}
        self._marks: dict[str, tuple | None] = {"epoch": None}
        self._marked_epoch, self._saved_sums, self._planned = -1, None, None

    # The model ------------------------------------------------------------------------------------------

    @property
    def traits(self) -> list[str]:
        """What a title says of it beside its name."""
        return [f"{self.width} features"]

    def features(self, x: Tensor) -> Tensor:
        """What the answer is read off linearly: (B, F), from 0 up, of images (B, C, H, W) in [0, 1]."""
        return self.neck(self.encoder(x, None)).float()

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (B, classes) or (B, A)."""
        return self.answer(self.features(x)).float()

    def probabilities(self, x: Tensor) -> Tensor:
        """p(class | x), (B, classes), or of each attribute being there, (B, A)."""
        return self(x).softmax(1) if self.labels.kind == "classes" else self(x).sigmoid()

    def truth(self, y: Tensor) -> Tensor:
        """Labels as `cross_entropy` takes them: (B,) classes as they are, attributes (B, A) as 1, 0 or NaN."""
        return y if self.labels.kind == "classes" else binarize_at(y, self.thresholds)

    # Fitting --------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Learn from the training labels what is frequent and where attributes divide; once, never on resume."""
        if stage != "fit" or self.trainer.ckpt_path is not None:
            return
        known = self.trainer.datamodule.annotations("train")
        if self.labels.kind == "classes":
            self.majority.copy_(known.classes.bincount().argmax())
            return
        values = torch.stack([known.attribute(name) for name in self.labels.names], 1)  # (N, A)
        self.thresholds.copy_(torch.tensor([attribute_threshold(column) for column in values.T]))
        self.majority.copy_(binarize_at(values, self.thresholds.cpu()).nanmean(0) > 0.5)

    # The same as an autoencoder's: clipping beside fused optimizers, planned steps, sums that survive a resume.
    configure_optimizers = Autoencoder.configure_optimizers
    configure_gradient_clipping = Autoencoder.configure_gradient_clipping
    on_fit_start = Autoencoder.on_fit_start
    on_save_checkpoint, on_load_checkpoint = Autoencoder.on_save_checkpoint, Autoencoder.on_load_checkpoint
    on_train_epoch_start = Autoencoder.on_train_epoch_start
    validation_step, on_validation_epoch_end = Autoencoder.validation_step, Autoencoder.on_validation_epoch_end
    test_step, on_test_epoch_end = Autoencoder.test_step, Autoencoder.on_test_epoch_end
    _over_processes = Autoencoder._over_processes

    def terms(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of each image, (B,) nats, and the logits."""
        logits = self(batch.x)
        return cross_entropy(logits, self.truth(batch.y)), logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch, in nats per image."""
        losses, logits = self.terms(batch)
        loss = losses.mean()
        with torch.no_grad():
            self._sums["train"].add(classification_sums(logits, self.truth(batch.y), self.majority), len(batch.x))
            stepping = (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0
            if stepping and (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0:
                rate = self.optimizers().param_groups[0]["lr"]
                self.log_dict({"step/loss": loss.detach(), "step/lr": rate}, batch_size=len(batch.x))
        return loss

    def on_train_epoch_end(self) -> None:
        """Log `train/*`: over the epoch's images, as they were augmented, by the weights of their step."""
        self._log("train", self._sums["train"].means(self._over_processes, since=self._marks["epoch"]))

    def _evaluation_step(self, batch: Batch, split: str) -> None:
        self._sums[split].add(classification_sums(self(batch.x), self.truth(batch.y), self.majority), len(batch.x))

    def _evaluation_end(self, split: str) -> None:
        self._log(split, self._sums[split].means(self._over_processes))
        self._sums[split].reset()

    def _log(self, split: str, means: Tensor) -> None:
        if len(means):
            self.log_dict(classification_metrics(split, means, self.labels))
