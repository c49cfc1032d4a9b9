"""Instantiation of the objects in a configuration, and checks whether the classes in a loaded file are allowed."""

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
"""Format version of run folders, checkpoints and exports. Files with another version are rejected."""
ALLOWED_PREFIXES = (
    *(f"autoencoders.{package}." for package in ("data", "models", "nets", "objectives")),
    "torch.optim.",
)
"""Prefixes of the class paths that the configuration of a loaded run may name; see `is_allowed_target`."""


def build(node: Mapping, **arguments: Any) -> Any:
    """Instantiate the class that a config node names. Config containers in the node become plain dicts and lists.

    Args:
        node: config node with `_target_`.
        **arguments: further arguments for the class. They are passed unchanged. (Hydra would convert dataclasses.)

    Raises:
        UserError: if the class, or a class in a nested node, raises a UserError.
        InstantiationException: if another exception is raised.
    """
    try:
        return hydra_instantiate(node, _partial_=True, _convert_="all")(**arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def instantiate(path: str, node: Mapping, factory: Callable | None = None, **arguments: Any) -> Any:
    """Check the options of a config node, and instantiate the class that the node names.

    Args:
        path: path of the node in the configuration, for example `model`. It is used in messages.
        node: config node as plain dicts and lists.
        factory: function that builds the object from the node. None selects `build`.
        **arguments: further arguments for the factory.

    Raises:
        UserError: if an option is not valid, or the class raises any exception. The message contains the path.
    """
    check_options(path, node)
    try:
        return (factory or build)(node, **arguments)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} cannot be instantiated: {root_cause_message(error)}. Set traceback=true to show the traceback."
        ) from error


def root_cause_message(error: BaseException) -> str:
    """Return the message of the first exception in the chain of causes, on one line and without the final dot."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".?")


def build_model(config: Mapping, shape: Shape, context: Context | None) -> Autoencoder:
    """Build the configured model.

    The hyperparameters of the model contain the configuration, the shape and the context as plain values. Lightning
    saves the hyperparameters in checkpoints, so that a checkpoint can be loaded without other files and without
    executing code.

    Args:
        config: the resolved configuration.
        shape: shape (C, H, W) of the images.
        context: description of the labels, or None for data without labels.
    """
    model = build(config["model"], shape=tuple(shape), context=context)
    context_dict = None if context is None else context.to_dict()
    hyperparameters = {"format": FORMAT, **config, "shape": list(shape), "context": context_dict}
    model.save_hyperparameters(hyperparameters)
    return model


def trusted_prefixes(trust: object) -> tuple[str, ...]:
    """Return the prefixes of classes that the option `trust` allows, each with a dot at its end."""
    names = [trust] if isinstance(trust, str) else trust
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise UserError(f"trust must be a list of module or package names, got {trust!r}. Set trust=[my_package].")
    return tuple(f"{name.rstrip('.')}." for name in names)


def check_targets(config: Mapping, origin: Path, trust: tuple[str, ...] = ()) -> None:
    """Check that the configuration in a run folder or checkpoint names only allowed classes; see `is_allowed_target`.

    Args:
        config: configuration from the file. Only its model and data sections are checked.
        origin: path of the file, for the message.
        trust: prefixes of further class paths that are allowed.

    Raises:
        UserError: if a class is not allowed, or a value contains an interpolation.
    """
    # Hydra would resolve an interpolation, which may execute code.
    if any("${" in text for text in _texts([config["model"], config["data"]])):
        raise UserError(
            f"{origin} contains an interpolation and is not loaded, because interpolations may execute code. "
            "Choose a run or checkpoint that this package has written."
        )
    for target in _targets([config["model"], config["data"]]):
        if not (is_allowed_target(target) or target.startswith(trust)):
            raise UserError(
                f"{origin} names the target {target!r}, which is neither an allowed class of this package nor a torch "
                "optimizer or learning-rate schedule. If you trust this target, add "
                f"trust=[{target.partition('.')[0]}] to the command of autoencoders.apply, or pass "
                f"trust=({target.partition('.')[0] + '.'!r},) in Python."
            )


def is_allowed_target(target: str) -> bool:
    """Return whether the configuration of a loaded run may name a target, such as `autoencoders.models.vae.VAE`.

    The target must start with one of ALLOWED_PREFIXES, and must be a class that is defined in the module in its path,
    or an optimizer or learning-rate schedule of torch. Functions are not allowed. A prefix alone would not be safe,
    because a module also contains the names that it imports: `autoencoders.runs.loading.Path.write_text` writes files.
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
    """Yield every string in nested dicts and lists, including the keys of dicts."""
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
    """Yield the value of every key `_target_` in nested dicts and lists."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _targets(child)
