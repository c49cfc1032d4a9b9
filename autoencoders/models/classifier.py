"""A classifier, trained on real images, that evaluates the images of other runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from autoencoders.metrics.classification import classification_metrics, classification_sums, cross_entropy
from autoencoders.metrics.labels import attribute_threshold, binarize_at
from autoencoders.models.base import ImageModel
from autoencoders.nets.base import feature_size
from autoencoders.types import Batch, Context, Shape, UserError
from autoencoders.utils.checks import check_at_least


class Classifier(ImageModel):
    """Predicts class or attribute probabilities of images, and computes features for metrics of generated images.

    loss = -log p(label | image), in nats per image: cross-entropy for classes, or binary cross-entropy summed over the
    known attributes. Attributes with real values are binarized at a threshold that is computed from the training
    images, see `autoencoders.metrics.labels.attribute_threshold`.

    Args:
        shape: (C, H, W), from the data module.
        context: classes or attributes, from the data module.
        encoder: called with (shape, context_size); see `autoencoders.nets`.
        features: F, the number of features between the encoder and the output layer.
        optimizer: called with the parameters.
        schedule: called with the optimizer; an argument `auto` is replaced by the number of optimizer steps of the run.
        name: label for figures and tables.

    Attributes:
        majority: the most frequent class of the training images, or for each of A attributes whether most of them
            have it, (A,).
        thresholds: (A,) the values above which an image has an attribute.

    Raises:
        UserError: if the data have no labels, or `features` is out of range.
    """

    family = None
    labels: Context
    majority: Tensor
    thresholds: Tensor

    def __init__(
        self,
        *,
        shape: Shape,
        context: Context | None,
        encoder: Callable[..., nn.Module],
        features: int = 64,
        optimizer: Callable | None = None,
        schedule: partial | None = None,
        name: str = "classifier",
    ) -> None:
        if context is None:
            raise UserError(
                "model=classifier needs labels, and the data have none. Choose data with classes, or select attributes "
                "(for example data=lfw data.attributes=all, or data.attributes=[Male,Smiling])."
            )
        check_at_least("model.features", features, 1)
        super().__init__(shape=shape, labels=context, name=name, optimizer=optimizer, schedule=schedule)
        self.width = features
        self.encoder = encoder(self.shape, 0)
        self.neck = nn.Sequential(nn.Linear(feature_size(self.encoder), features), nn.BatchNorm1d(features), nn.ReLU())
        self.output = nn.Linear(features, context.size)
        size = () if context.kind == "classes" else (context.size,)
        self.register_buffer("majority", torch.zeros(size))
        self.register_buffer("thresholds", torch.zeros(size))

    # The model ------------------------------------------------------------------------------------------

    @property
    def traits(self) -> list[str]:
        """Short descriptions of the model that titles show after its name."""
        return [f"{self.width} features"]

    def features(self, x: Tensor) -> Tensor:
        """Return the inputs of the output layer, (B, F), at least 0, of images, (B, C, H, W), in [0, 1]."""
        return self.neck(self.encoder(x, None)).float()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, (B, classes) or (B, A)."""
        return self.output(self.features(x)).float()

    def probabilities(self, x: Tensor) -> Tensor:
        """Return the probability of each class, (B, classes), or of the presence of each attribute, (B, A)."""
        return self(x).softmax(1) if self.labels.kind == "classes" else self(x).sigmoid()

    def targets(self, y: Tensor | None) -> Tensor:
        """Return labels as targets of `cross_entropy`: classes, (B,), unchanged; attributes, (B, A), as 1, 0 or NaN.

        Raises:
            UserError: if there are no labels.
        """
        if y is None:
            raise UserError("A classifier needs labels, got images without labels.")
        return y if self.labels.kind == "classes" else binarize_at(y, self.thresholds)

    # Training and evaluation ----------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Compute `majority` and `thresholds` from the training labels, unless the run is resumed."""
        if stage != "fit" or self.trainer.ckpt_path is not None:
            return
        annotations = self._datamodule.annotations("train")
        if self.labels.kind == "classes":
            if annotations.classes is None:
                raise UserError("A classifier of classes needs class labels, and the training images have none.")
            self.majority.copy_(annotations.classes.bincount().argmax())
            return
        values = torch.stack([annotations.attribute(name) for name in self.labels.names], 1)  # (N, A)
        self.thresholds.copy_(torch.tensor([attribute_threshold(column) for column in values.T]))
        self.majority.copy_(binarize_at(values, self.thresholds.cpu()).nanmean(0) > 0.5)

    def terms(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of each image, (B,), in nats, and the logits."""
        logits = self(batch.x)
        return cross_entropy(logits, self.targets(batch.y)), logits

    def batch_loss(self, batch: Batch, number: int) -> Tensor:
        """Return the loss of a training batch in nats per image."""
        losses, logits = self.terms(batch)
        loss = losses.mean()
        with torch.no_grad():
            self._sums["train"].add(self._sums_of(logits, batch), len(batch.x))
            if self._logs_step(number):
                self.add_step_metrics({"step/loss": loss.detach(), "step/lr": self._learning_rate()})
        return loss

    def _sums_of(self, logits: Tensor, batch: Batch) -> Tensor:
        return classification_sums(logits, self.targets(batch.y), self.majority)

    def _evaluation_sums(self, batch: Batch, split: str) -> Tensor:
        return self._sums_of(self(batch.x), batch)

    def _evaluation_metrics(self, split: str, means: Tensor) -> dict[str, float]:
        return classification_metrics(split, means, self.labels)

    def _training_metrics(self, means: Tensor) -> dict[str, float]:
        return self._evaluation_metrics("train", means)
