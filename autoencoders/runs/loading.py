"""A run is a folder. This module builds what its configuration names, and opens it again.

<run>/config.yaml     the resolved configuration          <run>/figures/<key>/<step>.png
<run>/run.json        versions, commit, data, speed       <run>/metrics.csv    every metric by step
<run>/metrics.json    the final metrics, flat             <run>/checkpoints/{best,last}.ckpt
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from autoencoders.types import Context, Shape, UserError

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.runs.run import Run

BEST, LAST, PREVIOUS = (Path("checkpoints", f"{name}.ckpt") for name in ("best", "last", "previous"))
logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)  # it would announce the error that it raises
ALLOWED = (*(f"autoencoders.{part}." for part in ("data", "models", "nets", "objectives")), "torch.optim.")
"""Where the classes may live that the configuration of an opened run names; see `allowed`."""


# Building what a configuration names ----------------------------------------------------------------------


def build(node: Mapping, **arguments: Any) -> Any:
    """The object a config node names; its own containers become plain dicts and lists.

    Arguments pass untouched (Hydra would turn dataclasses among them into config nodes), and so does a UserError
    from a nested node (Hydra would bury it).
    """
    try:
        return instantiate(node, _partial_=True, _convert_="all")(**arguments)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def located(target: str) -> Any:
    """The function or class that a config node names."""
    return get_object(target)


def build_model(config: Mapping, shape: Shape, context: Context | None) -> Autoencoder:
    """The configured model for images of this shape and context.

    Its hyperparameters, and so its checkpoints, hold the plain configuration, shape and context: a checkpoint
    alone opens, without executing code.
    """
    model = build(config["model"], shape=tuple(shape), context=context)
    plain = {**config, "shape": list(shape), "context": None if context is None else context.to_dict()}
    model.save_hyperparameters(plain)
    return model


RESUME_MAY_CHANGE = ("root", "cache", "memory", "eval_batch_size", "name")


def check_resumable(checkpoint: Path, config: Mapping) -> None:
    """Raise UserError where model or data differ from those the checkpoint was trained with, naming the keys."""
    saved = load_checkpoint(checkpoint)["hyper_parameters"]
    differing = []
    for section in ("model", "data"):
        was, now = flattened(saved[section], section), flattened(config[section], section)
        for key in sorted(was.keys() | now.keys()):
            if was.get(key) != now.get(key) and key.rpartition(".")[2] not in RESUME_MAY_CHANGE:
                differing.append(f"{key} is {now.get(key)} and was {was.get(key)}")
    if differing:
        raise UserError(
            f"This command and {checkpoint} differ: {'; '.join(differing[:5])}. Resume with the run's own options "
            "(they are in its config.yaml)."
        )


def flattened(node: Any, prefix: str) -> dict[str, Any]:
    """Nested containers as one level of dotted keys."""
    if not isinstance(node, Mapping):
        return {prefix: node}
    return {key: value for name, child in node.items() for key, value in flattened(child, f"{prefix}.{name}").items()}


# Opening --------------------------------------------------------------------------------------------------


def open_run(path: str | Path, trust: tuple[str, ...] = ()) -> Run:
    """A run from its folder or from a checkpoint alone, on the CPU.

    Args:
        path: a run's folder or a `.ckpt` file.
        trust: further prefixes of targets that the configuration may name, such as your own package.

    Raises:
        UserError: where there is no run, or its configuration names something that is not allowed.
    """
    from autoencoders.runs.run import Run

    path = Path(path)
    checkpoint = find_checkpoint(path)
    state = load_checkpoint(checkpoint)
    hyperparameters = dict(state["hyper_parameters"])
    shape, context = tuple(hyperparameters.pop("shape")), Context.from_dict(hyperparameters.pop("context"))
    check_targets(hyperparameters, checkpoint, trust)
    model = build_model(hyperparameters, shape, context)
    model.load_state_dict(state["state_dict"])
    data = build(hyperparameters["data"])
    return Run(path, hyperparameters, model.eval(), data, checkpoint, int(state.get("global_step", 0)))


def check_targets(config: Mapping, origin: Path, trust: tuple[str, ...] = ()) -> None:
    """Raise UserError where a file's configuration of model or data names what may not be built; see `allowed`."""
    if any("${" in text for text in _texts([config["model"], config["data"]])):  # would be looked up, code and all
        raise UserError(f"{origin} holds an interpolation, which no finished run's configuration does: not opened.")
    for target in _targets([config["model"], config["data"]]):
        if not (allowed(target) or target.startswith(trust)):
            raise UserError(
                f"{origin} names the target {target!r}, which is no class of this package and no optimizer or "
                f"schedule of torch. If you trust it, open the run with trust=({target.partition('.')[0] + '.'!r},)."
            )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's plain contents, on the CPU, without executing code.

    Raises:
        UserError: where the file is no checkpoint of a run of this package.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"model", "data", "shape", "context"} - set(state["hyper_parameters"])
    except Exception as error:  # whatever a file that is something else makes of it
        message = f"{path} is not a checkpoint of a run of this package ({type(error).__name__})."
        raise UserError(message) from error
    if missing:
        raise UserError(f"{path} is a checkpoint of something else: it does not say its {', '.join(sorted(missing))}.")
    return state


def allowed(target: str) -> bool:
    """Whether a target is a class defined where its name says, in one of the ALLOWED packages.

    A prefix is not enough: through the names a module imports, `autoencoders.runs.loading.Path.write_text` is a file
    writer. Functions are refused, and so is whatever is reached through another module's namespace.
    """
    if not target.startswith(ALLOWED):
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


def find_checkpoint(path: str | Path) -> Path:
    """The best checkpoint of a run's folder, else its last; a file as it is."""
    path = Path(path)
    for candidate in (path, path / BEST, path / LAST):
        if candidate.is_file():
            return candidate
    raise UserError(f"{path} is neither a checkpoint nor the folder of a run: it has no {BEST} and no {LAST}.")


def newest_checkpoint(path: str | Path, needed: bool = True) -> Path | None:
    """The newest checkpoint of a run's folder that can be read, to resume from; a file as it is.

    One that is damaged is named on the terminal, and the one before it taken.

    Args:
        path: a run's folder or a checkpoint.
        needed: whether to refuse a folder that has none at all; None is returned where not.

    Raises:
        UserError: where there is none, or none that can be read.
    """
    path = Path(path)
    files = [file for file in (path, *(path / name for name in (LAST, PREVIOUS, BEST))) if file.is_file()]
    damaged = []
    for file in files:
        try:
            load_checkpoint(file)
        except UserError as error:
            damaged.append(str(error))
        else:
            for words in damaged:
                print(f"autoencoders: {words} Resuming from {file}, the one before it.", file=sys.stderr)
            return file
    if damaged:
        raise UserError(" ".join([*damaged, "There is no other checkpoint to resume from."]))
    if needed:
        raise UserError(f"{path} is neither a checkpoint nor the folder of a run: it has no {LAST} and no {BEST}.")
    return None


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
