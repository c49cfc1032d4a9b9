"""Build the objects that a configuration names, and refuse targets that may not be built."""

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
"""Version of run folders, checkpoints and exports; others are refused."""
ALLOWED_PREFIXES = (*(f"autoencoders.{part}." for part in ("data", "models", "nets", "objectives")), "torch.optim.")
"""Where the classes may live that the configuration of an opened run names; see `is_allowed_target`."""


def build(node: Mapping, **arguments: Any) -> Any:
    """The object a config node names; its own containers become plain dicts and lists.

    Arguments pass untouched (Hydra would turn dataclasses among them into config nodes), and so does a UserError
    from a nested node (Hydra would bury it).
    """
    try:
        return hydra_instantiate(node, _partial_=True, _convert_="all")(**arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def instantiate(path: str, node: Mapping, factory: Callable | None = None, **arguments: Any) -> Any:
    """What a config node names, built; whatever its class objects to is a UserError that names the node.

    Args:
        path: what the node is called.
        node: plain containers.
        factory: what builds it; None for `build`.
        **arguments: of the factory.
    """
    check_options(path, node)
    try:
        return (factory or build)(node, **arguments)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{path} cannot be set up as asked: {root_cause_message(error)} (debug=true shows where)."
        ) from error


def root_cause_message(error: BaseException) -> str:
    """What was wrong, on one line, without what a library wraps around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def build_model(config: Mapping, shape: Shape, context: Context | None) -> Autoencoder:
    """The configured model for images of this shape and context.

    Its hyperparameters, and so its checkpoints, hold the plain configuration, shape and context: a checkpoint
    alone opens, without executing code.
    """
    model = build(config["model"], shape=tuple(shape), context=context)
    described = None if context is None else context.to_dict()
    plain = {"format": FORMAT, **config, "shape": list(shape), "context": described}
    model.save_hyperparameters(plain)
    return model


def check_targets(config: Mapping, origin: Path, trust: tuple[str, ...] = ()) -> None:
    """Raise UserError where a file's configuration of model or data names what may not be built.

    See `is_allowed_target`.
    """
    if any("${" in text for text in _texts([config["model"], config["data"]])):  # would be looked up, code and all
        raise UserError(f"{origin} holds an interpolation, which no finished run's configuration does: not opened.")
    for target in _targets([config["model"], config["data"]]):
        if not (is_allowed_target(target) or target.startswith(trust)):
            raise UserError(
                f"{origin} names the target {target!r}, which is no class of this package and no optimizer or "
                f"schedule of torch. If you trust it, open the run with trust=({target.partition('.')[0] + '.'!r},)."
            )


def is_allowed_target(target: str) -> bool:
    """Whether a target is a class defined where its name says, in one of the ALLOWED packages.

    A prefix is not enough: through the names a module imports, `autoencoders.runs.loading.Path.write_text` is a file
    writer. Functions are refused, and so is whatever is reached through another module's namespace.
    """
    if not target.startswith(ALLOWED_PREFIXES):
        return False
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return False
    if not isinstance(found, type):
        return False
    if target.startswith("torch."):
        from torch.optim import Optimizer
        from torch.optim.lr_scheduler import LRScheduler

        return issubclass(found, (Optimizer, LRScheduler))
    return found.__module__ == module


def _texts(node: Any) -> Iterator[str]:
    """Every text in nested plain containers, names included."""
    if isinstance(node, str):
        yield node
    for child in (
        (*node.keys(), *node.values()) if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    ):
        yield from _texts(child)


def _targets(node: Any) -> Iterator[str]:
    """Every `_target_` in nested plain containers."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _targets(child)
