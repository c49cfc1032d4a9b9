"""The supervised autoencoder, whose codes also predict labels of the training images."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from autoencoders.metrics.classification import cross_entropy
from autoencoders.metrics.labels import attribute_threshold, binarize_at
from autoencoders.models.ae import AE
from autoencoders.nets.label_head import LabelHead
from autoencoders.objectives.elbo import Terms
from autoencoders.objectives.likelihoods import Pixels
from autoencoders.types import Annotations, Batch, Shape, UserError
from autoencoders.utils.checks import check_positive, require

LABELS = ("classes", "attributes", "groups")
"""Labels of the data that can be predicted. Groups are, for example, the persons in photos."""


class SupervisedAE(AE):
    """Autoencoder whose codes also predict labels, so that images with the same label have similar codes.

    The loss is distortion + label_weight * C H W * cross-entropy, in nats per image. The cross-entropy of an image is
    -log p(label | z) for classes and groups, and is summed over the known attributes otherwise. See `LabelHead` for
    p(label | z). Only training batches have the second term: the labels of other splits are not used, and
    `val/objective`, which selects the checkpoint, is the distortion.

    A linear layer after the encoder and one before the decoder, which start as the identity, let the directions of the
    code follow the labels. The nets that start as PCA could not rotate their codes otherwise.

    Labels are needed in training only, and come from the annotations of the data: `data.attributes` does not select
    them. Classes and groups with a single training image are not predicted. Real-valued attributes are binarized; see
    `autoencoders.metrics.labels.attribute_threshold`.

    Source: Le, Patterson and White, "Supervised autoencoders: improving generalization performance with unsupervised
    regularizers", 2018.

    Args:
        shape: image shape (C, H, W).
        supervision: labels that are predicted: `classes`, `attributes` or `groups`.
        label_weight: weight of the cross-entropy per pixel value.
        **options: see `Autoencoder`: `latent_dim=10`, `net="mlp"`, `likelihood="bernoulli"`, `lr=6e-3`, ...

    Raises:
        UserError: if an option is out of range.

    Example:
        >>> from autoencoders import SupervisedAE
        >>> SupervisedAE(shape=(1, 28, 28), latent_dim=20, supervision="classes").traits
        ['20 latents', 'supervised by classes']
    """

    def __init__(
        self, shape: Shape, *, supervision: str = "classes", label_weight: float = 0.5, **options: Any
    ) -> None:
        require(supervision in LABELS, "model.supervision", supervision, f"one of {list(LABELS)}")
        check_positive("model.label_weight", label_weight)
        self.supervision, self.label_weight = supervision, label_weight
        super().__init__(shape, **({"name": "supervised_ae"} | options))
        self.to_code, self.from_code = identity_layer(self.latent_dim), identity_layer(self.latent_dim)
        self.label_head = LabelHead(self.latent_dim)
        self._truth: Tensor | None = None

    @property
    def traits(self) -> list[str]:
        """Short descriptions that figure titles show after the model name; see `Autoencoder.traits`."""
        return [*super().traits, f"supervised by {self.supervision}"]

    def _encode(self, x: Tensor, c: Tensor | None) -> Tensor:
        return self.to_code(super()._encode(x, c))

    def likelihood(self, z: Tensor, y: Tensor | None = None) -> Pixels:
        """Return the pixel distributions p(x | z) of a batch; see `Autoencoder.likelihood`."""
        return super().likelihood(self.from_code(z), y)

    def configure_model(self) -> None:
        """Read the labels of the training images, and give the head one prototype per label. Lightning calls this hook.

        It is not part of `setup`, because a callback that averages the weights copies the model earlier.

        Raises:
            UserError: if the data has no such labels.
        """
        try:
            training = self.trainer.training
        except RuntimeError:  # `load_from_checkpoint` calls this hook on a model without a trainer
            return
        if training:
            self._truth, count = training_labels(self._datamodule.annotations("train"), self.supervision)
            self.label_head.build(count)

    def terms(self, batch: Batch, eps: Tensor | None) -> Terms:
        """Compute all terms of the loss, as `Autoencoder.terms`. In training, `extra` includes the cross-entropy."""
        terms = super().terms(batch, eps)
        if self._truth is None or not self.training:
            return terms
        self._truth = self._truth.to(self.device)
        losses = cross_entropy(self.label_head(terms.posterior.mean), self._truth[batch.index])
        extra = self.label_weight * math.prod(self.shape) * losses
        return terms._replace(extra=extra if terms.extra is None else terms.extra + extra)


def identity_layer(size: int) -> nn.Linear:
    """Return a linear layer (Z -> Z) that starts as the identity."""
    layer = nn.Linear(size, size)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def training_labels(annotations: Annotations, supervision: str) -> tuple[Tensor, int]:
    """Return the labels of N training images and the number of labels that are predicted.

    Args:
        annotations: annotations of the training images.
        supervision: `classes`, `attributes` or `groups`.

    Returns:
        Labels (N,) int64, numbered from 0, -1 for a class or group with one image; or attributes (N, A) float32, NaN if
        unknown. Number of labels that are predicted: classes or groups with several images, or attributes.

    Raises:
        UserError: if the data has no such labels, or fewer than two classes or groups with several images.
    """
    labels = {name: getattr(annotations, name) for name in LABELS if getattr(annotations, name) is not None}
    require(supervision in labels, "model.supervision", supervision, f"a kind of label of the data: {list(labels)}")
    values = labels[supervision]
    if supervision == "attributes":
        thresholds = torch.tensor([attribute_threshold(column) for column in values.T])
        return binarize_at(values, thresholds), values.shape[1]
    several = values.bincount() > 1
    count = int(several.sum())
    if count < 2:
        raise UserError(
            f"model.supervision={supervision} needs two or more {supervision} with several training images each, got "
            f"{count}. Choose model=ae, or other labels."
        )
    numbers = torch.where(several, several.cumsum(0) - 1, -1)
    return numbers[values], count
