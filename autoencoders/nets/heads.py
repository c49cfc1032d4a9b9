"""Output layer for encoders whose features contain a code."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CodeHead(nn.Module):
    """Posterior parameters of an encoder whose first features are a code.

    The posterior mean is that code plus a linear function of the context, which starts at zero.

    A linear layer that starts as the identity would compute the same. But an optimizer with steps of similar size in
    all weights, such as Adam, would mix the coordinates of the code a little at every step. If the code is linear and
    optimal at the start, this costs more than training gains for many epochs.

    Args:
        code: Z, the number of features that are the code.
        features: F, the number of all features; the features after the code inform the log-variances.
        context_size: K, the size of the context that follows the features; 0 for none.
        numbers: outputs per latent: 1 for means alone; 2 for means and log-variances, which start at 0.
    """

    def __init__(self, code: int, features: int, context_size: int, numbers: int) -> None:
        super().__init__()
        self.code, self.features = code, features
        rest = features - code + context_size
        self.shift = zero_linear(context_size, code, bias=True) if context_size else None
        self.log_variance = nn.Parameter(torch.zeros(code)) if numbers > 1 else None
        self.rest = zero_linear(rest, code) if numbers > 1 and rest else None

    def forward(self, h: Tensor) -> Tensor:
        """(B, F + K) -> (B, numbers Z)."""
        mean = h[:, : self.code]
        if self.shift is not None:
            mean = mean + self.shift(h[:, self.features :])
        if self.log_variance is None:
            return mean
        log_variance = self.log_variance.expand_as(mean)
        if self.rest is not None:
            log_variance = log_variance + self.rest(h[:, self.code :])
        return torch.cat([mean, log_variance], dim=1)


def zero_linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
    """Return a linear layer whose weights start at zero."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


@torch.no_grad()
def move_context(encoder_shift: nn.Linear, decoder_shift: nn.Linear, codes: Tensor, context: Tensor) -> None:
    """Make the codes linearly independent of the context, without changing the reconstructions.

    The encoder subtracts the linear regression of the code on the context, and the decoder adds it again. Without
    this start, a decoder with a good code has almost no reason to use the context: it would save only a few nats of
    rate.

    Args:
        encoder_shift: (K -> Z) layer of the encoder's head; becomes minus the regression of the code on the context.
        decoder_shift: (K -> Z) layer of the decoder; becomes the regression.
        codes: (N, Z) of training images.
        context: (N, K) of the same images.
    """
    centered = context - context.mean(0)
    slope = torch.linalg.lstsq(centered.double(), (codes - codes.mean(0)).double(), driver="gelsd").solution.float()
    decoder_shift.weight.copy_(slope.T)
    decoder_shift.bias.copy_(-context.mean(0) @ slope)
    encoder_shift.weight.copy_(-slope.T)
    encoder_shift.bias.copy_(context.mean(0) @ slope)
