"""Render a report as one self-contained HTML file with style, script and figures. All text is escaped."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from autoencoders.reports.content import Report
from autoencoders.reports.images import Picture
from autoencoders.reports.tables import BETTER_BASELINE_MARK

if TYPE_CHECKING:
    from markupsafe import Markup

ASSETS = Path(__file__).resolve().parent


def render_html(report: Report, live_version: str | None = None) -> str:
    """Return the text of the HTML file.

    The template engine escapes all values. A content security policy also forbids the page to load anything from
    elsewhere and to run any other script.

    Args:
        report: content of the page.
        live_version: version of a page that is served while runs are training. The page requests updates and figures
            from its server. None for a file.
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
    script = Markup("").join(map(_read_asset, ["live.js", "page.js"] if is_live else ["page.js"]))
    sources = "img-src 'self' data:; connect-src 'self'" if is_live else "img-src data:"
    policy = f"default-src 'none'; {sources}; style-src {_csp_hash(style)}; script-src {_csp_hash(script)}"
    return environment.get_template("page.html.j2").render(
        report=report,
        better_mark=BETTER_BASELINE_MARK,
        style=style,
        script=script,
        policy=policy,
        live_version=live_version,
    )


def _read_asset(name: str) -> Markup:
    """Read a file of this package. It is trusted and not escaped."""
    from markupsafe import Markup

    return Markup((ASSETS / name).read_text(encoding="utf-8"))


def _csp_hash(text: str) -> str:
    """Return the hash of a style or script for the content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data_uri(picture: Picture) -> str:
    """Return a data URI with the bytes of a figure."""
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.content).decode()}"


def picture_url(picture: Picture) -> str:
    """Return the URL of a figure on the live server. It contains the digest of the bytes, so the content is fixed."""
    return f"picture/{hashlib.sha256(picture.content).hexdigest()}"


def slugify(text: str) -> str:
    """Convert a text to an id for links: lower-case letters and digits, separated by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
