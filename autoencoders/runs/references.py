"""Load a run from a run folder, a checkpoint, an export, a repository on the hub, or a pretrained model."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencoders.runs import exports, hub_client, loading, pretrained

if TYPE_CHECKING:
    from autoencoders.models.base import ImageModel
    from autoencoders.runs.run import Run


def load(
    reference: str | Path,
    trust: tuple[str, ...] = (),
    data_options: Mapping[str, Any] | None = None,
    changed_data: str = "refuse",
) -> Run:
    """Load a trained run. No code from the files is executed.

    Args:
        reference: a run folder, a checkpoint file (`.ckpt`), a folder that `application=export` has written,
            `hub:user/name` (with an optional `@revision`), or `pretrained:name`.
        trust: prefixes of additional classes that the saved configuration may contain, such as `("my_package.",)`.
        data_options: options of the data that replace those of the training, such as `{"path": "/new/folder"}`.
        changed_data: `refuse` to raise UserError when the data are loaded and differ from the data of the training,
            `accept` to print a warning instead.

    Raises:
        UserError: if no run can be loaded, or the saved configuration contains a class that is not allowed.
    """
    path = find_export(reference)
    if path is None:
        return loading.open_run(Path(reference).expanduser(), trust, data_options, changed_data)
    run = exports.open_export(path, trust, data_options, changed_data)
    if is_named(reference):  # neither the cache of the client nor the package is a place for results
        run.source = str(reference)
        run.results = Path("runs", re.sub(r"[^\w.-]+", "-", str(reference)))
    return run


def load_weights(model: ImageModel, reference: str | Path) -> None:
    """Replace the weights of a new model by those of a trained model.

    Args:
        model: model whose parameters and buffers are replaced.
        reference: as for `load`. The best checkpoint of a run folder is used.

    Raises:
        UserError: if there are no such weights, or they have other names or shapes.
    """
    folder = find_export(reference)
    if folder is None:
        checkpoint = loading.find_checkpoint(reference)
        loading.replace_weights(model, loading.load_checkpoint(checkpoint)["state_dict"], checkpoint)
    else:
        loading.replace_weights(model, exports.read_weights(folder), reference)


def make_absolute(reference: str | Path) -> str:
    """Return a reference with an absolute path. Names of models are unchanged."""
    return str(reference) if is_named(reference) else os.path.abspath(Path(reference).expanduser())


def is_named(reference: str | Path) -> bool:
    """Return whether a reference is the name of a model, `hub:...` or `pretrained:...`, instead of a path."""
    return str(reference).startswith((hub_client.PREFIX, pretrained.PREFIX))


def find_export(reference: str | Path) -> Path | None:
    """Return the folder of the export that a reference names, fetched if needed; None for another run.

    Raises:
        UserError: if there is no such model, or it cannot be fetched.
    """
    text = str(reference)
    if text.startswith(pretrained.PREFIX):
        return pretrained.pretrained_folder(text.removeprefix(pretrained.PREFIX))
    if text.startswith(hub_client.PREFIX):
        return hub_client.pull_export(text)
    path = Path(reference).expanduser()
    return path if exports.is_export(path) else None


def check_reference(reference: str | Path) -> None:
    """Raise UserError if a reference names no run. Names of models on the hub are not checked, only their form."""
    text = str(reference)
    if text.startswith(hub_client.PREFIX):
        hub_client.parse_repository(text)
    elif find_export(reference) is None:
        loading.find_checkpoint(reference)
