"""Inception-v3 of the FID, with the weights `pt_inception-2015-12-05`, which the user provides.

These weights are those of the TensorFlow network of Heusel et al., 2017 ("GANs trained by a two time-scale update
rule"), converted for pytorch-fid, torch-fidelity and torchmetrics. The network differs from torchvision's in the
pooling of its blocks: averages do not include the padding, and the last block takes the maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE, CLASSES, FEATURES = 299, 1008, 2048
"""Height and width of the input, number of classes of the weights, and number F of features."""
AVERAGES = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b")
"""Blocks that average without the padding."""


def build_inception(state: Mapping[str, Tensor]) -> nn.Module:
    """Return the network, which maps (N, 3, 299, 299) in [-1, 1] to features (N, 2048), in evaluation mode.

    Args:
        state: state dict with the names and shapes of `pt_inception-2015-12-05`.

    Raises:
        RuntimeError: if names or shapes differ.
    """
    from torchvision.models import Inception3  # type: ignore[import-untyped]  # torchvision has no type information

    with torch.device("meta"):
        network = Inception3(CLASSES, aux_logits=False, transform_input=False, init_weights=False)
    network = network.to_empty(device="cpu")
    # Old files do not contain the counters of BatchNorm, which are not used in evaluation mode.
    counters = {k: torch.tensor(0) for k in network.state_dict() if k.endswith("num_batches_tracked")}
    network.load_state_dict({**counters, **state})
    for name in AVERAGES:
        _replace_pool(network.get_submodule(name), average_pool)
    _replace_pool(network.get_submodule("Mixed_7c"), max_pool)
    network.fc = nn.Identity()
    return network.eval()


def average_pool(x: Tensor) -> Tensor:
    """Return averages of 3 x 3 pixels, without the padding."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def max_pool(x: Tensor) -> Tensor:
    """Return the maxima of 3 x 3 pixels."""
    return functional.max_pool2d(x, 3, stride=1, padding=1)


def _replace_pool(block: nn.Module, pool: Callable[[Tensor], Tensor]) -> None:
    """Replace the pooling of an Inception block: its layer `branch_pool` receives the pooled input of the block."""
    inputs: list[Tensor] = []

    def keep_input(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs.append(arguments[0])

    def pool_input(module: nn.Module, arguments: tuple[Tensor, ...]) -> Tensor:
        return pool(inputs.pop())

    block.register_forward_pre_hook(keep_input)
    block.get_submodule("branch_pool").register_forward_pre_hook(pool_input)


def prepare_inception(x: Tensor) -> Tensor:
    """Return images (N, 1 or 3, H, W) in [0, 1] as input (N, 3, 299, 299) in [-1, 1], resized as in pytorch-fid.

    pytorch-fid resizes with bilinear interpolation without antialiasing. Gray images are repeated in three channels.
    """
    x = functional.interpolate(x.expand(-1, 3, -1, -1), (SIZE, SIZE), mode="bilinear", align_corners=False)
    return 2 * x - 1
