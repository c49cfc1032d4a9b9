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


class Block(nn.Module):
    """Residual block x + conv(relu(conv(relu(x)))), which is the identity at the start of training.

    A linear function of the context is added to each channel between the two convolutions, like a bias.

    Args:
        width: number of channels.
        context_size: K, size of the context; 0 for no context.
    """

    def __init__(self, width: int, context_size: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.context = nn.Linear(context_size, width, bias=False) if context_size else None
        start_at_zero(self.second)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return output maps (B, width, H, W) for input maps `x` (B, width, H, W) and the context (B, K) or None."""
        h = self.first(torch.relu(x))
        if self.context is not None:
            h = h + self.context(context)[:, :, None, None]
        return x + self.second(torch.relu(h))


def start_at_zero(layer: nn.Module) -> None:
    """Set the weights and biases of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
