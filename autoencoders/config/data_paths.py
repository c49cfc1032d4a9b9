"""Absolute paths in the options of the data, so that a run can be opened from another folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

PATH_OPTIONS = ("root", "cache", "path", "labels")
"""Options of `data` whose values are paths. `labels` may also be a word."""


def make_paths_absolute(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `data` with absolute paths instead of paths relative to the current folder.

    `labels` is a path only if a file with this path exists. Addresses such as `hf://...` are unchanged.
    """
    absolute = dict(data)
    for name in PATH_OPTIONS:
        value = data.get(name)
        if not isinstance(value, str) or not value or "://" in value:
            continue
        path = os.path.abspath(os.path.expanduser(value))
        if name != "labels" or os.path.isfile(path):
            absolute[name] = path
    return absolute
