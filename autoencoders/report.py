"""Usage: python -m autoencoders.report runs=<folders or patterns> [key=value ...].

Combine runs and sweeps into one self-contained page. The page shows the command of each run, the settings that differ
between the runs, tables of metrics with baselines and with the best values marked, the figures of the runs next to each
other, a plot of distortion against rate, and the metadata of each run.

Examples:
  python -m autoencoders.report runs='runs/*'
  python -m autoencoders.report 'runs=[runs/my-ae,runs/my-vae]' title='AE or VAE?' out=ae-or-vae.html
  python -m autoencoders.report runs=runs/my-sweep 'figures=[reconstructions,samples]' 'metrics=[test/rate,test/mse]'
  python -m autoencoders.report runs=runs/my-sweep format=md out=my-study/README.md copy=true
  python -m autoencoders.report runs=runs/my-sweep format=latex 'sections=[results]'    write the tables to report.tex
  python -m autoencoders.report runs=runs/my-run explorer=true          with a page in which the decoder runs
  python -m autoencoders.report runs=runs/my-run live=true              follow the training in a browser

If `runs` contains the folder of a sweep, the report includes all jobs of the sweep. The texts of question='...' and
verdict='...' are shown at the top of the page. conf/report.yaml describes all options.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the slow imports, so that a signal during them ends the command with one sentence
    from autoencoders.utils.startup import prepare_process

    prepare_process()

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from autoencoders.config.arguments import merge_list_option, quote_option
from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF
from autoencoders.types import UserError
from autoencoders.utils import launchers
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.startup import run_command
from autoencoders.utils.streams import check_output

if TYPE_CHECKING:
    from autoencoders.reports.content import Report, ReportOptions
    from autoencoders.reports.run_folder import RunFolder

TEXT_OPTIONS = ("title", "question", "verdict", "out")
"""Options whose values are plain text. Special characters in these values have no meaning for Hydra."""

LIST_OPTIONS: dict[str, type | tuple[type, ...]] = {
    "runs": (str, list),
    "figures": list,
    "sections": list,
    "metrics": (list, dict),
}
"""Option -> accepted types, for the options that accept a list."""

EXPLORER_MEGABYTES = 50
"""Maximum size of the explorer page, in MB."""

FORMATS = {"html": ".html", "md": ".md", "latex": ".tex"}
"""Value of the option `format` -> suffix of the report file."""


def main() -> None:
    """Parse the command line, then write or serve the report, or print the help text."""
    with run_command():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(str(__doc__).strip())
            check_output()
            return
        sys.argv[1:] = [quote_option(override, TEXT_OPTIONS) for override in merge_list_option(sys.argv[1:], "runs")]
        run_entry_point(job, "report")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="report")
def job(config: DictConfig) -> None:
    """Write the report to a file, or serve a live report if `live=true`."""
    with translate_job_errors():
        launchers.ignore_leftovers()
        options, defaults = resolve_config(config), resolve_config(hydra.compose("train", ["folder=''"]))
        if options["live"]:
            serve_report(options, defaults)
        else:
            write_report(options, defaults)


def write_report(config: dict[str, Any], defaults: dict[str, Any] | None = None) -> Path:
    """Write a report to a file, print the path of the file, and return the path.

    If some of several runs cannot be read, the report with the other runs is written before the error is raised.

    Args:
        config: resolved config with the options of `conf/report.yaml`.
        defaults: default config of `autoencoders.train`. A report on a single run lists the differences from it.

    Raises:
        UserError: if a run cannot be read, an option is invalid, or the report cannot be written.
    """
    from autoencoders.reports.content import build_report
    from autoencoders.reports.discovery import find_runs

    validate_options(config)
    out = output_path(config["out"], config["format"])
    if config["explorer"] and out.suffix in (".md", ".tex"):
        raise UserError(
            "explorer must be false for a report that is not an HTML file, got true. Remove explorer=true, or choose "
            "format=html."
        )
    runs = find_runs(run_patterns(config))
    report = build_report(runs, report_options(config, defaults))
    pages, notes = build_explorer(runs, out, report.title) if config["explorer"] else ({}, [])
    report.explorer = next((path.name for path in pages), "")
    files = render_files(report, out, config["copy"]) | pages
    try:
        for path, content in files.items():
            with atomic_write(path) as partial:
                partial.write_bytes(content)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"The report cannot be written to {out}: {reason}. Choose another out=<file>.") from error
    figures = sum(len(group.pictures) for section in report.sections for group in section.groups)
    counts = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {figures} figures"
    print(f"report   {out} ({counts}, {report_size(files, pages) / 1e6:.1f} MB)")
    for path, content in pages.items():
        print(f"explorer {path} ({len(content) / 1e6:.1f} MB)")
    print_problems(runs)
    for note in notes:
        print(f"explorer {note}")
    if refused := [run.label for run in runs if run.refused]:
        raise UserError(
            f"{len(refused)} of {len(runs)} runs could not be read: {', '.join(refused)}. {out} contains the others."
        )
    return out


def render_files(report: Report, out: Path, copy: bool) -> dict[Path, bytes]:
    """Render a report as Markdown if the file name ends in `.md`, its tables as LaTeX for `.tex`, otherwise as HTML.

    Args:
        report: content of the report.
        out: path of the report file.
        copy: whether a Markdown report gets copies of the runs' figures. If False, it links to the run folders.

    Returns:
        Path -> bytes, for each file to write.
    """
    from autoencoders.reports.html import render_html
    from autoencoders.reports.latex import render_latex
    from autoencoders.reports.markdown import render_markdown

    files: dict[Path, bytes] = {}
    if out.suffix == ".md":
        text, files = render_markdown(report, out.parent, out.parent / f"{out.stem}_figures", copy)
    elif out.suffix == ".tex":
        text = render_latex(report)
    else:
        text = render_html(report)
    return {**files, out: text.encode("utf-8", "replace")}


def report_size(files: Mapping[Path, bytes], pages: Mapping[Path, bytes]) -> int:
    """Return the number of bytes of the files of a report, without the explorer page."""
    return sum(len(content) for path, content in files.items() if path not in pages)


def build_explorer(runs: Sequence[RunFolder], out: Path, title: str) -> tuple[dict[Path, bytes], list[str]]:
    """Build the explorer page of the runs, next to the report. Runs that cannot be loaded are left out.

    Args:
        runs: runs of the report.
        out: path of the report file. The name of the page ends in `_explorer.html`.
        title: heading of the page.

    Returns:
        Path -> bytes of the page, empty if no run could be loaded, and one sentence per run that is left out.
    """
    from autoencoders.explorer.loading import LoadOptions, build_page

    options = LoadOptions(purpose="explorer=true")
    paths = {run.label: run.path for run in runs if not run.refused}
    page, notes = build_page(paths, options, title, EXPLORER_MEGABYTES)
    return {} if page is None else {out.with_name(f"{out.stem}_explorer.html"): page.encode("utf-8", "replace")}, notes


def print_problems(runs: Sequence[RunFolder]) -> None:
    """Print one line for each run whose folder is incomplete or was not read."""
    for run in runs:
        if run.problems:
            label = "not read" if run.refused else "problem "
            print(f"{label} {run.label}: {'; '.join(run.problems)}")


def serve_report(config: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
    """Serve a live report until Ctrl-C. The arguments are those of `write_report`.

    Raises:
        UserError: if no run is found, an option is invalid, or the port is in use.
    """
    from autoencoders.reports.server import serve

    validate_options(config)
    port = config["port"]
    if not isinstance(config["live"], bool):
        raise UserError(f"live must be true or false, got {config['live']!r}.")
    if type(port) is not int or not 0 <= port < 2**16:
        raise UserError(f"port must be an integer between 0 (any free port) and 65535, got {port!r}.")
    if config["out"] or config["format"]:
        raise UserError(
            "out and format must not be set with live=true, because a live report is not written to a file. Remove out "
            "and format, or remove live=true."
        )
    serve(run_patterns(config), report_options(config, defaults), port, config["explorer"])


def run_patterns(config: Mapping[str, Any]) -> list[str]:
    """Return the option `runs` as a list of paths and glob patterns."""
    return [config["runs"]] if isinstance(config["runs"], str) else config["runs"]


def report_options(config: Mapping[str, Any], defaults: dict[str, Any] | None) -> ReportOptions:
    """Return the options that determine the content of the report.

    Args:
        config: resolved config with the options of `conf/report.yaml`.
        defaults: default config of `autoencoders.train`; None if there is nothing to compare a single run with.
    """
    from autoencoders.reports.content import ReportOptions

    metrics = config["metrics"]
    if isinstance(metrics, list):
        metrics = {name: name for name in metrics}
    return ReportOptions(
        title=config["title"],
        question=config["question"],
        conclusion=config["verdict"],
        metrics=metrics,
        figures=config["figures"],
        sections=config["sections"],
        megabytes=config["megabytes"],
        defaults=defaults,
    )


def validate_options(config: Mapping[str, Any]) -> None:
    """Raise UserError if an option of `conf/report.yaml` has the wrong type or an invalid value."""
    for name, types in LIST_OPTIONS.items():
        is_missing = config[name] is None and name != "runs"
        if not is_missing and not isinstance(config[name], types):
            raise UserError(f"{name} must be a list, got {config[name]!r}. Write it as {name}=[a,b].")
    if not isinstance(config["copy"], bool):
        raise UserError(f"copy must be true or false, got {config['copy']!r}.")
    if not isinstance(config["explorer"], bool):
        raise UserError(f"explorer must be true or false, got {config['explorer']!r}.")
    if config["format"] not in (None, *FORMATS):
        raise UserError(f"format must be html, md or latex, got {config['format']}.")
    if not isinstance(config["megabytes"], (int, float)) or config["megabytes"] < 0:
        raise UserError(f"megabytes must be a number >= 0, got {config['megabytes']!r}.")


def output_path(out: str | None, format_name: str | None) -> Path:
    """Return the path of the report file. The default is `report.html`, or `report.md` or `report.tex` for a format.

    Args:
        out: a file, an existing folder, or None for the default.
        format_name: `html`, `md` or `latex`. None selects the format by the suffix of `out`, or HTML.

    Raises:
        UserError: if the suffix of `out` does not match the format.
    """
    by_suffix = {suffix: name for name, suffix in FORMATS.items()}
    suffix = FORMATS[format_name or by_suffix.get(Path(out or "").suffix, "html")]
    path = Path(out or f"report{suffix}").expanduser()
    if path.is_dir():
        path = path / f"report{suffix}"
    if format_name and path.suffix != suffix:
        raise UserError(f"out must end in {suffix} for format={format_name}, got {out}. Choose out=<name>{suffix}.")
    return path


if __name__ == "__main__":
    main()
