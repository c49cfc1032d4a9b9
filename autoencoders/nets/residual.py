"""PCA with a convolutional correction: starts as the best linear autoencoder and learns the residual.

The projection on the principal components of the training images is fixed: no linear code of that size has a lower
squared error. The decoder adds a correction to the linear reconstruction: a small convolutional network whose inputs
are that image and the code. The encoder adds a correction to the linear code: its network's inputs are the linear
reconstruction and the residual. Both corrections start at zero. Both networks work on patches (the pixels of a patch
are channels, as in sub-pixel convolution, Shi et al., 2016): at a quarter of the side, a convolution costs a
sixteenth.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoencoders.nets.base import Net
from autoencoders.nets.heads import zero_linear
from autoencoders.types import Shape, UserError
from autoencoders.utils.checks import check_at_least, require
from autoencoders.utils.pca import principal_components

COARSE = 4
"""The decoder maps the code to a map of a quarter of the side. At full size, its weights would memorize images."""
SAMPLE = 1024
"""Number of training images from which the scales of signals are estimated."""


class Patches(nn.Module):
    """Convert images to maps of patches and back: (B, C, H, W) <-> (B, C P P, ceil(H / P), ceil(W / P)).

    Args:
        shape: (C, H, W).
        patch: P, pixels per side.
    """

    def __init__(self, shape: Shape, patch: int) -> None:
        super().__init__()
        side = min(shape[1:])
        require(1 <= patch <= side, "net.patch", patch, f"in 1 .. {side} pixels, the side of the image")
        self.shape, self.patch = shape, patch
        self.channels = shape[0] * patch**2
        self.size = tuple(-(-side // patch) for side in shape[1:])
        self._padding = (0, self.size[1] * patch - shape[2], 0, self.size[0] * patch - shape[1])

    def split(self, image: Tensor) -> Tensor:
        """Convert an image to patches. If a side is no multiple of P, the last patches are padded with zeros."""
        if any(self._padding):
            image = F.pad(image, self._padding)
        return F.pixel_unshuffle(image, self.patch).contiguous(memory_format=torch.channels_last)

    def join(self, maps: Tensor) -> Tensor:
        """Convert patches to an image, without the padding."""
        return F.pixel_shuffle(maps, self.patch)[:, :, : self.shape[1], : self.shape[2]]


class Block(nn.Module):
    """x + conv(relu(conv(relu(x)))), which starts as the identity.

    A context adds a bias per channel between the two convolutions.
    """

    def __init__(self, width: int, context_size: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.context = nn.Linear(context_size, width, bias=False) if context_size else None
        _start_at_zero(self.second)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, C, H, W)."""
        h = self.first(torch.relu(x))
        if self.context is not None:
            h = h + self.context(context)[:, :, None, None]
        return x + self.second(torch.relu(h))


def _check_sizes(width: int, blocks: int) -> None:
    """Raise UserError if the number of channels or of blocks is out of range."""
    check_at_least("net.width", width, 1)
    check_at_least("net.blocks", blocks, 0)


class Projection(nn.Module):
    """Projection of images on principal components, without trainable weights.

    Encoder and decoder hold one each.

    Args:
        shape: (C, H, W).
        components: Z.

    Attributes:
        average: (C H W,) mean training image.
        components: (Z, C H W) principal components.
        scale: (Z,) standard deviation of each coordinate.
        kept_scale: root mean square of the linear reconstruction, around the average.
        residual_scale: root mean square of the residual.
    """

    average: Tensor
    components: Tensor
    scale: Tensor
    kept_scale: Tensor
    residual_scale: Tensor

    def __init__(self, shape: Shape, components: int) -> None:
        super().__init__()
        self.shape, pixels = shape, math.prod(shape)
        if components > pixels:
            raise UserError(
                f"latent_dim must be at most {pixels} with net=residual, got {components}: PCA of images of {pixels} "
                "pixels has no more components. Lower latent_dim."
            )
        self.register_buffer("average", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(components, pixels))
        self.register_buffer("scale", torch.ones(components))
        self.register_buffer("kept_scale", torch.ones(()))
        self.register_buffer("residual_scale", torch.ones(()))

    def initialize(self, images: Tensor) -> None:
        """Fit the projection to the uint8 training images, (N, C, H, W)."""
        average, components, variances = principal_components(images, len(self.scale))
        self.average.copy_(average)
        self.components.copy_(components)
        self.scale.copy_(variances.sqrt())
        rows = torch.linspace(0, len(images) - 1, min(SAMPLE, len(images))).long()
        centered = images[rows].flatten(1).float() / 255 - self.average
        kept = centered @ self.components.T @ self.components
        for buffer, signal in ((self.kept_scale, kept), (self.residual_scale, centered - kept)):
            buffer.copy_(signal.square().mean().sqrt().clamp_min(1e-3))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project images, (B, C, H, W), in float32 also under autocast.

        Returns:
            Coordinates (B, Z) in units of pixels, the linear reconstruction around the average, (B, C, H, W), and
            the residual, (B, C, H, W).
        """
        with torch.autocast(x.device.type, enabled=False):
            centered = x.float().flatten(1) - self.average
            coordinates = centered @ self.components.T
            kept = coordinates @ self.components
        return coordinates, kept.unflatten(1, self.shape), (centered - kept).unflatten(1, self.shape)

    def reconstruct(self, coordinates: Tensor) -> Tensor:
        """Return the linear reconstruction of coordinates, (B, Z), around the average: (B, C, H, W)."""
        with torch.autocast(coordinates.device.type, enabled=False):
            return (coordinates.float() @ self.components).unflatten(1, self.shape)


class Encoder(Net):
    """Map an image to a code: its coordinates, in units of their standard deviation, plus a correction.

    Args:
        shape: (C, H, W).
        context_size: K, size of a context that is joined at every block; 0 for none.
        components: Z. The first Z features are the code; the last `width` features are means of the last map.
        patch: pixels per side of a patch.
        width: channels.
        blocks: number of residual blocks at the first size, and the same number at half of it.
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
        _check_sizes(width, blocks)
        self.projection, self.patches = Projection(shape, components), Patches(shape, patch)
        self.start = nn.Conv2d(2 * self.patches.channels, width, 3, padding=1)
        self.halve = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.fine = nn.ModuleList(Block(width, context_size) for _ in range(blocks))
        self.coarse = nn.ModuleList(Block(width, context_size) for _ in range(blocks))
        height, length = ((side + 1) // 2 for side in self.patches.size)
        self.correction = nn.Linear(width * height * length, components)
        _start_at_zero(self.correction)
        self.code, self.features = components, components + width

    def initialize(self, images: Tensor) -> None:
        """Fit the projection to the uint8 training images, (N, C, H, W)."""
        self.projection.initialize(images)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, K) or None -> (B, Z + width)."""
        coordinates, kept, residual = self.projection.project(x)
        signals = [kept / self.projection.kept_scale, residual / self.projection.residual_scale]
        h = self.start(self.patches.split(torch.cat(signals, dim=1)))
        for block in self.fine:
            h = block(h, context)
        h = self.halve(torch.relu(h))  # (B, width, ceil(H / 2P), ceil(W / 2P))
        for block in self.coarse:
            h = block(h, context)
        h = torch.relu(h)
        code = (coordinates + self.correction(h.flatten(1)).float()) / self.projection.scale
        return torch.cat([code, h.float().mean((2, 3))], dim=1)


class Decoder(Net):
    """Map a code to a raw output image: the linear reconstruction plus a correction that starts at zero.

    Args:
        inputs: size of the code and of the context that is joined to it.
        shape: (C, H, W).
        context_size: K, size of a context that is joined at every block; 0 for none.
        components: Z. The first Z inputs are the coordinates; a linear function of the other inputs is added to them.
        patch: pixels per side of a patch.
        width: channels.
        blocks: number of residual blocks.
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
        _check_sizes(width, blocks)
        self.projection, self.patches = Projection(shape, components), Patches(shape, patch)
        self.code = components
        self.start = nn.Conv2d(self.patches.channels, width, 3, padding=1)
        self.coarse = tuple(-(-side // COARSE) for side in self.patches.size)
        self.map = nn.Linear(inputs, width * math.prod(self.coarse))
        self.blocks = nn.ModuleList(Block(width, context_size) for _ in range(blocks))
        self.output = nn.Conv2d(width, self.patches.channels, 3, padding=1)
        self.shift = zero_linear(inputs - components, components, bias=True) if inputs > components else None
        _start_at_zero(self.output)

    def initialize(self, images: Tensor) -> None:
        """Fit the projection to the uint8 training images, (N, C, H, W)."""
        self.projection.initialize(images)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, inputs) and (B, K) or None -> (B, C, H, W), raw."""
        code = z[:, : self.code]
        if self.shift is not None:
            code = code + self.shift(z[:, self.code :])
        kept = self.projection.reconstruct(code * self.projection.scale)
        h = self.start(self.patches.split(kept / self.projection.kept_scale))
        h = h + F.interpolate(self.map(z).unflatten(1, (-1, *self.coarse)), self.patches.size)
        for block in self.blocks:
            h = block(h, context)
        correction = self.patches.join(self.output(torch.relu(h))).float() * self.projection.residual_scale
        return self.projection.average.unflatten(0, kept.shape[1:]) + kept + correction


def _start_at_zero(layer: nn.Module) -> None:
    """Set the weights and biases of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
