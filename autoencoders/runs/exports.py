"""Load a model from the folder that `application=export` writes, without executing code from the files.

An export contains these files:

config.yaml            format, shape, labels, data identity, and the options of the model and the data
weights.safetensors    parameters and buffers of the model
metrics.json           final metrics
README.md              model card
*.onnx                 networks for other programs, if they were exported
explorer.html          page that shows the model in a browser, if it was exported; loading does not read it
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from autoencoders.config.instantiate import build, build_model, check_targets
from autoencoders.runs.loading import check_format, replace_options
from autoencoders.types import Context, UserError

if TYPE_CHECKING:
    from torch import Tensor

    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.runs.run import Run

CONFIG, WEIGHTS, CARD, METRICS = "config.yaml", "weights.safetensors", "README.md", "metrics.json"
"""Names of the files that every export contains."""
EXPLORER = "explorer.html"
"""Name of the page that shows the model in a browser, which contains images. Not every export has this page."""
FILES = (CONFIG, WEIGHTS, CARD, METRICS, EXPLORER, "*.onnx")
"""Patterns of the files of an export. Only these files are sent to a hub or fetched from it."""


def is_export(folder: Path) -> bool:
    """Return whether a folder contains an export."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def open_export(
    folder: Path,
    trust: tuple[str, ...] = (),
    data_options: Mapping[str, Any] | None = None,
    changed_data: str = "refuse",
) -> Run:
    """Load a run from an export. The data are read when they are used for the first time.

    Args:
        folder: folder that `application=export` has written.
        trust: prefixes of additional classes that the saved configuration may contain.
        data_options: options of the data that replace those of the export.
        changed_data: what happens if the data differ from those of the training: `refuse` or `accept`.

    Raises:
        UserError: as `load_export`.
    """
    from autoencoders.runs.run import Run

    folder = Path(folder)
    plain = read_config(folder / CONFIG, trust)
    model, config = load_export(folder, trust), dict(plain["config"])
    data, config["data"] = build_data(folder, config["data"], data_options or {})
    step, identity = int(plain.get("step", 0)), plain.get("identity")
    return Run(folder, config, model, data, step=step, identity=identity, changed_data=changed_data)


def build_data(
    folder: Path, node: Mapping[str, Any] | None, options: Mapping[str, Any]
) -> tuple[ImageDataModule, dict[str, Any] | None]:
    """Build the data module of an export. An export of a model of private files names no class, and has no data.

    Args:
        folder: folder of the export, for the message.
        node: section `data` of the configuration.
        options: options that replace those in the section.

    Returns:
        The data module, and its options.

    Raises:
        UserError: if the data have no such option.
    """
    from autoencoders.data.missing import MissingData

    if node is None or "_target_" not in node:
        name = str((node or {}).get("name", ""))
        reason = (
            f"{folder} contains no data, because the model was trained on files that are not part of it. Load the run "
            "folder instead, or apply the model, run.model, to images of your own."
        )
        return MissingData(name, reason), dict(node or {"name": name})
    replaced = replace_options(node, options)
    return build(replaced or {}), replaced


def read_config(file: Path, trust: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the content of the file `config.yaml` of an export, after a check of its format and its classes.

    Raises:
        UserError: if the file is not a valid description of an export, or names a class that is not allowed.
    """
    try:
        plain = yaml.safe_load(file.read_text(encoding="utf-8"))
        check_format(plain.get("format"), file)
        check_targets(plain["config"], file, trust)
        Context.from_dict(plain["context"])
        _, _, _ = plain["shape"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(
            f"{file} is not a valid description of an exported model (reading it raises {type(error).__name__}). "
            "Export the model again with application=export."
        ) from error
    return plain


def load_export(folder: Path, trust: tuple[str, ...] = ()) -> Autoencoder:
    """Load a model from a folder that `application=export` has written. It is in evaluation mode on the CPU.

    Weights that are stored as float16 are converted to float32.

    Args:
        folder: folder with the files `config.yaml` and `weights.safetensors`.
        trust: prefixes of additional classes that the saved configuration may contain, such as `("my_package.",)`.

    Raises:
        UserError: if the folder contains no valid export, or the saved configuration contains a class that is not
            allowed.
    """
    folder = Path(folder)
    plain = read_config(folder / CONFIG, trust)
    model = build_model(plain["config"], tuple(plain["shape"]), Context.from_dict(plain["context"]))
    try:
        model.load_state_dict(read_weights(folder))
    except RuntimeError as error:
        raise wrong_weights(folder) from error
    return model.eval()


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return name -> parameter or buffer of the model in an export. The types are those of the file.

    Raises:
        UserError: if the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise wrong_weights(folder) from error


def wrong_weights(folder: Path) -> UserError:
    """Return the error of an export whose weights cannot be read, or do not fit the model."""
    return UserError(
        f"{folder / WEIGHTS} does not contain the weights of the model in {folder / CONFIG}. Export the model again "
        "with application=export."
    )
