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

JOINS = ("both", "decoder", "every_layer")
HIDDEN = 256
"""Units of the guide's hidden layer."""


class CVAE(VAE):
    """A VAE told the label: q(z | x, y) and p(x | z, y), with a prior that does not depend on y.

    Args:
        context: the classes or attributes to condition on.
        join: where the label enters: `both` (the encoder's features and the code), `decoder` (the code
            alone), or `every_layer` (both, and every hidden layer of both nets).
        guide: weight of -log g(y | decode(eps, y)), for eps ~ N(0, I): g is a small classifier, trained alongside on
            the targets alone, and says whether what is drawn of the prior is of the class asked for (after Hu et al.,
            "Toward controlled generation of text", 2017). It is added to the loss, and changes neither the bound nor
            what is measured of it. 0: none.
        **parts: see `Autoencoder`.
    """

    def __init__(self, *, context: Context | None, join: str = "both", guide: float = 0.0, **parts: Any) -> None:
        if join not in JOINS:
            raise UserError(f"model.join must be one of {list(JOINS)}, and is {join!r}.")
        if context is None:
            raise UserError(
                "model=cvae needs labels, and these data have none. Choose model=vae or other data, or name attributes "
                "where there are some (data=lfw data.attributes=[Male,Smiling])."
            )
        if not 0 <= guide < math.inf:
            raise UserError(f"model.guide must be a weight from 0 up, and is {guide}.")
        if guide and context.kind != "classes":
            raise UserError("model.guide is a classifier of classes, and these data are conditioned on attributes.")
        super().__init__(context=context, context_size=context.size, join=join, **parts)
        if guide and not self.posteriors.gaussian:
            raise UserError(f"model.guide draws codes from N(0, I), and here there is {self.posteriors.name}.")
        self.guide = guide
        if guide:
            layers = nn.Linear(math.prod(self.shape), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, self.context_size)
            self.classifier = nn.Sequential(nn.Flatten(), *layers)

    def context(self, y: Tensor | None) -> Tensor:
        """One-hot classes, or the attributes as they are: (B, K) float32."""
        if y is None:
            raise UserError(f"This CVAE is conditioned on {self.labels.kind}, and the images came without labels.")
        if self.labels.kind == "classes":
            return F.one_hot(y.long(), self.context_size).float()
        return y.float()

    def terms(self, batch: Batch, eps: Tensor) -> Terms:
        """As `Autoencoder.terms`; with a guide, its loss on the targets and what it says of drawn images are added."""
        terms = super().terms(batch, eps)
        if not self.guide:
            return terms
        # The noise is a draw of the prior too, of which this image's reconstruction is no function.
        drawn = self.decode(eps if eps.dim() == 2 else eps[:, 0], batch.y)
        frozen = {name: weight.detach() for name, weight in self.classifier.named_parameters()}
        own = F.cross_entropy(self.classifier(batch.target).float(), batch.y, reduction="none")
        seen = F.cross_entropy(functional_call(self.classifier, frozen, drawn).float(), batch.y, reduction="none")
        extra = own + self.guide * seen
        return terms._replace(extra=extra if terms.extra is None else terms.extra + extra)
