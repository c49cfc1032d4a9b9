"""Functions on Markdown text: tables, escaped text, fenced blocks, and links that are valid in another folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from sitegen import DOCS, REPOSITORY

FENCE = re.compile(r"^(```.*?^```[^\S\n]*$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)(\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^()\s]+)\)")
SITE_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Files of the repository, outside of `docs/`, that are pages of the site."""


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table. The cells are Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def escape(text: str) -> str:
    """Return text without a meaning in Markdown. Parts in backticks remain code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_<>\[\]{}$])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def code(text: str) -> str:
    """Return text as code; empty for an empty text."""
    return f"`{text}`" if text else ""


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to the parts of a Markdown text that are not in fenced blocks."""
    return "".join(part if part.startswith("```") else change(part) for part in FENCE.split(text))


def relocate_links(text: str, source: Path, page: Path) -> str:
    """Change relative links, which are valid in the file `source`, so that they are valid on the site's page `page`.

    Args:
        text: Markdown text.
        source: file that contains the text.
        page: Markdown file of the page, in `docs/`.

    Raises:
        FileNotFoundError: if a link does not lead to an existing file.
    """

    def relocate(match: re.Match[str]) -> str:
        mark, label, target = match.groups()
        path, sign, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:") or not path:
            return match[0]
        file = (source.parent / path).resolve()
        if not file.exists():
            raise FileNotFoundError(f"{source.relative_to(REPOSITORY)} links to {target}, which does not exist.")
        destination, default_anchor = site_page(file)
        anchor = f"#{anchor}" if sign else default_anchor
        return f"{mark}{label}({os.path.relpath(destination, page.parent)}{anchor})"

    return outside_fences(text, lambda part: LINK.sub(relocate, part))


def site_page(file: Path) -> tuple[Path, str]:
    """Return the site's page for a file or folder of the repository, and an anchor on it such as `#conv` or nothing.

    A file that is not on the site is returned unchanged.
    """
    name = file.relative_to(REPOSITORY).as_posix()
    first, *rest = name.split("/")
    if name in SITE_PAGES:
        return DOCS / SITE_PAGES[name], ""
    if first == "conf":
        if len(rest) == 2 and file.suffix == ".yaml":
            return DOCS / "options" / f"{rest[0]}.md", f"#{rest[1].removesuffix('.yaml').replace('_', '-')}"
        group = rest[0] if rest and file.is_dir() else "index"
        return DOCS / "options" / f"{group}.md", ""
    if first == "experiments" and rest[-1:] == ["README.md"]:
        return DOCS / "experiments" / f"{rest[0] if len(rest) == 2 else 'index'}.md", ""
    return file, ""
