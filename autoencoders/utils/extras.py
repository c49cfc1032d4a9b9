"""Import of optional packages, with an error message that contains the install command."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from types import ModuleType

from autoencoders.types import UserError


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import a module of a package that belongs to an optional dependency group of this project.

    Args:
        module: dotted name of the module, such as `onnx`.
        extra: name of the group in pyproject.toml, such as `export`.
        purpose: the option that needs the module, such as `application=export`. The error message starts with it.

    Raises:
        UserError: if the package of the module, or a package that the module imports, is not installed. The message
            contains the install command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise UserError(
            f"{purpose} needs the package {package}. Install the package with pip install -e '.[{extra}]' in a "
            f"checkout of the repository, or with pip install 'lightning-autoencoders[{extra}]'."
        ) from error


def find_missing(modules: Iterable[str]) -> list[str]:
    """Return those of the given top-level modules that are not installed. Nothing is imported."""
    return [module for module in modules if importlib.util.find_spec(module) is None]
