"""What a model is made of: its layers in the order an image passes them, with the shapes that leave them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Layer(NamedTuple):
    """A layer, or several alike that follow each other.

    Attributes:
        part: the part of the model, such as `encoder`; what no image passes in a forward is a layer of its own.
        kinds: classes of the modules, joined where the later ones have next to no weights of their own (norms,
            activations).
        shape: of the output, without the batch; empty where nothing passes.
        parameters: of all of them together.
        count: how many.
    """

    part: str
    kinds: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: int
    count: int = 1


def summarize_layers(model: nn.Module) -> list[Layer]:
    """The layers of an autoencoder or a classifier, from one forward of an empty image.

    The model must be in evaluation mode; weights, running means and the state of random numbers stay as they are.
    """
    found: list[Layer] = []
    hooks = []
    for part, top in model.named_children():
        for module in _units(top):
            hooks.append(module.register_forward_hook(_noting(found, part)))
    try:
        with torch.random.fork_rng(devices=[]):
            model(*_empty(model))
    finally:
        for hook in hooks:
            hook.remove()
    return _gathered(_joined(found), model)


def _units(module: nn.Module) -> list[nn.Module]:
    """Modules that have weights of their own, or nothing inside them."""
    if not isinstance(module, nn.Module) or next(module.children(), None) is None:
        return [module]
    if next(module.parameters(recurse=False), None) is not None:
        return [module]
    return [unit for child in module.children() for unit in _units(child)]


def _noting(found: list[Layer], part: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            found.append(Layer(part, (type(module).__name__,), tuple(output.shape[1:]), _size(module)))

    return hook


def _empty(model: nn.Module) -> list[Tensor]:
    """An image without content, (1, C, H, W), and a label where the model wants one."""
    device = next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))
    image = torch.zeros(1, *model.shape, device=device)
    if not model.context_size:
        return [image]
    classes = model.labels.kind == "classes"
    size = (1,) if classes else (1, model.labels.size)
    return [image, torch.zeros(size, dtype=torch.int64 if classes else torch.float32, device=device)]


def _joined(found: list[Layer]) -> list[Layer]:
    """Norms, activations and their like with the layer before them."""
    rows: list[Layer] = []
    for layer in found:
        last = rows[-1] if rows else None
        small = layer.parameters <= 4 * (layer.shape[0] if layer.shape else 0) and layer.kinds[0] not in LAYERS
        if last is not None and last.part == layer.part and small:
            kinds = (*last.kinds, *layer.kinds)
            rows[-1] = last._replace(kinds=kinds, shape=layer.shape, parameters=last.parameters + layer.parameters)
        else:
            rows.append(layer)
    return rows


LAYERS = ("Linear", "Conv2d", "ConvTranspose2d", "CodeHead")
"""Modules that begin a line however small they are."""


def _gathered(rows: list[Layer], model: nn.Module) -> list[Layer]:
    """Equal neighbors as one line, and at the end of each part what of it no image has passed."""
    gathered: list[Layer] = []
    for layer in rows:
        last = gathered[-1] if gathered else None
        if last is not None and (last.part, last.kinds, last.shape) == (layer.part, layer.kinds, layer.shape):
            gathered[-1] = last._replace(count=last.count + 1, parameters=last.parameters + layer.parameters)
        else:
            gathered.append(layer)
    result = []
    for part, top in model.named_children():
        own = [layer for layer in gathered if layer.part == part]
        rest = _size(top) - sum(layer.parameters for layer in own)
        result += own
        if rest > 0:
            result.append(Layer(part, ("others",) if own else (type(top).__name__,), (), rest))
    return result


def _size(module: nn.Module) -> int:
    return sum(math.prod(p.shape) for p in module.parameters())
