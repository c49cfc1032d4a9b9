"""Load a trained run from a run folder or a checkpoint, without executing code from the files.

A run folder contains these files:

config.yaml                      resolved configuration
run.json                         metadata: package versions, git commit, data, training speed, status
metrics.json                     final metrics
metrics.csv                      all metrics as a function of the optimizer step
figures/<name>/<step>.png        figures
checkpoints/{best,last}.ckpt     checkpoint with the lowest `val/objective`, and last checkpoint
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencoders.config.diff import flatten
from autoencoders.config.instantiate import FORMAT, build, build_model, check_targets
from autoencoders.models.checkpoint_content import CONFIGURATION
from autoencoders.runs.data_check import DATA_IDENTITY, check_data
from autoencoders.types import Context, FormatError, UserError

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.base import ImageModel
    from autoencoders.runs.run import Run

BEST, LAST, PREVIOUS = (Path("checkpoints", f"{name}.ckpt") for name in ("best", "last", "previous"))
"""Paths of the checkpoints relative to the run folder."""

RESUME_MAY_CHANGE = ("root", "cache", "memory", "eval_batch_size", "name", "path", "labels")
"""Options of `model` and `data` that may change when a run is resumed. The strings are last components of keys.

`check_resumed_data` compares the images and labels themselves.
"""


def check_resumable(checkpoint: Path, config: Mapping) -> None:
    """Raise UserError if a run with this configuration cannot be resumed from the checkpoint.

    The options of `model` and `data` must be equal to those in the checkpoint, except for `RESUME_MAY_CHANGE`. The
    message lists the options that differ. `init_from` must be null, or that of the checkpoint.
    """
    saved = load_checkpoint(checkpoint)["hyper_parameters"]
    differing = []
    for section in ("model", "data"):
        old, new = flatten(saved[section] or {}, section), flatten(config[section], section)
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key) and key.rpartition(".")[2] not in RESUME_MAY_CHANGE:
                differing.append(f"{key} is {new.get(key)} instead of {old.get(key)}")
    if differing:
        raise UserError(
            f"A resumed run must have the same options as its checkpoint {checkpoint}, but "
            f"{'; '.join(differing[:5])}. Use the options in the config.yaml of the run."
        )
    if config["init_from"] and config["init_from"] != saved.get("init_from"):
        raise UserError(
            f"init_from must not be set for a resumed run, whose weights are those of {checkpoint}, got "
            f"{config['init_from']}. Remove init_from, or remove resume to start a new run."
        )


def replace_weights(model: ImageModel, saved: Mapping[str, Tensor], source: str | Path) -> None:
    """Replace the weights of a new model by those of a trained model.

    Args:
        model: model whose parameters and buffers are replaced.
        saved: name -> parameter or buffer of the trained model.
        source: where the weights come from, for the message.

    Raises:
        UserError: if the weights have other names or shapes.
    """
    own = model.state_dict()
    shapes, expected = ({k: tuple(v.shape) for k, v in state.items()} for state in (saved, own))
    differing = [
        f"{name} has {f'shape {shapes[name]}' if name in shapes else 'no weights'} instead of "
        f"{f'shape {expected[name]}' if name in expected else 'no weights'}"
        for name in sorted(shapes.keys() | expected.keys())
        if shapes.get(name) != expected.get(name)
    ]
    if differing:
        raise UserError(
            f"init_from must contain weights of the same model for images of the same shape, but in {source} "
            f"{'; '.join(differing[:3])}. Use the options of model, net and latent_dim in the config.yaml of that run."
        )
    model.load_state_dict(saved)
    model.initialized = True


def check_resumed_data(checkpoint: Path, data: ImageDataModule, changed_data: str) -> str | None:
    """Compare the data with the data of a run that is resumed; see `check_data`.

    Args:
        checkpoint: checkpoint from which the run is resumed.
        data: data module, after `setup`.
        changed_data: option `changed_data`: `refuse` or `accept`.

    Raises:
        UserError: if the data differ and this is not accepted, or if the images have another shape.
    """
    state = load_checkpoint(checkpoint)
    shape, context = tuple(state["hyper_parameters"]["shape"]), state["hyper_parameters"]["context"]
    if data.shape != shape:
        raise UserError(f"The images must have shape {shape} as in the checkpoint {checkpoint}, got {data.shape}.")
    return check_data(state.get(DATA_IDENTITY), Context.from_dict(context), data, changed_data)


def open_run(
    path: str | Path,
    trust: tuple[str, ...] = (),
    data_options: Mapping[str, Any] | None = None,
    changed_data: str = "refuse",
) -> Run:
    """Load a trained run from a run folder or a checkpoint. The model is in evaluation mode on the CPU.

    Args:
        path: a run folder or a checkpoint file (`.ckpt`).
        trust: prefixes of additional classes that the saved configuration may contain, such as `("my_package.",)`.
        data_options: options of the data that replace those of the training, such as `{"path": "/new/folder"}`.
        changed_data: `refuse` to raise UserError when the data are loaded and differ from the data of the training,
            `accept` to print a warning instead.

    Raises:
        UserError: if the path contains no readable checkpoint, the saved configuration contains a class that is not
            allowed, or the data have no such option.
    """
    from autoencoders.data.missing import MissingData
    from autoencoders.runs.run import Run, file_version

    path = Path(path)
    checkpoint = find_checkpoint(path)
    version = file_version(checkpoint)  # before it is read, because a running training may replace the file
    state = load_checkpoint(checkpoint)
    hyperparameters = dict(state["hyper_parameters"])
    del hyperparameters["format"]
    hyperparameters.pop("omitted", None)
    shape, context = tuple(hyperparameters.pop("shape")), Context.from_dict(hyperparameters.pop("context"))
    check_targets(hyperparameters, checkpoint, trust)
    model = build_model(hyperparameters, shape, context)
    model.load_state_dict(state["state_dict"])
    hyperparameters["data"] = replace_options(hyperparameters["data"], data_options or {})
    if hyperparameters["data"] is None:  # a user's own data module
        reason = f"{checkpoint} does not describe its data. Apply the model, run.model, to images of your own."
        data = MissingData(str(hyperparameters.get("name", "")), reason)
    else:
        data = build(hyperparameters["data"])
    step = int(state.get("global_step", 0))
    return Run(
        path,
        hyperparameters,
        model.eval(),
        data,
        checkpoint,
        step,
        state.get(DATA_IDENTITY),
        changed_data=changed_data,
        version=version,
    )


def replace_options(saved: Mapping[str, Any] | None, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the saved options of the data, with some of them replaced. Return None if no data are described.

    Raises:
        UserError: if the data have no option of this name.
    """
    if saved is None:
        return None
    for name in options:
        if name not in saved:
            raise UserError(
                f"data.{name} cannot be set, because data={saved.get('name')} has no such option. Remove data.{name}."
            )
    return {**saved, **options}


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state dictionary of a checkpoint with all tensors on the CPU. No code from the file is executed.

    Raises:
        FormatError: if the checkpoint has the format of another version.
        UserError: if the file is not a checkpoint of this package.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # A Trainer of the user saves the arguments of the model as hyperparameters, next to the configuration.
        state["hyper_parameters"] = state.get(CONFIGURATION, state.get("hyper_parameters"))
        missing = {"model", "data", "shape", "context"} - set(state["hyper_parameters"])
    except Exception as error:  # reading a file that is not a checkpoint can raise any type of exception
        message = f"{path} is not a checkpoint of this package (reading it raises {type(error).__name__})."
        raise UserError(message) from error
    if missing:
        raise UserError(
            f"{path} is not a checkpoint of this package, because these entries are missing: "
            f"{', '.join(sorted(missing))}."
        )
    check_format(state["hyper_parameters"].get("format"), path)
    if omitted := state["hyper_parameters"].get("omitted"):
        raise UserError(
            f"{path} does not describe its model completely, because these arguments were objects of other packages: "
            f"{', '.join(omitted)}. Load it with load_from_checkpoint of the model, and pass these arguments."
        )
    return state


def check_format(version: object, path: Path) -> None:
    """Raise FormatError if this version of the package cannot read the format of a file.

    Args:
        version: format number in the file, or None if the file contains none.
        path: path of the file, for the message.
    """
    if version != FORMAT:
        written = "a file from an earlier version of autoencoders" if version is None else f"format {version}"
        raise FormatError(
            f"{path} must have format {FORMAT}, got {written}. Train the run again with this version of autoencoders."
        )


def find_checkpoint(path: str | Path) -> Path:
    """Return the path of the best checkpoint in a run folder, or of the last checkpoint if there is no best one.

    If `path` is a file, it is returned unchanged.

    Raises:
        UserError: if `path` is neither a file nor a folder with a checkpoint.
    """
    path = Path(path)
    for candidate in (path, path / BEST, path / LAST):
        if candidate.is_file():
            return candidate
    if not path.exists():
        siblings = sorted(str(sibling) for sibling in path.parent.glob("*")) if path.parent.is_dir() else []
        raise UserError(
            f"{path} must be a checkpoint or a run folder, but it does not exist.{suggest_path(str(path), siblings)} "
            "Choose a checkpoint or the folder of a trained run."
        )
    raise UserError(
        f"{path} must be a checkpoint or a run folder, but it contains neither {BEST} nor {LAST}. Choose a checkpoint "
        "or the folder of a trained run."
    )


def suggest_path(path: str, known: list[str]) -> str:
    """Return ` Did you mean <path>?` for the most similar of the paths that exist, or an empty text."""
    matches = difflib.get_close_matches(path, known, 1, 0.8)
    return f" Did you mean {matches[0]}?" if matches else ""


def newest_checkpoint(path: str | Path, needed: bool = True) -> Path | None:
    """Return the path of the newest readable checkpoint in a run folder, from which the run can be resumed.

    If the newest checkpoint cannot be read, the error is printed and the next older checkpoint is tried.

    Args:
        path: a run folder, or a checkpoint file, which is returned unchanged if it can be read.
        needed: whether to raise UserError if the folder has no checkpoint. If False, None is returned in this case.

    Raises:
        FormatError: if a checkpoint has the format of another version.
        UserError: if checkpoints exist but none can be read, or if `needed` is True and there is no checkpoint.
    """
    path = Path(path)
    files = [file for file in (path, *(path / name for name in (LAST, PREVIOUS, BEST))) if file.is_file()]
    damaged = []
    for file in files:
        try:
            load_checkpoint(file)
        except FormatError:  # all checkpoints of a run have the same format
            raise
        except UserError as error:
            damaged.append(str(error))
        else:
            for message in damaged:
                print(f"autoencoders: {message} Resuming from the previous checkpoint {file}.", file=sys.stderr)
            return file
    if damaged:
        raise UserError(" ".join([*damaged, "There is no other checkpoint to resume from."]))
    if needed:
        raise UserError(
            f"{path} must be a checkpoint or a run folder, but it contains neither {LAST} nor {BEST}. Choose a "
            "checkpoint or the folder of a run that has saved a checkpoint."
        )
    return None
