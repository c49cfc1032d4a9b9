"""Layers of the convolutional nets that start from PCA: patches of images, and residual blocks.

The pixels of a patch become channels, as in sub-pixel convolution (Shi et al., 2016). With 4 x 4 patches, a convolution
is evaluated at 16 times fewer positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoders.types import Shape
from autoencoders.utils.checks import require


class Patches(nn.Module):
    """Convert images (B, C, H, W) to feature maps (B, C * P * P, ceil(H / P), ceil(W / P)), and back.

    The pixels of each patch with P x P pixels become channels.

    Args:
        shape: (C, H, W) of an image.
        patch: P, height and width of a patch in pixels.

    Raises:
        UserError: if `patch` is not between 1 and the smaller side of the image.
    """

    def __init__(self, shape: Shape, patch: int) -> None:
        super().__init__()
        side = min(shape[1:])
        require(1 <= patch <= side, "net.patch", patch, f"between 1 and {side}, the smaller side of the image")
        self.shape, self.patch = shape, patch
        self.channels = shape[0] * patch**2
        self.size = tuple(-(-side // patch) for side in shape[1:])
        self._padding = (0, self.size[1] * patch - shape[2], 0, self.size[0] * patch - shape[1])

    def split(self, image: Tensor) -> Tensor:
        """Convert images (B, C, H, W) to patches (B, C * P * P, ceil(H / P), ceil(W / P)).

        If height or width is not a multiple of P, the last patches are padded with zeros.
        """
        if any(self._padding):
            image = F.pad(image, self._padding)
        return F.pixel_unshuffle(image, self.patch).contiguous(memory_format=torch.channels_last)

    def join(self, maps: Tensor) -> Tensor:
        """Convert patches (B, C * P * P, ceil(H / P), ceil(W / P)) to images (B, C, H, W), and remove the padding."""
        return F.pixel_shuffle(maps, self.patch)[:, :, : self.shape[1], : self.shape[2]]


def convolution(source: int, width: int, stride: int = 1, separable: bool = False) -> nn.Module:
    """Return a 3 x 3 convolution that keeps height and width, or divides them by `stride` and rounds up.

    Args:
        source: number of input channels.
        width: number of output channels.
        stride: 1 or 2.
        separable: use a 3 x 3 convolution of each channel, then a 1 x 1 convolution of all channels (Howard et al.,
            "MobileNets", 2017). With many channels, this needs a ninth of the arithmetic.
    """
    if not separable:
        return nn.Conv2d(source, width, 3, stride=stride, padding=1)
    each = nn.Conv2d(source, source, 3, stride=stride, padding=1, groups=source)
    return nn.Sequential(each, nn.Conv2d(source, width, 1))


class Block(nn.Module):
    """Residual block x + conv(relu(conv(relu(x)))), which is the identity at the start of training.

    A linear function of the context is added to each channel between the two convolutions, like a bias.

    Args:
        width: number of channels.
        context_size: K, size of the context; 0 for no context.
        separable: see `convolution`.
    """

    def __init__(self, width: int, context_size: int, separable: bool = False) -> None:
        super().__init__()
        self.first = convolution(width, width, separable=separable)
        self.second = convolution(width, width, separable=separable)
        self.context = nn.Linear(context_size, width, bias=False) if context_size else None
        start_at_zero(self.second)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return output maps (B, width, H, W) for input maps `x` (B, width, H, W) and the context (B, K) or None."""
        h = self.first(torch.relu(x))
        if self.context is not None:
            h = h + self.context(context)[:, :, None, None]
        return x + self.second(torch.relu(h))


def start_at_zero(layer: nn.Module) -> None:
    """Set the weights and biases of a layer, or of the last one of several layers, to zero."""
    last = layer[-1] if isinstance(layer, nn.Sequential) else layer
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
