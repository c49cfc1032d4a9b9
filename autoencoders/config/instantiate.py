"""Instantiation of the objects that a configuration names, and rejection of targets that are not allowed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate

from autoencoders.config.signatures import check_options
from autoencoders.types import Context, Shape, UserError

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder


FORMAT = 2
"""Format version of run folders, checkpoints and exports. Other versions are rejected."""
ALLOWED_PREFIXES = (
    *(f"autoencoders.{package}." for package in ("data", "models", "nets", "objectives")),
    "torch.optim.",
)
"""Modules whose classes the configuration of a loaded run may name; see `is_allowed_target`."""


def build(node: Mapping, **arguments: Any) -> Any:
    """Instantiate a config node. Containers in the node become plain dicts and lists.

    Arguments are passed unchanged, although Hydra would convert dataclasses to config nodes. A UserError of a nested
    node is raised as it is.
    """
    try:
        return hydra_instantiate(node, _partial_=True, _convert_="all")(**arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def instantiate(path: str, node: Mapping, factory: Callable | None = None, **arguments: Any) -> Any:
    """Check the options of a config node and instantiate it. Any error becomes a UserError that names the node.

    Args:
        path: name of the node.
        node: plain containers.
        factory: function that builds the object; None for `build`.
        **arguments: arguments of the factory.

    Raises:
        UserError: if an option is wrong, or the class raises an exception.
    """
    check_options(path, node)
    try:
        return (factory or build)(node, **arguments)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} cannot be instantiated: {root_cause_message(error)} (debug=true shows the traceback)."
        ) from error


def root_cause_message(error: BaseException) -> str:
    """Return the message of the innermost exception, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def build_model(config: Mapping, shape: Shape, context: Context | None) -> Autoencoder:
    """Build the configured model for images of this shape and this context.

    Its hyperparameters, and thus its checkpoints, contain the plain configuration, shape and context, so that a
    checkpoint can be loaded alone and without executing code.
    """
    model = build(config["model"], shape=tuple(shape), context=context)
    context_dict = None if context is None else context.to_dict()
    hyperparameters = {"format": FORMAT, **config, "shape": list(shape), "context": context_dict}
    model.save_hyperparameters(hyperparameters)
    return model


def check_targets(config: Mapping, origin: Path, trust: tuple[str, ...] = ()) -> None:
    """Raise UserError if the model or data configuration of a file names a target that is not allowed.

    See `is_allowed_target`.
    """
    # An interpolation would be resolved, which may execute code.
    if any("${" in text for text in _texts([config["model"], config["data"]])):
        raise UserError(
            f"{origin} contains an interpolation, which the configuration of a run never does. It is not loaded."
        )
    for target in _targets([config["model"], config["data"]]):
        if not (is_allowed_target(target) or target.startswith(trust)):
            raise UserError(
                f"{origin} names the target {target!r}, which is neither a class of this package nor an optimizer or "
                f"schedule of torch. If you trust it, add trust=[{target.partition('.')[0]}] to the command of "
                f"autoencoders.apply, or pass trust=({target.partition('.')[0] + '.'!r},) to load() in Python."
            )


def is_allowed_target(target: str) -> bool:
    """Return whether a target is a class of an allowed module, defined in the module that it is named after.

    A prefix is not sufficient: through the names that a module imports, `autoencoders.runs.loading.Path.write_text`
    would be a file writer. Functions, and names reached through the namespace of another module, are not allowed.
    """
    if not target.startswith(ALLOWED_PREFIXES):
        return False
    module, _, name = target.rpartition(".")
    try:
        value = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return False
    if not isinstance(value, type):
        return False
    if target.startswith("torch."):
        from torch.optim import Optimizer
        from torch.optim.lr_scheduler import LRScheduler

        return issubclass(value, (Optimizer, LRScheduler))
    return value.__module__ == module


def _texts(node: Any) -> Iterator[str]:
    """Yield every string in nested plain containers, including keys."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for key, child in node.items():
            yield from _texts(key)
            yield from _texts(child)
    elif isinstance(node, list):
        for child in node:
            yield from _texts(child)


def _targets(node: Any) -> Iterator[str]:
    """Yield every `_target_` in nested plain containers."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _targets(child)
