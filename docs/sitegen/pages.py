"""Pages of the site: hand-written pages with generated parts, and pages that are written before each build.

A hand-written page contains comments that are replaced:

    <!-- options: data/lfw -->            table of the options of conf/data/lfw.yaml and the files it extends
    <!-- measured: model=vae net=conv --> table of the kept runs of the experiments with this model and net
    <!-- claim: s1_faces, retrieval -->   cells of the claim of a study that starts with this text
    <!-- include: ../CONTRIBUTING.md -->  the file; `until <heading>` includes the lines before a heading
    <!-- pages: *.ipynb -->               table of contents of the files in the folder of the page, which may be none
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
from pathlib import Path

import autoencoders
from sitegen import DOCS, REPOSITORY
from sitegen.markdown import FENCE, outside_fences, relocate_links
from sitegen.numbers import claim_cells, measured_table
from sitegen.options import option_pages, option_table

COMMENT = re.compile(r"<!-- (options|measured|claim|include|pages): ?(.*?) ?-->")
API_PACKAGES = (
    "models", "nets", "objectives", "data", "runs", "applications", "metrics", "latent", "figures", "callbacks",
    "loggers", "config",
)  # fmt: skip
"""Packages with an API page."""
INTERNAL_PACKAGES = ("explorer", "reports", "training", "utils")


def render(text: str, page: Path) -> str:
    """Return the Markdown of a page of `docs/`: generated parts are inserted, and links lead to pages of the site."""

    def replace(match: re.Match[str]) -> str:
        kind, argument = match.groups()
        if kind == "include":
            return include(argument, page)
        if kind == "pages":
            return list_pages(sorted(path.stem for path in page.parent.glob(argument) if path != page))
        if kind == "options":
            return option_table(argument)
        if kind == "claim":
            study, start = argument.split(", ", 1)
            return relocate_links(claim_cells(study, start), DOCS / "choose.md", page)
        conditions = dict(word.split("=", 1) for word in argument.split())
        return relocate_links(measured_table(conditions), DOCS / "choose.md", page)

    return outside_fences(relocate_links(text, page, page), lambda part: COMMENT.sub(replace, part))


def include(argument: str, page: Path) -> str:
    """Return the content of a file, with links that are valid on a page.

    Args:
        argument: path relative to the page, and optionally `until <heading>`.
        page: page that includes the file.

    Raises:
        ValueError: if the file does not contain the heading.
    """
    name, _, end = argument.partition(" until ")
    source = (page.parent / name).resolve()
    text = source.read_text()
    if end and f"\n{end}\n" not in text:
        raise ValueError(f"{name} must contain the line '{end}'.")
    return relocate_links(text.partition(f"\n{end}\n")[0] if end else text, source, page).strip()


def list_pages(names: list[str], hidden: bool = False) -> str:
    """Return a table of contents of pages; empty without pages."""
    option = ":hidden:" if hidden else ":maxdepth: 1"
    return "\n".join(["```{toctree}", option, "", *names, "```"]) if names else ""


def experiment_pages() -> dict[str, str]:
    """Return a page per study, and their table: file name -> Markdown."""
    folder = REPOSITORY / "experiments"
    studies = sorted(file.parent.name for file in folder.glob("*/README.md"))
    pages = {f"{study}.md": f"<!-- include: ../../experiments/{study}/README.md -->\n" for study in studies}
    pages["index.md"] = f"<!-- include: ../../experiments/README.md -->\n\n{list_pages(studies, hidden=True)}\n"
    return pages


def api_pages() -> dict[str, str]:
    """Return a page per package with the documentation of its modules, and their table: file name -> Markdown."""
    pages = {f"{package}.md": api_page(package) for package in API_PACKAGES}
    parts = ["# API reference", automodule("autoencoders"), list_pages(list(API_PACKAGES)), "## types"]
    pages["index.md"] = "\n\n".join([*parts, automodule("autoencoders.types")]) + "\n"
    return pages


def remove_directives(text: str) -> str:
    """Return a page without the directives that document modules, for a build in seconds."""
    return FENCE.sub(lambda match: "" if match[0].startswith("```{eval-rst}") else match[0], text)


def api_page(package: str) -> str:
    """Return the page of a package: its docstring, and a section per public module."""
    module = importlib.import_module(f"autoencoders.{package}")
    names = sorted(info.name for info in pkgutil.walk_packages(module.__path__, f"{module.__name__}."))
    public = [name for name in names if not any(part.startswith("_") for part in name.split("."))]
    parts = [f"# {package}", automodule(module.__name__)]
    for name in public:
        parts += [f"## {name.removeprefix(f'autoencoders.{package}.')}", automodule(name)]
    return "\n\n".join(parts) + "\n"


def automodule(name: str) -> str:
    """Return the directive that documents a module."""
    return f"```{{eval-rst}}\n.. automodule:: {name}\n```"


def write_pages(folder: Path = DOCS, api: bool = True) -> list[Path]:
    """Write the generated pages to `options/`, `experiments/` and `api/` in a folder, and remove old ones.

    Files that have the same content are not changed, so that Sphinx reads only changed pages again.

    Args:
        folder: source folder of the site.
        api: whether the pages of the Python API have content; without it they have headings only.

    Returns:
        The pages.
    """
    written = []
    code = api_pages() if api else {name: remove_directives(text) for name, text in api_pages().items()}
    for name, pages in (("options", option_pages()), ("experiments", experiment_pages()), ("api", code)):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for path in set(target.iterdir()) - {target / page for page in pages}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for page, text in pages.items():
            path = target / page
            if not path.is_file() or path.read_text() != text:
                path.write_text(text)
            written.append(path)
    return written


def api_modules() -> list[str]:
    """Return the packages of `autoencoders`, to check that each is on an API page or internal."""
    return sorted(info.name for info in pkgutil.iter_modules(autoencoders.__path__) if info.ispkg)
