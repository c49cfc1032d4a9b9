"""Layer that predicts labels from codes by the angles between the codes and learned prototypes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INITIAL_SCALE = 20.0
"""Factor on the cosines at the start of training."""
DEVIATION = 0.05
"""Standard deviation of the initial prototypes. Adam turns short prototypes faster than long ones."""


class LabelHead(nn.Module):
    """Predict a class, or binary attributes, from the cosines of the angles between codes and prototypes.

    The logit of label k is scale * cos(z, p_k) + b_k with a learned prototype p_k. The prediction depends on the
    direction of a code alone, so that training gathers the codes with the same label in one direction.

    Source: Zhai and Wu, "Classification is a strong baseline for deep metric learning", 2019.

    Args:
        size: Z, the size of the code.

    Attributes:
        prototypes: (K, Z) prototypes of K labels; K = 0 before `build`.
        bias: (K,) offsets of the logits.
        log_scale: () logarithm of the scale.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.zeros(0, size))
        self.bias = nn.Parameter(torch.zeros(0))
        self.log_scale = nn.Parameter(torch.tensor(INITIAL_SCALE).log())
        self.register_load_state_dict_pre_hook(_match_size)

    def build(self, count: int) -> None:
        """Create random prototypes for `count` labels, unless the head has this number of prototypes."""
        if len(self.prototypes) != count:
            size, device = self.prototypes.shape[1], self.prototypes.device
            self._set_prototypes(DEVIATION * torch.randn(count, size, device=device))

    def _set_prototypes(self, prototypes: Tensor) -> None:
        self.prototypes = nn.Parameter(prototypes)
        self.bias = nn.Parameter(torch.zeros(len(prototypes), device=prototypes.device))

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits (B, K) of K labels for codes `z` (B, Z), in float32 even under autocast."""
        with torch.autocast(z.device.type, enabled=False):
            cosines = F.normalize(z.float(), dim=1) @ F.normalize(self.prototypes, dim=1).T
            return self.log_scale.exp() * cosines + self.bias


def _match_size(head: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give a head the number of prototypes in a state dict, before the state dict is loaded."""
    prototypes = state.get(f"{prefix}prototypes")
    if isinstance(head, LabelHead) and prototypes is not None and len(prototypes) != len(head.prototypes):
        head._set_prototypes(torch.zeros_like(prototypes, device=head.prototypes.device))
