"""Encoder and decoder that start as PCA, the best linear autoencoder, and learn convolutional corrections.

The PCA projection of the images is fixed. No other linear code with the same size has a lower squared error. The
encoder adds a correction to the PCA code. A convolutional network computes this correction from the PCA reconstruction
and the PCA residual. The decoder adds a correction to the PCA reconstruction. A second convolutional network computes
this correction from the PCA reconstruction and the code. The corrections start at zero.

The networks process patches: the pixels of a patch become channels, as in sub-pixel convolution (Shi et al., 2016).
With 4 x 4 patches, a convolution is evaluated at 16 times fewer positions.
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
from autoencoders.utils.pixels import to_unit

COARSE = 4
"""Factor by which the decoder reduces height and width of the feature map that a linear layer computes from the code.

Without this reduction, the linear layer would have so many weights that it memorizes training images.
"""
MIN_SCALE = 1e-4
"""Lower bound on the standard deviation of a PCA coordinate, which is 0 if all images are equal along a component.

It is below the standard deviation that rounding to 8 bits gives a coordinate (1 / 255 / sqrt(12) = 1.1e-3).
"""
SAMPLE = 1024
"""Maximum number of training images that are used to estimate `kept_scale` and `residual_scale`."""


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
        _start_at_zero(self.second)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return output maps (B, width, H, W) for input maps `x` (B, width, H, W) and the context (B, K) or None."""
        h = self.first(torch.relu(x))
        if self.context is not None:
            h = h + self.context(context)[:, :, None, None]
        return x + self.second(torch.relu(h))


def _check_sizes(width: int, blocks: int) -> None:
    """Raise UserError if the number of channels is below 1 or the number of residual blocks is negative."""
    check_at_least("net.width", width, 1)
    check_at_least("net.blocks", blocks, 0)


class Projection(nn.Module):
    """PCA projection of images, without trainable weights.

    Encoder and decoder each have their own copy.

    Args:
        shape: (C, H, W) of an image.
        components: Z, number of principal components.

    Attributes:
        average: (C * H * W,) mean training image.
        components: (Z, C * H * W) principal components.
        scale: (Z,) standard deviation of each PCA coordinate, at least MIN_SCALE.
        kept_scale: root mean square of the PCA reconstruction after the mean image is subtracted.
        residual_scale: root mean square of the PCA residual.

    Raises:
        UserError: if `components` is larger than the number of pixel values C * H * W.
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
                f"latent_dim must be at most {pixels} with net=residual, got {components}. The net starts from PCA, "
                "which has at most one component per pixel value. Choose a smaller latent_dim."
            )
        self.register_buffer("average", torch.zeros(pixels))
        self.register_buffer("components", torch.zeros(components, pixels))
        self.register_buffer("scale", torch.ones(components))
        self.register_buffer("kept_scale", torch.ones(()))
        self.register_buffer("residual_scale", torch.ones(()))

    def initialize(self, images: Tensor) -> None:
        """Fit the PCA projection to the stored training images (N, C, H, W)."""
        average, components, variances = principal_components(images, len(self.scale))
        self.average.copy_(average)
        self.components.copy_(components)
        self.scale.copy_(variances.clamp_min(MIN_SCALE**2).sqrt())
        rows = torch.linspace(0, len(images) - 1, min(SAMPLE, len(images))).long()
        centered = to_unit(images[rows]).flatten(1) - self.average
        kept = centered @ self.components.T @ self.components
        for buffer, signal in ((self.kept_scale, kept), (self.residual_scale, centered - kept)):
            buffer.copy_(signal.square().mean().sqrt().clamp_min(1e-3))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project images `x` (B, C, H, W). The computation uses float32 even under autocast.

        Returns:
            PCA coordinates (B, Z), in the unit of pixel values; the PCA reconstruction (B, C, H, W) minus the mean
            image; and the PCA residual (B, C, H, W).
        """
        with torch.autocast(x.device.type, enabled=False):
            centered = x.float().flatten(1) - self.average
            coordinates = centered @ self.components.T
            kept = coordinates @ self.components
        return coordinates, kept.unflatten(1, self.shape), (centered - kept).unflatten(1, self.shape)

    def reconstruct(self, coordinates: Tensor) -> Tensor:
        """Return the PCA reconstruction (B, C, H, W) minus the mean image, for PCA coordinates (B, Z)."""
        with torch.autocast(coordinates.device.type, enabled=False):
            return (coordinates.float() @ self.components).unflatten(1, self.shape)


class Encoder(Net):
    """Map images to features: a code, followed by spatial means of the last feature map.

    The code is the sum of the PCA coordinates and a learned correction, divided by the standard deviations of the PCA
    coordinates.

    Args:
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all residual blocks receive; 0 for no context.
        components: Z, number of principal components, which is also the size of the code.
        patch: height and width of a patch in pixels.
        width: number of channels of the feature maps.
        blocks: number of residual blocks before the feature map is halved, and number of residual blocks after that.

    Raises:
        UserError: if an option is invalid.
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
        """Fit the PCA projection to the stored training images (N, C, H, W)."""
        self.projection.initialize(images)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return features (B, Z + width) for images `x` (B, C, H, W) and the context (B, K) or None.

        The first Z features are the code.
        """
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
    """Map codes to output images: the PCA reconstruction plus a learned correction that starts at zero.

    The images are returned before the output activation.

    Args:
        inputs: number of inputs per image: the size of the code, plus the size of the context if a context is
            concatenated to the code.
        shape: (C, H, W) of an image.
        context_size: K, size of the context that all residual blocks receive; 0 for no context.
        components: Z, number of principal components. The first Z inputs are the code. A linear function of the other
            inputs (the context) is added to the code.
        patch: height and width of a patch in pixels.
        width: number of channels of the feature maps.
        blocks: number of residual blocks.

    Raises:
        UserError: if an option is invalid.
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
        """Fit the PCA projection to the stored training images (N, C, H, W)."""
        self.projection.initialize(images)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return raw output images (B, C, H, W) for codes `z` (B, inputs) and the context (B, K) or None."""
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
