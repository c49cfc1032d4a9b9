"""Render the explorer page as one self-contained HTML file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencoders.explorer import encoding
from autoencoders.explorer.content import ExplorerRun
from autoencoders.explorer.runtime import VERSION, read_runtime
from autoencoders.types import UserError
from autoencoders.utils.content_security import hash_source

if TYPE_CHECKING:
    from markupsafe import Markup

ASSETS = Path(__file__).resolve().parent / "assets"
"""Folder with the HTML template, the style sheet and the scripts."""

SCRIPTS = ("network.js", "latent.js", "map.js", "controls.js", "explorer.js")
"""Scripts of the page, in the order in which they are executed."""

BASE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'"


def render_page(runs: Sequence[ExplorerRun], title: str, live: bool = False) -> str:
    """Return the HTML text of the page.

    The template engine escapes all texts. In addition, a content security policy forbids the page to load anything from
    a network, and to run scripts that are not part of the page. The page may read `blob:` URLs, which name data in its
    own memory, because ONNX Runtime reads its WebAssembly module from such a URL.

    Args:
        runs: runs of the page.
        title: heading of the page.
        live: whether the page requests newer networks from the server from which it was loaded.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    runtime = read_runtime()
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _read_asset("explorer.css"), Markup("").join(map(_read_asset, SCRIPTS))
    connections = "blob: 'self'" if live else "blob:"
    policy = (
        f"{BASE_POLICY}; img-src data:; connect-src {connections}; style-src {hash_source(style)}; "
        f"script-src {hash_source(runtime.script)} {hash_source(script)} 'wasm-unsafe-eval'"
    )
    return environment.get_template("page.html.j2").render(
        title=title,
        style=style,
        script=script,
        runtime=Markup(runtime.script),
        runtime_version=VERSION,
        license=runtime.license,
        binary=encoding.to_base64(runtime.binary),
        content=Markup(encode_json([run.content for run in runs])),
        policy=policy,
        live=live,
    )


def encode_json(value: Any) -> str:
    """Return a value as JSON that cannot end the script element that contains it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def fit_page(runs: Sequence[ExplorerRun], title: str, megabytes: float) -> str:
    """Return the HTML text of the page. Encoders are left out, from the last run on, while the page is too large.

    Args:
        runs: runs of the page. The encoders that are left out are removed from them.
        title: heading of the page.
        megabytes: maximum size of the page, in MB (10^6 bytes).

    Raises:
        UserError: if the page without encoders is larger.
    """
    page = render_page(runs, title)
    for run in reversed(runs):
        if len(page) <= megabytes * 1e6:
            break
        run.remove_encoder()
        page = render_page(runs, title)
    if len(page) > megabytes * 1e6:
        raise UserError(
            f"megabytes must be at least {len(page) / 1e6:.1f} for this page without encoders, got {megabytes:g}. Set "
            "more megabytes, fewer images, or fewer runs."
        )
    return page


def _read_asset(name: str) -> Markup:
    """Return the text of a style sheet or script of the page as markup that is not escaped."""
    from markupsafe import Markup

    return Markup((ASSETS / name).read_text(encoding="utf-8"))
