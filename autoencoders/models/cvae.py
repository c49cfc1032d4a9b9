"""The conditional VAE (Sohn, Lee and Yan, "Learning structured output representation", 2015)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from autoencoders.metrics.labels import attribute_scales
from autoencoders.models.vae import VAE
from autoencoders.objectives.elbo import Terms
from autoencoders.types import Batch, Context, UserError
from autoencoders.utils.checks import check_not_negative, require

JOINS = ("both", "decoder", "every_layer")
HIDDEN = 256
"""Number of units in the hidden layer of the classifier that `guide` trains."""


class CVAE(VAE):
    """A VAE conditioned on labels: q(z | x, y) and p(x | z, y), with a prior that does not depend on y.

    All methods take attributes in the units of the data. The model standardizes them by the mean and the standard
    deviation of the training images, so that an age in years or an area in pixels has the scale of a class. Attributes
    that are only 0 and 1, or only -1 and 1, are not changed.

    Args:
        context: classes or attributes that the model is conditioned on; None if the data have no labels.
        join: where the context vector (encoded labels) is concatenated. `both`: to the encoder's features and to the
            code. `decoder`: to the code only. `every_layer`: as `both`, and to the input of every layer of the encoder
            and the decoder (in a convolution, as a learned bias per channel).
        guide: weight of the additional loss -log g(y | decode(eps, y)) with eps ~ N(0, I). The small classifier g is
            trained at the same time, on the target images only. The additional loss increases the fraction of prior
            samples that show the requested class (after Hu et al., "Toward controlled generation of text", 2017). The
            metrics of the bound do not include this loss. With 0, there is no classifier.
        **options: see `Autoencoder`.

    Attributes:
        attribute_mean: (K,) values that are subtracted from the K attributes; 0 before the first fit. Only for
            attributes.
        attribute_scale: (K,) values by which the differences are divided; 1 before the first fit. Only for attributes.

    Raises:
        UserError: if the data have no labels, an option is out of range, or options are incompatible.
    """

    labels: Context
    attribute_mean: Tensor
    attribute_scale: Tensor

    def __init__(self, *, context: Context | None, join: str = "both", guide: float = 0.0, **options: Any) -> None:
        require(join in JOINS, "model.join", join, f"one of {list(JOINS)}")
        if context is None:
            raise UserError(
                "model=cvae needs labels, but the data have none. Choose model=vae, or choose data with classes, or "
                "select attributes (for example data=lfw data.attributes=[Male,Smiling])."
            )
        check_not_negative("model.guide", guide)
        if guide and context.kind != "classes":
            raise UserError(
                f"model.guide must be 0 because the model is conditioned on attributes, got {guide}. Set "
                "model.guide=0, or choose data with classes."
            )
        super().__init__(context=context, context_size=context.size, join=join, **options)
        if guide and not self.posteriors.gaussian:
            raise UserError(
                f"model.guide must be 0 with {self.posteriors.name} because the guide samples codes from N(0, I), got "
                f"{guide}. Set model.guide=0, or set posterior.noise=normal and posterior.std=exp_half."
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

    def terms(self, batch: Batch, eps: Tensor | None) -> Terms:
        """Compute all terms of the loss, as `Autoencoder.terms`.

        With a guide, `extra` includes the loss of the classifier on the targets and the weighted loss on prior samples.
        """
        terms = super().terms(batch, eps)
        if not self.guide or eps is None or batch.y is None:
            return terms
        # The noise eps ~ N(0, I) is also a sample of the prior, and it is independent of the image.
        samples = self.decode(eps if eps.dim() == 2 else eps[:, 0], batch.y)
        frozen = {name: weight.detach() for name, weight in self.classifier.named_parameters()}
        classifier_loss = F.cross_entropy(self.classifier(batch.target).float(), batch.y, reduction="none")
        logits = functional_call(self.classifier, frozen, samples)
        sample_loss = F.cross_entropy(logits.float(), batch.y, reduction="none")
        extra = classifier_loss + self.guide * sample_loss
        return terms._replace(extra=extra if terms.extra is None else terms.extra + extra)
