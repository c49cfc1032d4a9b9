"""Summary of the layers of a model, in the order of the forward pass: output shapes and numbers of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from autoencoders.models.base import ImageModel

LAYERS = ("Linear", "Conv2d", "ConvTranspose2d", "CodeHead")
"""Class names of the modules that always start a new row of the summary, even if they have few parameters."""


@dataclass(frozen=True)
class Layer:
    """One row of the summary table: a layer, or several equal consecutive layers.

    Attributes:
        part: name of the model's submodule that contains the layer, such as `encoder`.
        kinds: class name of the layer, then the class names of the modules after the layer that have few or no
            parameters (norms, activations).
        shape: output shape without the batch dimension; empty if the module is not part of the forward pass.
        parameters: number of parameters of all layers in the row.
        count: number of equal consecutive layers.
    """

    part: str
    kinds: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: int
    count: int = 1


def summarize_layers(model: ImageModel) -> list[Layer]:
    """Return the rows of the layer summary of a model. They are recorded in one forward pass with a black image.

    The model must be in evaluation mode. Its weights and running means do not change, and neither does the state of the
    random number generator.
    """
    layers: list[Layer] = []
    hooks = []
    for part, submodule in model.named_children():
        for module in _leaf_modules(submodule):
            hooks.append(module.register_forward_hook(_record_output(layers, part)))
    try:
        with torch.random.fork_rng(devices=[]):
            model(*_empty_inputs(model))
    finally:
        for hook in hooks:
            hook.remove()
    rows = _merge_equal_rows(_merge_small_modules(layers))
    return _add_unused_parameters(rows, model)


def _leaf_modules(module: nn.Module) -> list[nn.Module]:
    """Return the modules inside `module` that have parameters of their own or have no children."""
    if next(module.children(), None) is None:
        return [module]
    if next(module.parameters(recurse=False), None) is not None:
        return [module]
    return [leaf for child in module.children() for leaf in _leaf_modules(child)]


def _record_output(layers: list[Layer], part: str) -> Callable[[nn.Module, Any, Any], None]:
    """Return a forward hook that appends the module and its output shape to `layers`."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            kinds = (type(module).__name__,)
            layers.append(Layer(part, kinds, tuple(output.shape[1:]), _count_parameters(module)))

    return hook


def _empty_inputs(model: ImageModel) -> list[Tensor]:
    """Return a black image (1, C, H, W) and, for a conditional model, a label of zeros."""
    device = next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))
    image = torch.zeros((1, *model.shape), device=device)
    if not model.context_size or model.labels is None:
        return [image]
    if model.labels.kind == "classes":
        return [image, torch.zeros(1, dtype=torch.int64, device=device)]
    return [image, torch.zeros((1, model.labels.size), device=device)]


def _merge_small_modules(layers: list[Layer]) -> list[Layer]:
    """Merge norms, activations and other modules with few parameters into the layer before them."""
    rows: list[Layer] = []
    for layer in layers:
        last = rows[-1] if rows else None
        channels = layer.shape[0] if layer.shape else 0
        small = layer.parameters <= 4 * channels and layer.kinds[0] not in LAYERS
        if last is not None and last.part == layer.part and small:
            rows[-1] = replace(
                last,
                kinds=(*last.kinds, *layer.kinds),
                shape=layer.shape,
                parameters=last.parameters + layer.parameters,
            )
        else:
            rows.append(layer)
    return rows


def _merge_equal_rows(rows: list[Layer]) -> list[Layer]:
    """Merge consecutive rows with the same submodule, modules and output shape into one row."""
    merged: list[Layer] = []
    for row in rows:
        last = merged[-1] if merged else None
        if last is not None and (last.part, last.kinds, last.shape) == (row.part, row.kinds, row.shape):
            merged[-1] = replace(last, count=last.count + 1, parameters=last.parameters + row.parameters)
        else:
            merged.append(row)
    return merged


def _add_unused_parameters(rows: list[Layer], model: nn.Module) -> list[Layer]:
    """Sort the rows by submodule. Add a row to each submodule with parameters that the forward pass does not use."""
    result: list[Layer] = []
    for part, submodule in model.named_children():
        own = [row for row in rows if row.part == part]
        rest = _count_parameters(submodule) - sum(row.parameters for row in own)
        result += own
        if rest > 0:
            kind = "other parameters" if own else type(submodule).__name__
            result.append(Layer(part, (kind,), (), rest))
    return result


def _count_parameters(module: nn.Module) -> int:
    return sum(math.prod(p.shape) for p in module.parameters())
