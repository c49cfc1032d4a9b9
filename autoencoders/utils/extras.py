"""Imports of optional packages, which are installed by an extra of this distribution."""

from __future__ import annotations

import importlib
from types import ModuleType

from autoencoders.types import UserError

DISTRIBUTION = "lightning-autoencoders"
"""Name of this package on the package index. `autoencoders` is an unrelated project there."""


def import_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: dotted name of the module.
        extra: extra of this distribution that installs the package.
        purpose: feature or option that needs the package, for the message.

    Returns:
        The module.

    Raises:
        UserError: if the package is not installed.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise  # the package is installed, but one of its own dependencies is missing
        raise UserError(
            f"{purpose} needs {package}. Install it with: pip install -e '.[{extra}]' in a checkout, or "
            f"pip install '{DISTRIBUTION}[{extra}]'."
        ) from error
