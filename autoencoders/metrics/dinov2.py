"""DINOv2 (Oquab et al., 2023, "DINOv2: Learning robust visual features without supervision"), with weights of the user.

Supported are the published backbones ViT-S/14, ViT-B/14 and ViT-L/14 without registers, such as
`dinov2_vitl14_pretrain.pth`. The features are those of the class token, as in Stein et al., 2023 ("Exposing flaws of
generative model evaluation metrics").
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE, PATCH, HEAD = 224, 14, 64
"""Height and width of the input, of a patch, and number of features of an attention head."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the channels of ImageNet."""
OFFSET = 0.1
"""Number that the published code adds to the number of patches when it resizes the position embedding."""


class Scale(nn.Module):
    """Factor for each feature (LayerScale)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled features (..., F)."""
        return x * self.gamma


class Attention(nn.Module):
    """Self-attention with heads of HEAD features."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(size, 3 * size), nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended tokens (N, T, F)."""
        count, tokens, size = x.shape
        query, key, value = self.qkv(x).reshape(count, tokens, 3, size // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        return self.proj(functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Transformer block with layer norm before attention and MLP."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(size, eps=1e-6), nn.LayerNorm(size, eps=1e-6)
        self.attn, self.ls1, self.ls2 = Attention(size), Scale(size), Scale(size)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(size, 4 * size), "fc2": nn.Linear(4 * size, size)})

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens (N, T, F)."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x)))))


class DINOv2(nn.Module):
    """Vision transformer that maps (N, 3, 224, 224) to the features (N, F) of the class token.

    Args:
        size: number F of features.
        depth: number of blocks.
        patches: number of patches of the position embedding, which is resized to 16 x 16 patches.
    """

    def __init__(self, size: int, depth: int, patches: int) -> None:
        super().__init__()
        self.cls_token, self.mask_token = nn.Parameter(torch.zeros(1, 1, size)), nn.Parameter(torch.zeros(1, size))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + patches, size))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, size, PATCH, PATCH)})
        self.blocks = nn.ModuleList(Block(size) for _ in range(depth))
        self.norm = nn.LayerNorm(size, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (N, F) of normalized images."""
        grid = self.patch_embed["proj"](x)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), grid.flatten(2).transpose(1, 2)], 1)
        tokens = tokens + self.positions(grid.shape[2])
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def positions(self, side: int) -> Tensor:
        """Return the position embedding (1, 1 + side^2, F), resized with bicubic interpolation.

        The factor is that of the published code.
        """
        patches = self.pos_embed[:, 1:]
        own = round(patches.shape[1] ** 0.5)
        if own == side:
            return self.pos_embed
        grid = patches.unflatten(1, (own, own)).permute(0, 3, 1, 2)
        factor = (side + OFFSET) / own
        grid = functional.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)


def build_dinov2(state: Mapping[str, Tensor]) -> DINOv2:
    """Return the network of a state dict in evaluation mode.

    Args:
        state: state dict with the names of the published backbones.

    Raises:
        KeyError: if the state dict has no position embedding.
        RuntimeError: if names or shapes differ, as those of backbones with registers and of ViT-g/14.
    """
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    _, tokens, size = state["pos_embed"].shape
    with torch.device("meta"):
        network = DINOv2(size, depth, tokens - 1)
    network.load_state_dict(dict(state), assign=True)
    return network.float().eval()


def prepare_dinov2(x: Tensor) -> Tensor:
    """Return images (N, 1 or 3, H, W) in [0, 1] as input (N, 3, 224, 224), resized and normalized as for ImageNet."""
    x = x.expand(-1, 3, -1, -1)
    x = functional.interpolate(x, (SIZE, SIZE), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    return (x - x.new_tensor(MEAN)[:, None, None]) / x.new_tensor(STD)[:, None, None]
