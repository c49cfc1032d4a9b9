"""A report as one HTML file that needs nothing else: style, script and pictures are inside, and all words escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.reports.content import Report
from autoencoders.reports.images import Picture
from autoencoders.reports.tables import AHEAD

if TYPE_CHECKING:
    from markupsafe import Markup

HERE = Path(__file__).resolve().parent


def render_html(report: Report, live: str | None = None) -> str:
    """The file's text.

    Escaping is the template engine's, for everything; a content security policy besides forbids the page to load
    anything or to run any script but its own.

    Args:
        report: what it says.
        live: the version of a page that is served while runs go on, which asks its server for what is new and for
            its pictures; None for a file, which has everything inside.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"address": data_uri if live is None else address, "anchor": anchor}
    names = ["page.css", "page.js"] if live is None else ["page.css", "live.css", "live.js", "page.js"]
    style, script = (Markup("").join(map(_own, [n for n in names if n.endswith(end)])) for end in (".css", ".js"))
    sources = "img-src data:" if live is None else "img-src 'self' data:; connect-src 'self'"
    policy = f"default-src 'none'; {sources}; style-src {_digest(style)}; script-src {_digest(script)}"
    return environment.get_template("page.html.j2").render(
        report=report, ahead=AHEAD, style=style, script=script, policy=policy, live=live
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


def address(picture: Picture) -> str:
    """Where a live page's server has a picture: under the digest of its bytes, so that it never changes."""
    return f"picture/{hashlib.sha256(picture.content).hexdigest()}"


def anchor(words: str) -> str:
    """Words as the name of a place in the page."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "part"
