"""The conditional VAE (Sohn, Lee and Yan, "Learning structured output representation", 2015)."""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from autoencoders.models.vae import VAE
from autoencoders.objectives.elbo import Terms
from autoencoders.types import Batch, Context, UserError
from autoencoders.utils.checks import check_not_negative, require

JOINS = ("both", "decoder", "every_layer")
HIDDEN = 256
"""Units in the hidden layer of the guide's classifier."""


class CVAE(VAE):
    """A VAE conditioned on labels: q(z | x, y) and p(x | z, y), with a prior that does not depend on y.

    Args:
        context: the classes or attributes that the model is conditioned on.
        join: where the context is joined: at `both` ends (the encoder's features and the code), at the `decoder` only
            (the code), or at `every_layer` (both ends, and every hidden layer of both nets).
        guide: weight of the loss -log g(y | decode(eps, y)) for eps ~ N(0, I). The classifier g is small and is trained
            at the same time, on the targets only. This loss increases the fraction of images decoded from the prior
            that belong to their class (after Hu et al., "Toward controlled generation of text", 2017). It is added to
            the loss, and changes neither the bound nor its metrics. 0: no guide.
        **options: see `Autoencoder`.

    Raises:
        UserError: if the data have no labels, an option is out of range, or options are incompatible.
    """

    labels: Context

    def __init__(self, *, context: Context | None, join: str = "both", guide: float = 0.0, **options: Any) -> None:
        require(join in JOINS, "model.join", join, f"one of {list(JOINS)}")
        if context is None:
            raise UserError(
                "model=cvae needs labels, and the data have none. Choose model=vae or other data, or select attributes "
                "(for example data=lfw data.attributes=[Male,Smiling])."
            )
        check_not_negative("model.guide", guide)
        if guide and context.kind != "classes":
            raise UserError(
                "model.guide needs classes, but this model is conditioned on attributes. Set model.guide=0."
            )
        super().__init__(context=context, context_size=context.size, join=join, **options)
        if guide and not self.posteriors.gaussian:
            raise UserError(
                f"model.guide samples codes from N(0, I), but posterior=gaussian has {self.posteriors.name}. Set "
                "model.guide=0, or choose the default noise and std."
            )
        self.guide = guide
        if guide:
            layers = nn.Linear(math.prod(self.shape), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self.context_size)
            self.classifier = nn.Sequential(nn.Flatten(), *layers)

    def context(self, y: Tensor | None) -> Tensor:
        """Return the context of labels, (B, K) float32: one-hot classes, or the values of the attributes.

        Raises:
            UserError: if there are no labels.
        """
        if y is None:
            raise UserError(f"This CVAE is conditioned on {self.labels.kind}, got images without labels. Pass labels.")
        if self.labels.kind == "classes":
            return F.one_hot(y.long(), self.context_size).float()
        return y.float()

    def terms(self, batch: Batch, eps: Tensor | None) -> Terms:
        """Compute all terms of the loss, as `Autoencoder.terms`. With a guide, its two losses are part of `extra`."""
        terms = super().terms(batch, eps)
        if not self.guide or eps is None or batch.y is None:
            return terms
        # The noise is also a sample of the prior, and is independent of the image.
        samples = self.decode(eps if eps.dim() == 2 else eps[:, 0], batch.y)
        frozen = {name: weight.detach() for name, weight in self.classifier.named_parameters()}
        classifier_loss = F.cross_entropy(self.classifier(batch.target).float(), batch.y, reduction="none")
        logits = functional_call(self.classifier, frozen, samples)
        sample_loss = F.cross_entropy(logits.float(), batch.y, reduction="none")
        extra = classifier_loss + self.guide * sample_loss
        return terms._replace(extra=extra if terms.extra is None else terms.extra + extra)
