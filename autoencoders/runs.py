"""A run is a folder. This module builds what its configuration names, and opens it again.

<run>/config.yaml     the resolved configuration          <run>/figures/<key>/<step>.png
<run>/run.json        versions, commit, data, speed       <run>/metrics.csv    every metric by step
<run>/metrics.json    the final metrics, flat             <run>/checkpoints/{best,last}.ckpt
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate

from autoencoders.types import Context, Shape, UserError

if TYPE_CHECKING:
    from autoencoders.data.base import ImageData
    from autoencoders.models.base import Autoencoder

BEST, LAST = Path("checkpoints", "best.ckpt"), Path("checkpoints", "last.ckpt")
ALLOWED = ("autoencoders.", "torch.optim.", "lightning.pytorch.")
"""What the configuration of a run that is opened may name as a `_target_`: nothing that could run other code."""


# Building what a configuration names ----------------------------------------------------------------------


def build(node: Mapping, **arguments: Any) -> Any:
    """The object a config node names; its own containers become plain dicts and lists.

    Arguments pass untouched (Hydra would turn dataclasses among them into config nodes).
    """
    return instantiate(node, _partial_=True, _convert_="all")(**arguments)


def build_model(config: Mapping, shape: Shape, context: Context | None) -> Autoencoder:
    """The configured model for images of this shape and context.

    Its hyperparameters, and so its checkpoints, hold the plain configuration, shape and context: a checkpoint
    alone opens, without executing code.
    """
    model = build(config["model"], shape=tuple(shape), context=context)
    plain = {**config, "shape": list(shape), "context": None if context is None else context.to_dict()}
    model.save_hyperparameters(plain)
    return model


# Opening --------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """A run opened again.

    Attributes:
        path: its folder, or the checkpoint it was opened from.
        config: the resolved configuration, plain containers.
        model: with the weights of the best checkpoint (the last where there is none), in evaluation mode.
        data: the datamodule, not prepared.
    """

    path: Path
    config: dict
    model: Autoencoder
    data: ImageData


def open_run(path: str | Path, trust: tuple[str, ...] = ()) -> Run:
    """A run from its folder or from a checkpoint alone, on the CPU.

    Args:
        path: a run's folder or a `.ckpt` file.
        trust: further prefixes of targets that the configuration may name, such as your own package.

    Raises:
        UserError: where there is no run, or its configuration names something that is not allowed.
    """
    import torch

    path = Path(path)
    checkpoint = find_checkpoint(path)
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        hyperparameters = dict(state["hyper_parameters"])
        shape = tuple(hyperparameters.pop("shape"))
        context = Context.from_dict(hyperparameters.pop("context"))
    except Exception as error:
        message = f"{checkpoint} is not a checkpoint of a run of this package ({type(error).__name__})."
        raise UserError(message) from error
    for target in _targets(hyperparameters):
        if not target.startswith((*ALLOWED, *trust)):
            raise UserError(
                f"{checkpoint} names the target {target!r}, which is neither ours nor a known class of torch or "
                f"Lightning. If you trust it, open the run with trust=({target.partition('.')[0] + '.'!r},)."
            )
    model = build_model(hyperparameters, shape, context)
    model.load_state_dict(state["state_dict"])
    return Run(path, hyperparameters, model.eval(), build(hyperparameters["data"]))


def find_checkpoint(path: str | Path, newest: bool = False) -> Path:
    """The best checkpoint of a run's folder, else its last (the other way round for `newest`); a file as it is."""
    path = Path(path)
    for candidate in (path, *(path / name for name in ((LAST, BEST) if newest else (BEST, LAST)))):
        if candidate.is_file():
            return candidate
    raise UserError(f"{path} is neither a checkpoint nor the folder of a run: it has no {BEST} and no {LAST}.")


def _targets(node: Any) -> Iterator[str]:
    """Every `_target_` in nested plain containers."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _targets(child)
