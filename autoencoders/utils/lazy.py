"""Lazy names of a package: a name is imported on its first use, so that the import of the package stays fast."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def lazy_names(package: str, names: Mapping[str, str], modules: Iterable[str] = ()) -> Callable[[str], Any]:
    """Return a function `__getattr__` for a package, which imports a name when it is used (PEP 562).

    Args:
        package: name of the package.
        names: name in the package -> module that defines the name.
        modules: names of modules in the package that are imported when they are used.
    """

    def get(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(names[name]), name)

    return get


def sorted_names(present: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the names of a package for `dir`: those that are present, and those that are imported lazily."""
    return sorted({*present, *names})
