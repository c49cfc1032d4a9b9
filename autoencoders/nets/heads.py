"""From features to what a posterior wants to know: its numbers, `numbers` for each latent, means first."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CodeHead(nn.Module):
    """For encoders whose first features are a code already: means are that code, moved by what the context says.

    A dense layer that starts as the identity would do as much, but every step of an optimizer that takes steps of
    one size in all weights, as Adam does, mixes the code's coordinates a little: beside a linear code that is
    optimal from the start, that costs more than training wins for many epochs.

    Args:
        code: Z, how many of the features are the code.
        features: F, all of them; those beyond the code inform the log-variances.
        context_size: K, size of the context that follows the features; 0 for none.
        numbers: 1 for means alone; 2 for means and log-variances, which start at 0.
    """

    def __init__(self, code: int, features: int, context_size: int, numbers: int) -> None:
        super().__init__()
        self.code, self.features, others = code, features, features - code + context_size
        self.shift = zero_linear(context_size, code, bias=True) if context_size else None
        self.log_variance = nn.Parameter(torch.zeros(code)) if numbers > 1 else None
        self.others = zero_linear(others, code) if numbers > 1 and others else None

    def forward(self, h: Tensor) -> Tensor:
        """(B, F + K) -> (B, numbers Z)."""
        mean = h[:, : self.code]
        if self.shift is not None:
            mean = mean + self.shift(h[:, self.features :])
        if self.log_variance is None:
            return mean
        log_variance = self.log_variance.expand_as(mean)
        if self.others is not None:
            log_variance = log_variance + self.others(h[:, self.code :])
        return torch.cat([mean, log_variance], dim=1)


def zero_linear(inputs: int, outputs: int, bias: bool = False) -> nn.Linear:
    """A dense layer that starts at zero."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


@torch.no_grad()
def move_context(head: CodeHead, shift: nn.Linear, codes: Tensor, context: Tensor) -> None:
    """Take out of the codes what the context says of them, linearly, and let the decoder put it back.

    The model then starts with codes that are linearly independent of the context. Without it a decoder that is
    handed a good code has next to no reason ever to look at the context: what it could save is a few nats of rate.

    Args:
        head: whose shift becomes minus the regression of code on context.
        shift: the decoder's, context to code; becomes the regression.
        codes: (N, Z) of training images.
        context: (N, K) of the same.
    """
    centered = context - context.mean(0)
    slope = torch.linalg.lstsq(centered.double(), (codes - codes.mean(0)).double(), driver="gelsd").solution.float()
    shift.weight.copy_(slope.T)
    shift.bias.copy_(-context.mean(0) @ slope)
    head.shift.weight.copy_(-slope.T)
    head.shift.bias.copy_(context.mean(0) @ slope)
