"""A run is a folder. This module builds what its configuration names, and opens it again.

<run>/config.yaml     the resolved configuration          <run>/figures/<key>/<step>.png
<run>/run.json        versions, commit, data, speed       <run>/metrics.csv    every metric by step
<run>/metrics.json    the final metrics, flat             <run>/checkpoints/{best,last}.ckpt
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencoders.config.diff import flatten
from autoencoders.config.instantiate import FORMAT, build, build_model, check_targets
from autoencoders.types import Context, UserError

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.runs.run import Run

BEST, LAST, PREVIOUS = (Path("checkpoints", f"{name}.ckpt") for name in ("best", "last", "previous"))
WEIGHTS, CONFIG = "weights.safetensors", "config.json"
"""Files of a model that `application=export` wrote."""


RESUME_MAY_CHANGE = ("root", "cache", "memory", "eval_batch_size", "name")


def check_resumable(checkpoint: Path, config: Mapping) -> None:
    """Raise UserError where model or data differ from those the checkpoint was trained with, naming the keys."""
    saved = load_checkpoint(checkpoint)["hyper_parameters"]
    differing = []
    for section in ("model", "data"):
        was, now = flatten(saved[section], section), flatten(config[section], section)
        for key in sorted(was.keys() | now.keys()):
            if was.get(key) != now.get(key) and key.rpartition(".")[2] not in RESUME_MAY_CHANGE:
                differing.append(f"{key} is {now.get(key)} and was {was.get(key)}")
    if differing:
        raise UserError(
            f"This command and {checkpoint} differ: {'; '.join(differing[:5])}. Resume with the run's own options "
            "(they are in its config.yaml)."
        )


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
    del hyperparameters["format"]
    shape, context = tuple(hyperparameters.pop("shape")), Context.from_dict(hyperparameters.pop("context"))
    check_targets(hyperparameters, checkpoint, trust)
    model = build_model(hyperparameters, shape, context)
    model.load_state_dict(state["state_dict"])
    data = build(hyperparameters["data"])
    return Run(path, hyperparameters, model.eval(), data, checkpoint, int(state.get("global_step", 0)))


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
    check_format(state["hyper_parameters"].get("format"), path)
    return state


def check_format(found: object, path: Path) -> None:
    """Raise UserError where a run's file was written by a version of this package that this one cannot read."""
    if found != FORMAT:
        written = "an earlier version of autoencoders" if found is None else f"format {found}"
        raise UserError(
            f"{path} must be of format {FORMAT}, got a file of {written}. Train the run again with this version."
        )


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


def load_export(folder: Path, trust: tuple[str, ...] = ()) -> Autoencoder:
    """The model that `export` wrote, in evaluation mode on the CPU.

    Raises:
        UserError: where the folder is no export, or its configuration names something that is not allowed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(folder) / CONFIG
    try:
        plain = json.loads(file.read_text())
        check_format(plain.get("format"), file)
        config, context = plain["config"], Context.from_dict(plain["context"])
        check_targets(config, file, trust)
        shape = tuple(plain["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} does not describe an exported model ({type(error).__name__}). Export again."
        ) from error
    model = build_model(config, shape, context)
    try:
        model.load_state_dict(load_file(Path(folder) / WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f"{Path(folder) / WEIGHTS} does not hold the weights of {file}. Export again.") from error
    return model.eval()


def load(path: str | Path, trust: tuple[str, ...] = ()) -> Autoencoder:
    """A model in evaluation mode on the CPU, from a run's folder, a checkpoint or an export.

    Args:
        path: a run's folder, a `.ckpt` file, or a folder that `application=export` wrote.
        trust: further prefixes of targets that the configuration may name, such as your own package.

    Raises:
        UserError: where there is none of these.
    """
    path = Path(path).expanduser()
    if (path / CONFIG).is_file() and (path / WEIGHTS).is_file():
        return load_export(path, trust)
    return open_run(path, trust).model
