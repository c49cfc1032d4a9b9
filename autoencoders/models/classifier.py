"""A classifier that is trained on real images and evaluates the images of other runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from autoencoders.metrics.classification import (
    ClassifierMeans,
    classification_metrics,
    classification_terms,
    cross_entropy,
)
from autoencoders.metrics.labels import attribute_threshold, binarize_at
from autoencoders.models import defaults
from autoencoders.models.base import ImageModel
from autoencoders.nets.base import feature_size
from autoencoders.types import Batch, Context, Shape, UserError
from autoencoders.utils.checks import check_at_least


class Classifier(ImageModel):
    """Classifier that predicts classes or attributes of images. Metrics of generated images use its features.

    The loss is -log p(label | image), in nats per image. For classes it is the cross-entropy. For attributes it is the
    binary cross-entropy, summed over the attributes whose values are known. Real-valued attributes are binarized at
    thresholds that are computed from the training images; see `autoencoders.metrics.labels.attribute_threshold`.

    Args:
        shape: image shape (C, H, W), from the data module.
        context: classes or attributes to predict, from the data module; None if the data have no labels.
        encoder: name of a net, or a function of (shape, context size) that returns the encoder. See
            `autoencoders.nets`.
        features: number F of features, which are the inputs of the output layer.
        optimizer: `adam`, `adamw`, or a function of the parameters that returns the optimizer.
        lr: learning rate; its maximum, if the schedule changes it. None for 6e-3.
        schedule: learning-rate schedule: `one_cycle`, `cosine`, `constant`, `ladder`, or a partial call with the
            optimizer. An argument `auto` is replaced by the number of optimizer steps of the run.
        name: display name in figures and tables.

    Attributes:
        majority: for classes, the index () of the most frequent class of the training images. For attributes, a vector
            (A,): 1 if most training images have the attribute, else 0.
        thresholds: (A,) thresholds of the attribute values. An image has an attribute if its value is above the
            threshold.

    Raises:
        UserError: if the data have no labels, or `features` is not an integer >= 1.
    """

    family = None
    labels: Context
    majority: Tensor
    thresholds: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        context: Context | None,
        encoder: Callable[..., nn.Module] | str = "conv",
        features: int = 64,
        optimizer: Callable | str | None = "adam",
        lr: float | None = None,
        schedule: partial | str | None = "one_cycle",
        name: str = "classifier",
    ) -> None:
        context = Context.of(context)
        if context is None:
            raise UserError(
                "model=classifier needs labels, but the data have none. Choose data with classes, or select attributes "
                "(for example data=lfw data.attributes=all, or data.attributes=[Male,Smiling])."
            )
        check_at_least("model.features", features, 1)
        optimizer = defaults.build_optimizer(optimizer, lr, defaults.LEARNING_RATE)
        schedule = defaults.build_schedule(schedule)
        super().__init__(shape=shape, labels=context, name=name, optimizer=optimizer, schedule=schedule)
        self.width = features
        build_encoder = defaults.find("encoder", encoder, defaults.NETS)(0)[0] if isinstance(encoder, str) else encoder
        self.encoder = build_encoder(self.shape, 0)
        self.neck = nn.Sequential(nn.Linear(feature_size(self.encoder), features), nn.BatchNorm1d(features), nn.ReLU())
        self.output = nn.Linear(features, context.size)
        if context.kind == "attributes":
            self.val_metric, self.test_metric = ClassifierMeans(), ClassifierMeans()
        size = () if context.kind == "classes" else (context.size,)
        self.register_buffer("majority", torch.zeros(size))
        self.register_buffer("thresholds", torch.zeros(size))

    # The model ------------------------------------------------------------------------------------------

    @property
    def traits(self) -> list[str]:
        """Short descriptions of the model, shown after the display name in titles."""
        return [f"{self.width} features"]

    def features(self, x: Tensor) -> Tensor:
        """Return the features (B, F), all >= 0, of images (B, C, H, W) in [0, 1]."""
        return self.neck(self.encoder(x, None)).float()

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images (B, C, H, W): (B, K) for K classes, or (B, A) for A attributes."""
        return self.output(self.features(x)).float()

    def probabilities(self, x: Tensor) -> Tensor:
        """Return the probabilities of K classes (B, K), or of A attributes (B, A), for images (B, C, H, W)."""
        return self(x).softmax(1) if self.labels.kind == "classes" else self(x).sigmoid()

    def targets(self, y: Tensor | None) -> Tensor:
        """Return the labels as targets of `cross_entropy`.

        Class indices (B,) are returned unchanged. Attribute values (B, A) become 1 (present), 0 (absent) or NaN
        (unknown).

        Raises:
            UserError: if `y` is None.
        """
        if y is None:
            raise UserError("Images must have labels for a classifier, got images without labels. Pass labels.")
        return y if self.labels.kind == "classes" else binarize_at(y, self.thresholds)

    # Training and evaluation ----------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Compute `majority` and `thresholds` from the training labels, unless the run is resumed."""
        if stage != "fit" or self.trainer.ckpt_path is not None:
            return
        annotations = self._datamodule.annotations("train")
        if self.labels.kind == "classes":
            if annotations.classes is None:
                raise UserError(
                    "The training images must have class labels because the classifier predicts classes, got images "
                    "without class labels. Choose data with classes."
                )
            self.majority.copy_(annotations.classes.bincount().argmax())
            return
        values = torch.stack([annotations.attribute(name) for name in self.labels.names], 1)  # (N, A)
        self.thresholds.copy_(torch.tensor([attribute_threshold(column) for column in values.T]))
        self.majority.copy_(binarize_at(values, self.thresholds.cpu()).nanmean(0) > 0.5)

    def terms(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss (B,) of each image, in nats, and the logits (B, K) of classes or (B, A) of attributes."""
        logits = self(batch.x)
        return cross_entropy(logits, self.targets(batch.y)), logits

    def _shared_step(self, batch: Batch, stage: str, number: int) -> Tensor | None:
        """Update the metric of a stage with a batch. In training, also return the loss in nats per image."""
        losses, logits = self.terms(batch)
        loss, count = losses.mean(), len(batch.x)
        with torch.no_grad():
            truth = self.targets(batch.y)
            means = classification_terms(losses, logits, truth, self.majority)
            metric = self._metric(stage)
            if stage == "train":
                self._update_training_metric(means, count)
            elif isinstance(metric, ClassifierMeans):
                metric.update(means, count, logits, truth)
            else:
                metric.update(means, count)
        if stage == "train" and self._logs_step(number, self.trainer.global_step):
            self.add_step_metrics(
                {"step/loss": self.train_metric.compute_window()[0].float(), "step/lr": self._learning_rate()}
            )
        return loss if stage == "train" else None

    def _stage_metrics(self, stage: str, means: Tensor) -> dict[str, float]:
        return classification_metrics(stage, means, self.labels)
