"""Render a report as one self-contained HTML file that includes the style sheet, the script and the figures."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.reports.content import Report
from autoencoders.reports.images import MAX_INCHES, MIN_DPI, Picture
from autoencoders.reports.tables import BETTER_BASELINE_MARK
from autoencoders.utils.content_security import hash_source

if TYPE_CHECKING:
    from markupsafe import Markup

ASSETS = Path(__file__).resolve().parent
"""Folder with the HTML template, the style sheets and the scripts."""


def render_html(report: Report, live_version: str | None = None) -> str:
    """Return the HTML text of a report.

    The template engine escapes all values. In addition, a content security policy forbids the page to load content from
    other servers and to run scripts that are not part of the page.

    Args:
        report: content of the report.
        live_version: digest that identifies the current content of a live page. A live page requests updates and
            figures from its server. None for an HTML file, which includes the figures.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    is_live = live_version is not None
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"picture_url": picture_url if is_live else data_uri, "slug": slugify}
    style = Markup("").join(map(_read_asset, ["page.css", "live.css"] if is_live else ["page.css"]))
    style += Markup("").join(f".inches{n} {{ min-width: {n * MIN_DPI}px; }}\n" for n in range(1, MAX_INCHES))
    script = Markup("").join(map(_read_asset, ["live.js", "page.js"] if is_live else ["page.js"]))
    sources = "img-src 'self' data:; connect-src 'self'" if is_live else "img-src data:"
    policy = f"default-src 'none'; {sources}; style-src {hash_source(style)}; script-src {hash_source(script)}"
    return environment.get_template("page.html.j2").render(
        report=report,
        better_mark=BETTER_BASELINE_MARK,
        style=style,
        script=script,
        policy=policy,
        live_version=live_version,
    )


def _read_asset(name: str) -> Markup:
    """Return the text of a style sheet or script in this package as markup that is not escaped."""
    from markupsafe import Markup

    return Markup((ASSETS / name).read_text(encoding="utf-8"))


def data_uri(picture: Picture) -> str:
    """Return a data URI that contains the bytes of a figure file."""
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.content).decode()}"


def picture_url(picture: Picture) -> str:
    """Return the relative URL of a figure on the server of a live page.

    The URL contains the SHA-256 digest of the figure. Browsers can therefore cache the figure without expiry.
    """
    return f"picture/{hashlib.sha256(picture.content).hexdigest()}"


def slugify(text: str) -> str:
    """Convert a text to an id for links. The id contains only lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
