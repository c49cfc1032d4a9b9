"""A report as one HTML file that needs nothing else: style, script and pictures are inside, and all words escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.reports.page import Report
from autoencoders.reports.pictures import Picture
from autoencoders.reports.tables import AHEAD

if TYPE_CHECKING:
    from markupsafe import Markup

HERE = Path(__file__).resolve().parent


def html(report: Report) -> str:
    """The file's text.

    Escaping is the template engine's, for everything; a content security policy besides forbids the page to load
    anything or to run any script but its own.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"data_uri": data_uri, "anchor": anchor}
    style, script = (_own(name) for name in ("page.css", "page.js"))
    policy = f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}"
    return environment.get_template("page.html.j2").render(
        report=report, ahead=AHEAD, style=style, script=script, policy=policy
    )


def _own(name: str) -> Markup:
    """A file of this package, which is not escaped."""
    from markupsafe import Markup

    return Markup((HERE / name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data_uri(picture: Picture) -> str:
    """A picture's bytes, as they are, inside an address."""
    return f"data:{picture.media};base64,{base64.b64encode(picture.content).decode()}"


def anchor(words: str) -> str:
    """Words as the name of a place in the page."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "part"
