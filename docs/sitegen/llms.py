"""`llms.txt` (https://llmstxt.org): a list of the pages for language models, and the text of all pages in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page of the site.

    Attributes:
        title: title of the page.
        address: address relative to the root of the site.
        description: first sentence of the page.
    """

    title: str
    address: str
    description: str


def index_text(title: str, summary: str, sections: Mapping[str, list[Page]]) -> str:
    """Return the content of `llms.txt`.

    Args:
        title: name of the project.
        summary: summary of the project, in one paragraph.
        sections: heading -> pages.
    """
    parts = [f"# {title}", f"> {summary}"]
    for heading, pages in sections.items():
        links = [f"- [{page.title}]({page.address}): {page.description}".rstrip(": ") for page in pages]
        parts.append(f"## {heading}\n\n" + "\n".join(links))
    return "\n\n".join(parts) + "\n"


def first_sentence(text: str, limit: int = 200) -> str:
    """Return the first sentence of a text, in one line, with at most `limit` characters."""
    line = " ".join(text.split())
    sentence = line.partition(". ")[0].rstrip(".:")
    return sentence if len(sentence) <= limit else sentence[: limit - 3].rsplit(" ", 1)[0] + "..."
