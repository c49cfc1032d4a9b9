"""Reading and atomic writing of JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoencoders.utils.atomic import atomic_write


def read_json(path: Path) -> dict[str, Any]:
    """Return the contents of a JSON file; an empty dictionary if the file is missing."""
    return json.loads(path.read_text()) if path.is_file() else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n")
