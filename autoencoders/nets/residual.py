"""PCA with a convolutional correction: starts as the best linear autoencoder, and learns what that leaves over.

The projection on the principal components of the training images stays as it is: no linear code of that size is
better. What the decoder adds is drawn on the linear reconstruction: a small network of convolutions sees that
image, and the code, and starts at zero; so does the encoder's, which sees what the projection keeps and what it
leaves. Both work on patches (pixels of a patch are channels, as in sub-pixel convolution, Shi et al., 2016): at a
quarter of the side, a convolution costs a sixteenth.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoders.nets.heads import zero_linear
from autoencoders.types import Shape, UserError
from autoencoders.utils.pca import principal_components

COARSE = 4
"""The decoder's code enters a map of a quarter of the side: at full size its weights would fit single faces."""
SAMPLE = 1024
"""Training images that the sizes of signals are measured on."""


class Patches(nn.Module):
    """Images to maps of patches and back: (B, C, H, W) <-> (B, C P P, ceil(H / P), ceil(W / P)).

    Args:
        shape: (C, H, W).
        patch: P, pixels a side.
    """

    def __init__(self, shape: Shape, patch: int) -> None:
        super().__init__()
        if not 1 <= patch <= min(shape[1:]):
            raise UserError(f"net.patch must lie in 1 .. {min(shape[1:])} pixels, the image's side, and is {patch}.")
        self.shape, self.patch = tuple(shape), patch
        self.channels = shape[0] * patch**2
        self.size = tuple(-(-side // patch) for side in shape[1:])
        self._padding = (0, self.size[1] * patch - shape[2], 0, self.size[0] * patch - shape[1])

    def split(self, image: Tensor) -> Tensor:
        """To patches; the last ones are filled up with zeros where the side is no multiple."""
        if any(self._padding):
            image = F.pad(image, self._padding)
        return F.pixel_unshuffle(image, self.patch).contiguous(memory_format=torch.channels_last)

    def join(self, maps: Tensor) -> Tensor:
        """And back."""
        return F.pixel_shuffle(maps, self.patch)[:, :, : self.shape[1], : self.shape[2]]


class Block(nn.Module):
    """x + conv(relu(conv(relu(x)))), which starts as x; a context adds a bias per channel between the two."""

    def __init__(self, width: int, context_size: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.context = nn.Linear(context_size, width, bias=False) if context_size else None
        _start_at_zero(self.second)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, C, H, W)."""
        h = self.first(torch.relu(x))
        if self.context is not None:
            h = h + self.context(context)[:, :, None, None]
        return x + self.second(torch.relu(h))


def _check(width: int, blocks: int) -> None:
    for name, value, least in (("width", width, 1), ("blocks", blocks, 0)):
        if value < least:
            raise UserError(f"net.{name} must be a whole number from {least} up, and is {value}.")


class Linear(nn.Module):
    """The projection on principal components that encoder and decoder share the arithmetic of; nothing in it learns.

    Args:
        shape: (C, H, W).
        components: Z.
    """

    def __init__(self, shape: Shape, components: int) -> None:
        super().__init__()
        self.shape, pixels = tuple(shape), math.prod(shape)
        if components > pixels:
            raise UserError(
                f"net=residual starts from PCA, which has at most {pixels} components in images of {pixels} pixels, "
                f"and latent_dim is {components}. Lower latent_dim."
            )
        self.register_buffer("average", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(components, pixels))
        self.register_buffer("scale", torch.ones(components))
        self.register_buffer("kept", torch.ones(()))
        self.register_buffer("left", torch.ones(()))

    def initialize(self, images: Tensor) -> None:
        """Fit to the uint8 training images, (N, C, H, W)."""
        average, components, variances = principal_components(images, len(self.scale))
        self.average.copy_(average)
        self.components.copy_(components)
        self.scale.copy_(variances.sqrt())
        some = torch.linspace(0, len(images) - 1, min(SAMPLE, len(images))).long()
        centered = images[some].flatten(1).float() / 255 - self.average
        kept = centered @ self.components.T @ self.components
        for buffer, signal in ((self.kept, kept), (self.left, centered - kept)):
            buffer.copy_(signal.square().mean().sqrt().clamp_min(1e-3))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) -> coordinates (B, Z) in pixels' units, and what they keep and leave of the image."""
        with torch.autocast(x.device.type, enabled=False):
            centered = x.float().flatten(1) - self.average
            coordinates = centered @ self.components.T
            kept = coordinates @ self.components
        return coordinates, kept.unflatten(1, self.shape), (centered - kept).unflatten(1, self.shape)

    def reconstruct(self, coordinates: Tensor) -> Tensor:
        """(B, Z), in pixels' units -> what they keep of the image, (B, C, H, W), around an average of 0."""
        with torch.autocast(coordinates.device.type, enabled=False):
            return (coordinates.float() @ self.components).unflatten(1, self.shape)


class Encoder(nn.Module):
    """Image -> code: its coordinates on the components, in units of their standard deviation, plus a correction.

    Args:
        shape: (C, H, W).
        context_size: K, size of a context joined at every block; 0 for none.
        components: Z; the first Z features are the code itself, `width` more are means of the last map.
        patch: pixels a side of a patch.
        width: channels.
        blocks: residual blocks at the first size, and again as many at half of it.
    """

    def __init__(
        self,
        shape: Shape,
        context_size: int = 0,
        components: int = 200,
        patch: int = 4,
        width: int = 64,
        blocks: int = 1,
    ) -> None:
        super().__init__()
        _check(width, blocks)
        self.linear, self.patches = Linear(shape, components), Patches(shape, patch)
        self.start = nn.Conv2d(2 * self.patches.channels, width, 3, padding=1)
        self.halve = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.fine, self.coarse = (nn.ModuleList(Block(width, context_size) for _ in range(blocks)) for _ in range(2))
        height, length = ((side + 1) // 2 for side in self.patches.size)
        self.correction = nn.Linear(width * height * length, components)
        _start_at_zero(self.correction)
        self.code, self.features = components, components + width

    def initialize(self, images: Tensor) -> None:
        """Fit the linear part to the uint8 training images, (N, C, H, W)."""
        self.linear.initialize(images)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, Z + width)."""
        coordinates, kept, left = self.linear.project(x)
        h = self.start(self.patches.split(torch.cat([kept / self.linear.kept, left / self.linear.left], dim=1)))
        for block in self.fine:
            h = block(h, context)
        h = self.halve(torch.relu(h))  # (B, width, ceil(H / 2P), ceil(W / 2P))
        for block in self.coarse:
            h = block(h, context)
        h = torch.relu(h)
        code = (coordinates + self.correction(h.flatten(1)).float()) / self.linear.scale
        return torch.cat([code, h.float().mean((2, 3))], dim=1)


class Decoder(nn.Module):
    """Code -> raw output image: the linear reconstruction plus a correction that starts at zero.

    Args:
        inputs: size of the code, with whatever is joined to it.
        shape: (C, H, W).
        context_size: K, size of a context joined at every block; 0 for none.
        components: Z; the first Z inputs are the coordinates, which what is joined to them may shift.
        patch: pixels a side of a patch.
        width: channels.
        blocks: residual blocks.
    """

    def __init__(
        self,
        inputs: int,
        shape: Shape,
        context_size: int = 0,
        components: int = 200,
        patch: int = 4,
        width: int = 96,
        blocks: int = 4,
    ) -> None:
        super().__init__()
        _check(width, blocks)
        self.linear, self.patches = Linear(shape, components), Patches(shape, patch)
        self.code = components
        self.start = nn.Conv2d(self.patches.channels, width, 3, padding=1)
        self.coarse = tuple(-(-side // COARSE) for side in self.patches.size)
        self.map = nn.Linear(inputs, width * math.prod(self.coarse))
        self.blocks = nn.ModuleList(Block(width, context_size) for _ in range(blocks))
        self.output = nn.Conv2d(width, self.patches.channels, 3, padding=1)
        self.shift = zero_linear(inputs - components, components, bias=True) if inputs > components else None
        _start_at_zero(self.output)

    def initialize(self, images: Tensor) -> None:
        """Fit the linear part to the uint8 training images, (N, C, H, W)."""
        self.linear.initialize(images)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
        code = z[:, : self.code]
        if self.shift is not None:
            code = code + self.shift(z[:, self.code :])
        kept = self.linear.reconstruct(code * self.linear.scale)
        h = self.start(self.patches.split(kept / self.linear.kept))
        h = h + F.interpolate(self.map(z).unflatten(1, (-1, *self.coarse)), self.patches.size)
        for block in self.blocks:
            h = block(h, context)
        correction = self.patches.join(self.output(torch.relu(h))).float() * self.linear.left
        return self.linear.average.unflatten(0, kept.shape[1:]) + kept + correction


def _start_at_zero(layer: nn.Module) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
