"""The conditional VAE (Sohn, Lee and Yan, "Learning structured output representation", 2015)."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from autoencoders.models.vae import VAE
from autoencoders.types import Context, UserError

JOINS = ("both", "decoder", "every_layer")


class CVAE(VAE):
    """A VAE told the label: q(z | x, y) and p(x | z, y), with a prior that does not depend on y.

    Args:
        context: the classes or attributes to condition on.
        join: where the label enters: `both` (the encoder's features and the code), `decoder` (the code
            alone), or `every_layer` (both, and every hidden layer of both nets).
        **parts: see `Autoencoder`.
    """

    def __init__(self, *, context: Context | None, join: str = "both", **parts: Any) -> None:
        if join not in JOINS:
            raise UserError(f"model.join must be one of {list(JOINS)}, and is {join!r}.")
        if context is None:
            raise UserError(
                "model=cvae needs labels, and these data have none. Choose model=vae or other data, or name attributes "
                "where there are some (data=lfw data.condition=[Male,Smiling])."
            )
        super().__init__(context=context, condition=context.size, join=join, **parts)

    def context(self, y: Tensor | None) -> Tensor:
        """One-hot classes, or the attributes as they are: (B, K) float32."""
        if y is None:
            raise UserError(f"This CVAE is conditioned on {self.labels.kind}, and the images came without labels.")
        if self.labels.kind == "classes":
            return F.one_hot(y.long(), self.condition).float()
        return y.float()
