"""Layer that computes posterior parameters for encoders whose features contain a code."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CodeHead(nn.Module):
    """Compute posterior parameters from encoder features whose first Z values are a code.

    The posterior mean is this code plus a linear function of the context. The linear function is zero at the start of
    training. The log-variances also start at zero.

    A linear layer that starts as the identity matrix would have the same output at the start. But Adam changes all
    weights by steps of similar size, so it would mix the latents of the code a little at every step. If the code is
    optimal at the start (as with PCA), this would increase the loss for many epochs.

    Args:
        code: Z, number of features that are the code.
        features: F, number of all features. The features after the code are inputs for the log-variances.
        context_size: K, size of the context that is concatenated to the features; 0 for no context.
        numbers: number of posterior parameters per latent: 1 for the mean, or 2 for mean and log-variance.
    """

    def __init__(self, code: int, features: int, context_size: int, numbers: int) -> None:
        super().__init__()
        self.code, self.features = code, features
        rest = features - code + context_size
        self.shift = zero_linear(context_size, code, bias=True) if context_size else None
        self.log_variance = nn.Parameter(torch.zeros(code)) if numbers > 1 else None
        self.rest = zero_linear(rest, code) if numbers > 1 and rest else None

    def forward(self, h: Tensor) -> Tensor:
        """Return posterior parameters (B, numbers * Z) for features and context `h` (B, F + K).

        The first Z values are the means. If `numbers` is 2, the log-variances follow.
        """
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
    """Return a linear layer whose weights and biases are zero."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


@torch.no_grad()
def move_context(encoder_shift: nn.Linear, decoder_shift: nn.Linear, codes: Tensor, context: Tensor) -> None:
    """Initialize two layers so that the codes are uncorrelated with the context and reconstructions do not change.

    The encoder subtracts the prediction of a linear regression from context to code, and the decoder adds this
    prediction again. With another initialization, the model would hardly learn to use the context, because the context
    reduces the rate (KL divergence of the posterior from the prior) by only a few nats.

    Args:
        encoder_shift: linear layer (K -> Z) of the encoder head. It is set to minus the regression.
        decoder_shift: linear layer (K -> Z) of the decoder. It is set to the regression.
        codes: (N, Z) codes of training images.
        context: (N, K) context of the same images.
    """
    centered = context - context.mean(0)
    slope = torch.linalg.lstsq(centered.double(), (codes - codes.mean(0)).double(), driver="gelsd").solution.float()
    decoder_shift.weight.copy_(slope.T)
    decoder_shift.bias.copy_(-context.mean(0) @ slope)
    encoder_shift.weight.copy_(-slope.T)
    encoder_shift.bias.copy_(context.mean(0) @ slope)
