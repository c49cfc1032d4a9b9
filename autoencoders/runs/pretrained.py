"""Small pretrained models that the package contains. `pretrained/build.py` trains and exports them."""

from __future__ import annotations

from pathlib import Path

from autoencoders.config.suggestions import suggest_name
from autoencoders.runs.exports import is_export
from autoencoders.types import UserError

PREFIX = "pretrained:"
"""Prefix of a reference to a pretrained model, as in `pretrained:mnist-cvae`."""
FOLDER = Path(__file__).resolve().parents[1] / "pretrained"
"""Folder with one export per model."""


def list_pretrained() -> list[str]:
    """Return the names of the pretrained models, such as `mnist-cvae` for `autoencoders.load("pretrained:mnist-cvae")`.

    Each model has a card, which `pretrained_folder(name) / "README.md"` contains.
    """
    return sorted(folder.name for folder in FOLDER.glob("*") if is_export(folder))


def pretrained_folder(name: str) -> Path:
    """Return the folder with the export of a pretrained model.

    Raises:
        UserError: if there is no model of this name.
    """
    known = list_pretrained()
    if name not in known:
        hint = suggest_name(name, known, f"{PREFIX}{{}}")
        raise UserError(f"There is no pretrained model {name!r}.{hint} Models: {', '.join(known) or 'none'}.")
    return FOLDER / name
