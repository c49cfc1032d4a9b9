"""File names as text. A file name on disk is a sequence of bytes, which need not be valid UTF-8.

Python decodes a file name with the encoding of the locale, and replaces each byte that it cannot decode by a surrogate
character. Such a text opens the file, but it cannot be written to a file or a terminal.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from typing import Any


def printable_name(name: str) -> str:
    r"""Return a file name as text that can be written in UTF-8. A byte that is not valid UTF-8 becomes `\xNN`.

    The result does not depend on the locale. Text without undecodable bytes is returned unchanged.
    """
    return name if name.isascii() else _name_bytes(name).decode("utf-8", "backslashreplace")


def printable_values(values: Any) -> Any:
    """Return nested dicts and lists with every text in the form of `printable_name`. Other values are unchanged."""
    if isinstance(values, str):
        return printable_name(values)
    if isinstance(values, Mapping):
        return {printable_values(key): printable_values(value) for key, value in values.items()}
    return [printable_values(value) for value in values] if isinstance(values, (list, tuple)) else values


def comparable_name(name: str) -> str:
    """Return the form of a file name that is compared with the names in a text file, and that determines its split.

    Names that are not valid UTF-8 are decoded as Latin-1. Characters are composed (Unicode NFC), because some systems
    store `é` as two characters.
    """
    if name.isascii():
        return name
    content = _name_bytes(name)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return unicodedata.normalize("NFC", text)


def native_name(name: str) -> str:
    """Return the file name in the form that opens the file in the locale of this process.

    A path that was saved by a process with another locale may have another form.
    """
    return os.fsdecode(_name_bytes(name))


def _name_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
