"""The conditional VAE (Sohn, Lee and Yan, "Learning structured output representation", 2015)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from autoencoders.metrics.labels import attribute_scales
from autoencoders.models.vae import VAE
from autoencoders.objectives.elbo import Terms
from autoencoders.types import Batch, Context, Shape, UserError
from autoencoders.utils.checks import check_not_negative, require
from autoencoders.utils.texts import list_names

JOINS = ("both", "decoder", "every_layer")
HIDDEN = 256
"""Number of units in the hidden layer of the classifier that `guide` trains."""


class CVAE(VAE):
    """A VAE conditioned on labels: q(z | x, y) and p(x | z, y), with a prior that does not depend on y.

    All methods take attributes in the units of the data. The model standardizes them by the mean and the standard
    deviation of the training images, so that an age in years or an area in pixels has the scale of a class. Attributes
    that are only 0 and 1, or only -1 and 1, are not changed.

    The labels that the model is conditioned on are given by one of `context`, `classes` and `attributes`.

    Args:
        shape: image shape (C, H, W).
        context: classes or attributes, such as `data.context` of a data module after `setup`; None if the data have no
            labels.
        classes: number of classes, or their names.
        attributes: names of attributes.
        join: where the context vector (encoded labels) is concatenated. `both`: to the encoder's features and to the
            code. `decoder`: to the code only. `every_layer`: as `both`, and to the input of every layer of the encoder
            and the decoder (in a convolution, as a learned bias per channel).
        guide: weight of the additional loss -log g(y | decode(z, y)) with z sampled from the prior. The small
            classifier g is trained at the same time, on the target images only. The additional loss increases the
            fraction of prior samples that show the requested class (after Hu et al., "Toward controlled generation of
            text", 2017). The metrics of the bound do not include this loss. With 0, there is no classifier.
        **options: see `Autoencoder`: `latent_dim=10`, `net="mlp"`, `likelihood="bernoulli"`, `beta=1`, `lr=6e-3`, ...

    Attributes:
        attribute_mean: (K,) values that are subtracted from the K attributes; 0 before the first fit. Only for
            attributes.
        attribute_scale: (K,) values by which the differences are divided; 1 before the first fit. Only for attributes.

    Raises:
        UserError: if the data have no labels, an option is out of range, or options are incompatible.

    Example:
        >>> from autoencoders import CVAE
        >>> model = CVAE(shape=(1, 28, 28), classes=10)
        >>> model.sample(3, y=[0, 1, 2]).shape
        torch.Size([3, 1, 28, 28])
    """

    labels: Context
    attribute_mean: Tensor
    attribute_scale: Tensor

    def __init__(
        self,
        shape: Shape,
        *,
        context: Context | None = None,
        classes: int | Sequence[str] | None = None,
        attributes: Sequence[str] | None = None,
        join: str = "both",
        guide: float = 0.0,
        **options: Any,
    ) -> None:
        require(join in JOINS, "model.join", join, f"one of {list(JOINS)}")
        context = choose_context(Context.of(context), classes, attributes)
        check_not_negative("model.guide", guide)
        if guide and context.kind != "classes":
            raise UserError(
                f"model.guide must be 0 because the model is conditioned on attributes, got {guide}. Set "
                "model.guide=0, or choose data with classes."
            )
        self._is_unnamed = isinstance(classes, int)
        super().__init__(shape, context=context, context_size=context.size, join=join, **options)
        if guide and not self.posteriors.gaussian:
            raise UserError(
                f"model.guide must be 0 with {self.posteriors.name} because the guide samples codes from N(0, I), got "
                f"{guide}. Set model.guide=0, or set posterior.noise=normal and posterior.std=exp_half."
            )
        if guide and not self.prior.closed_form:
            raise UserError(
                f"model.guide must be 0 with prior={self.prior.option}, got {guide}. Set model.guide=0, or choose "
                "prior=standard_normal or prior=conditional."
            )
        if context.kind == "attributes":
            self.register_buffer("attribute_mean", torch.zeros(context.size))
            self.register_buffer("attribute_scale", torch.ones(context.size))
        self.guide = guide
        if guide:
            layers = nn.Linear(math.prod(self.shape), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self.context_size)
            self.classifier = nn.Sequential(nn.Flatten(), *layers)

    def setup(self, stage: str) -> None:
        """Compute the mean and the scale of the attributes from the training images of a new run, then initialize."""
        if stage == "fit" and self._datamodule.context != self.labels:
            self.labels = check_labels(self._datamodule.context, self.labels, self._is_unnamed)
        if stage == "fit" and self.trainer.ckpt_path is None and self.labels.kind == "attributes":
            values = self._datamodule.get_split("train").labels
            if values is not None:
                mean, scale = attribute_scales(values)
                self.attribute_mean.copy_(mean)
                self.attribute_scale.copy_(scale)
        super().setup(stage)

    def context(self, y: Tensor | None) -> Tensor:
        """Return the context vectors (B, K) float32 for labels: one-hot classes, or the K standardized attributes.

        Args:
            y: (B,) class indices or (B, K) attribute values in the units of the data.

        Raises:
            UserError: if `y` is None.
        """
        if y is None:
            raise UserError(
                f"Images must have {self.labels.kind} because the CVAE is conditioned on them, got images without "
                "labels. Pass labels `y`."
            )
        if self.labels.kind == "classes":
            return F.one_hot(y.long(), self.context_size).float()
        return (y.float() - self.attribute_mean) / self.attribute_scale

    def label_tensor(self, y: Any, n: int) -> Tensor | None:
        """Return labels as a tensor for n images on the device of the model.

        Args:
            y: for classes: a class index or name for all images, or n of them. For attributes: A values in the units of
                the data for all images, or a tensor (n, A).
            n: number of images.

        Returns:
            Class indices (n,) int64, or attributes (n, A) float32; None if `y` is None.

        Raises:
            UserError: if there is no class with this name or index, or the number of labels is not n.
        """
        if y is None:
            return None
        if self.labels.kind == "classes":
            indices = [self._class_index(label) for label in (y if is_sequence(y) else [y])]
            values = torch.tensor(indices)
        else:
            values = torch.as_tensor(y, dtype=torch.float32)
        width = () if self.labels.kind == "classes" else (self.context_size,)  # shape of one label
        if values.shape in (width, (1, *width)):
            values = values.expand(n, *width)
        require(values.shape == (n, *width), "y", tuple(values.shape), f"labels of shape {(n, *width)}")
        return values.to(self.device)

    def _class_index(self, label: Any) -> int:
        names = self.labels.names
        if isinstance(label, str):
            require(label in names, "y", label, f"one of the classes {list_names(list(names))}")
            return names.index(label)
        index = int(label)
        require(0 <= index < len(names), "y", index, f"a class index between 0 and {len(names) - 1}")
        return index

    def terms(self, batch: Batch, eps: Tensor | None) -> Terms:
        """Compute all terms of the loss, as `Autoencoder.terms`.

        With a guide, `extra` includes the loss of the classifier on the targets and the weighted loss on prior samples.
        """
        terms = super().terms(batch, eps)
        if not self.guide or eps is None or batch.y is None:
            return terms
        # The noise eps ~ N(0, I) also gives a sample of the prior, which is independent of the image.
        noise = eps if eps.dim() == 2 else eps[:, 0]
        codes = self.code_density(batch.y).transform(noise, torch.zeros_like(noise[:, 0]))
        samples = self.decode(codes, batch.y)
        frozen = {name: weight.detach() for name, weight in self.classifier.named_parameters()}
        classifier_loss = F.cross_entropy(self.classifier(batch.target).float(), batch.y, reduction="none")
        logits = functional_call(self.classifier, frozen, samples)
        sample_loss = F.cross_entropy(logits.float(), batch.y, reduction="none")
        extra = classifier_loss + self.guide * sample_loss
        return terms._replace(extra=extra if terms.extra is None else terms.extra + extra)


def is_sequence(y: Any) -> bool:
    """Return whether labels are several labels, in a tensor, an array, a list or a tuple, rather than one label."""
    return isinstance(y, (list, tuple)) or (isinstance(y, (Tensor, np.ndarray)) and y.ndim > 0)


def choose_context(
    context: Context | None, classes: int | Sequence[str] | None, attributes: Sequence[str] | None
) -> Context:
    """Return the labels that a model is conditioned on, from the arguments of `CVAE`.

    Raises:
        UserError: if there are no labels, or the arguments contradict each other.
    """
    if isinstance(classes, int):
        require(classes >= 1, "classes", classes, "a number of classes >= 1, or their names")
        classes = [str(index) for index in range(classes)]
    given = [] if context is None else [context]
    given += [] if classes is None else [Context("classes", tuple(map(str, classes)))]
    given += [] if attributes is None else [Context("attributes", tuple(map(str, attributes)))]
    if not given:
        raise UserError(
            "model=cvae needs labels, but the data have none. Choose model=vae, or choose data with classes, or "
            "select attributes (for example data=lfw data.attributes=[Male,Smiling]). In Python, set classes=10, "
            'attributes=["Male", "Smiling"] or context=data.context.'
        )
    if any(one != given[0] for one in given):
        raise UserError("Only one of context, classes and attributes must be given, got several. Remove the others.")
    return given[0]


def check_labels(data: Context | None, model: Context, is_unnamed: bool) -> Context:
    """Return the labels of the data if a model can be trained with them.

    Args:
        data: labels of the data; None if there are none.
        model: labels that the model is conditioned on.
        is_unnamed: whether only the number of classes of the model is given.

    Raises:
        UserError: if the kind, the number or the names of the labels differ.
    """
    if data is None or (data.kind, data.size) != (model.kind, model.size) or not is_unnamed:
        expected, got = describe_context(model), "no labels" if data is None else describe_context(data)
        raise UserError(
            f"The data must have the labels that the model is conditioned on, {expected}, got {got}. Build the model "
            "with context=data.context, after data.setup()."
        )
    return data


def describe_context(context: Context) -> str:
    """Return the number, the kind and the first names of labels as text."""
    return f"{context.size} {context.kind} ({list_names(list(context.names))})"
