"""Imports of optional packages."""

from __future__ import annotations

import importlib
from types import ModuleType

from autoencoders.types import UserError


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a package of an optional dependency group.

    Args:
        module: dotted name of the module, such as `onnx`.
        extra: name of the group in pyproject.toml, such as `export`.
        purpose: the option that needs the package, such as `application=export`.

    Raises:
        UserError: if the package, or a package that it imports, is not installed. The message contains the command
            that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise UserError(
            f"{purpose} needs {package}. Install it with pip install -e '.[{extra}]' in a checkout, or "
            f"pip install 'lightning-autoencoders[{extra}]'."
        ) from error
