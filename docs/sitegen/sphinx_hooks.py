"""Connection of the generated pages with Sphinx: source text, equations as MathML, and `llms.txt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.addnodes import toctree
from sphinx.application import Sphinx

from sitegen.docstrings import docstring_to_rst
from sitegen.llms import Page, first_sentence, index_text
from sitegen.pages import render, write_pages

GENERATED = ("api/", "experiments/", "options/")
"""Start of the names of generated pages. Their subpages are in the section `Optional` of `llms.txt`."""


def write_generated(app: Sphinx, config: Any) -> None:
    """Write the generated pages before Sphinx searches for pages."""
    write_pages(Path(app.srcdir), api=config.sitegen_api)


def render_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Insert the generated parts of a Markdown page, and keep its text for `llms-full.txt`."""
    page = Path(app.env.doc2path(docname))
    if page.suffix == ".md":
        content[0] = render(content[0], page)
        app.sitegen_texts[docname] = content[0]  # type: ignore[attr-defined]


def convert_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Convert a docstring before Napoleon reads it."""
    lines[:] = docstring_to_rst(lines, what in ("attribute", "data", "property"))


def write_llms(app: Sphinx, exception: Exception | None) -> None:
    """Write `llms.txt`, `llms-full.txt`, and the Markdown of each page next to its HTML file."""
    if exception is not None or app.builder.format != "html":
        return
    texts: dict[str, str] = app.sitegen_texts  # type: ignore[attr-defined]
    out = Path(app.outdir)
    for docname, text in texts.items():
        (out / docname).parent.mkdir(parents=True, exist_ok=True)
        (out / f"{docname}.md").write_text(text)
    sections: dict[str, list[Page]] = {"Start": [describe_page(app, app.config.root_doc)]}
    optional: list[Page] = []
    for tree in app.env.get_doctree(app.config.root_doc).findall(toctree):
        pages = sections.setdefault(tree["caption"], [])
        for _, name in tree["entries"]:
            children = [describe_page(app, child) for child in app.env.toctree_includes.get(name, [])]
            pages.append(describe_page(app, name))
            (optional if name.startswith(GENERATED) else pages).extend(children)
    text = index_text(app.config.project, app.config.llms_summary, sections | {"Optional": optional})
    (out / "llms.txt").write_text(text)
    full = [text for docname, text in texts.items() if not docname.startswith(GENERATED)]
    (out / "llms-full.txt").write_text("\n\n".join(full))


def describe_page(app: Sphinx, docname: str) -> Page:
    """Return the title, the address and the first sentence of a page."""
    paragraphs = app.env.get_doctree(docname).findall(nodes.paragraph)
    text = next((node.astext() for node in paragraphs if node.astext().strip()), "")
    suffix = ".html" if docname.startswith("api/") else ".md"
    return Page(app.env.titles[docname].astext(), docname + suffix, first_sentence(text))


def visit_math(translator: Any, node: nodes.math) -> None:
    """Write an equation in a line as MathML."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def visit_math_block(translator: Any, node: nodes.math_block) -> None:
    """Write a displayed equation as MathML."""
    translator.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hooks."""
    app.sitegen_texts = {}  # type: ignore[attr-defined]
    app.add_config_value("llms_summary", "", "env")
    app.add_config_value("sitegen_api", True, "env", bool)
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.connect("config-inited", write_generated)
    app.connect("source-read", render_source)
    app.connect("autodoc-process-docstring", convert_docstring, priority=100)
    app.connect("build-finished", write_llms)
    return {"parallel_read_safe": False}
