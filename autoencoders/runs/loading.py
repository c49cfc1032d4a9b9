"""Load a trained run from its folder, from a checkpoint or from an export, without executing code from the files.

<run>/config.yaml     the resolved configuration          <run>/figures/<key>/<step>.png
<run>/run.json        versions, commit, data, speed       <run>/metrics.csv    every metric by step
<run>/metrics.json    the final metrics                   <run>/checkpoints/{best,last}.ckpt
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencoders.config.diff import flatten
from autoencoders.config.instantiate import FORMAT, build, build_model, check_targets
from autoencoders.types import Context, FormatError, UserError

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.runs.run import Run

BEST, LAST, PREVIOUS = (Path("checkpoints", f"{name}.ckpt") for name in ("best", "last", "previous"))
WEIGHTS, CONFIG = "weights.safetensors", "config.json"
"""Files of an exported model."""


RESUME_MAY_CHANGE = ("root", "cache", "memory", "eval_batch_size", "name")
"""Options of model and data that a resumed run may change, by the last component of their key."""


def check_resumable(checkpoint: Path, config: Mapping) -> None:
    """Raise UserError if model or data differ from those of the checkpoint. The message names the keys."""
    saved = load_checkpoint(checkpoint)["hyper_parameters"]
    differing = []
    for section in ("model", "data"):
        old, new = flatten(saved[section], section), flatten(config[section], section)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key) and key.rpartition(".")[2] not in RESUME_MAY_CHANGE:
                differing.append(f"{key} is {new.get(key)} instead of {old.get(key)}")
    if differing:
        raise UserError(
            f"The options must be those of {checkpoint}: {'; '.join(differing[:5])}. Resume with the run's own "
            "options (see its config.yaml)."
        )


def open_run(path: str | Path, trust: tuple[str, ...] = ()) -> Run:
    """Load a run from its folder or from a checkpoint, on the CPU.

    Args:
        path: a run folder or a `.ckpt` file.
        trust: further prefixes of targets that the configuration may name, such as your own package.

    Raises:
        UserError: if there is no run, or its configuration names a target that is not allowed.
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
    """Load the plain contents of a checkpoint, on the CPU, without executing code.

    Raises:
        UserError: if the file is not a checkpoint of this package.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        missing = {"model", "data", "shape", "context"} - set(state["hyper_parameters"])
    except Exception as error:  # any other file may raise anything
        message = f"{path} is not a checkpoint of this package ({type(error).__name__})."
        raise UserError(message) from error
    if missing:
        raise UserError(f"{path} is not a checkpoint of this package: it lacks {', '.join(sorted(missing))}.")
    check_format(state["hyper_parameters"].get("format"), path)
    return state


def check_format(version: object, path: Path) -> None:
    """Raise FormatError if a file was written in a format that this version cannot read."""
    if version != FORMAT:
        written = "an earlier version of autoencoders" if version is None else f"format {version}"
        raise FormatError(
            f"{path} must be of format {FORMAT}, got a file of {written}. Train the run again with this version."
        )


def find_checkpoint(path: str | Path) -> Path:
    """Return the best checkpoint of a run folder, else the last one. A file is returned unchanged."""
    path = Path(path)
    for candidate in (path, path / BEST, path / LAST):
        if candidate.is_file():
            return candidate
    raise UserError(f"{path} must be a checkpoint or a run folder, but it has neither {BEST} nor {LAST}.")


def newest_checkpoint(path: str | Path, needed: bool = True) -> Path | None:
    """Return the newest readable checkpoint of a run folder, to resume from. A file is returned unchanged.

    A damaged checkpoint is reported, and the previous one is used.

    Args:
        path: a run folder or a checkpoint.
        needed: whether to raise UserError if the folder has no checkpoint; otherwise None is returned.

    Raises:
        FormatError: if a checkpoint has the format of another version.
        UserError: if there is no checkpoint, or none can be read.
    """
    path = Path(path)
    files = [file for file in (path, *(path / name for name in (LAST, PREVIOUS, BEST))) if file.is_file()]
    damaged = []
    for file in files:
        try:
            load_checkpoint(file)
        except FormatError:  # the other checkpoints of the run have the same format
            raise
        except UserError as error:
            damaged.append(str(error))
        else:
            for message in damaged:
                print(f"autoencoders: {message} Resuming from the previous checkpoint {file}.", file=sys.stderr)
            return file
    if damaged:
        raise UserError(" ".join([*damaged, "There is no other checkpoint."]))
    if needed:
        raise UserError(f"{path} must be a checkpoint or a run folder, but it has neither {LAST} nor {BEST}.")
    return None


def load_export(folder: Path, trust: tuple[str, ...] = ()) -> Autoencoder:
    """Load a model written by `application=export`, in evaluation mode on the CPU.

    Raises:
        UserError: if the folder is not an export, or its configuration names a target that is not allowed.
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
    """Load a model in evaluation mode on the CPU, from a run folder, a checkpoint or an export.

    Args:
        path: a run folder, a `.ckpt` file, or a folder written by `application=export`.
        trust: further prefixes of targets that the configuration may name, such as your own package.

    Raises:
        UserError: if the path is none of these.
    """
    path = Path(path).expanduser()
    if (path / CONFIG).is_file() and (path / WEIGHTS).is_file():
        return load_export(path, trust)
    return open_run(path, trust).model
