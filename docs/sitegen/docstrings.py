"""Conversion of docstrings, which are plain text with code in backticks, to reStructuredText.

Napoleon reads the sections (`Args`, `Returns`, ...) afterwards.
"""

from __future__ import annotations

import re

CODE = re.compile(r"(`[^`]+`)(?=[^\s.,;:!?)\]}'\"/-])")
STARRED_ARGUMENT = re.compile(r"\s*\*{1,2}\w+( \(.*?\))?:")


def docstring_to_rst(lines: list[str], inline_attribute: bool = False) -> list[str]:
    """Return the lines of a docstring as reStructuredText.

    Characters with a meaning in reStructuredText are escaped. A block that is indented after an empty line becomes a
    literal block.

    Args:
        lines: lines of a docstring, without common indentation.
        inline_attribute: whether it is the docstring of an attribute. A line that shows nothing is added before it,
            because Napoleon would read the text before a colon in the first line as a type.
    """
    result: list[str] = ["\\ "] if inline_attribute else []
    literal, indent = -1, 0  # indentation of the current literal block, and of the last line of text
    for i, line in enumerate(lines):
        width = len(line) - len(line.lstrip())
        if line.strip() and literal >= 0 and width < literal:
            literal = -1
        if line.strip() and literal < 0 and i > 0 and not lines[i - 1].strip() and width > indent:
            literal = width
            result += [" " * indent + "::", ""]
        result.append(line if literal >= 0 or not line.strip() else _escape(line))
        indent = indent if literal >= 0 or not line.strip() else width
    return result


def _escape(line: str) -> str:
    parts = CODE.sub(r"\1\\ ", line).split("`")
    for i in range(0, len(parts), 2):
        start = STARRED_ARGUMENT.match(parts[i]) if i == 0 else None
        end = start.end() if start else 0
        text = re.sub(r"([|*])", r"\\\1", parts[i][end:])
        parts[i] = parts[i][:end] + re.sub(r"(\w)_(?!\w)", r"\1\\_", text)
    return "`".join(parts)
