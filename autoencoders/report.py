"""Usage: python -m autoencoders.report runs=<folders or patterns> [key=value ...].

Combine runs and sweeps into one self-contained page: the command of each run, the settings that differ, tables of
metrics with baselines and the best values marked, figures next to each other, rate against distortion, and metadata of
each run.

Examples:
  python -m autoencoders.report runs='runs/*'
  python -m autoencoders.report 'runs=[runs/my-ae,runs/my-vae]' title='AE or VAE?' out=ae-or-vae.html
  python -m autoencoders.report runs=runs/my-sweep 'figures=[reconstructions,samples]' 'metrics=[test/rate,test/mse]'
  python -m autoencoders.report runs=runs/my-sweep format=md out=my-study/README.md copy=true
  python -m autoencoders.report runs=runs/my-run live=true              follow the training in a browser

The folder of a sweep stands for its jobs. question='...' and verdict='...' are shown at the top of the page. All
options are described in conf/report.yaml.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF, merge_list_option, quote_option
from autoencoders.types import UserError

if TYPE_CHECKING:
    from autoencoders.reports.content import Report, ReportOptions
    from autoencoders.reports.run_folder import RunFolder

TEXT_OPTIONS = ("title", "question", "verdict", "out")
"""Options whose values are taken literally, including special characters."""

LIST_OPTIONS: dict[str, type | tuple[type, ...]] = {
    "runs": (str, list),
    "figures": list,
    "sections": list,
    "metrics": (list, dict),
}
"""Options that are lists, and the accepted types."""

FORMATS = {"html": ".html", "md": ".md"}


def main() -> None:
    """Run the command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(str(__doc__).strip())
        return
    sys.argv[1:] = [quote_option(override, TEXT_OPTIONS) for override in merge_list_option(sys.argv[1:], "runs")]
    run_entry_point(job)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="report")
def job(config: DictConfig) -> None:
    """Write the report, or serve it if `live=true`."""
    with translate_job_errors():
        options, defaults = resolve_config(config), resolve_config(hydra.compose("train", ["folder=''"]))
        if options["live"]:
            serve_report(options, defaults)
        else:
            write_report(options, defaults)


def write_report(config: dict[str, Any], defaults: dict[str, Any] | None = None) -> Path:
    """Write a report, print its path, and return it.

    Args:
        config: resolved config, as in `conf/report.yaml`.
        defaults: default config of a training, with which a single run is compared.

    Raises:
        UserError: if there is no run, an option is invalid, or the file cannot be written.
    """
    from autoencoders.reports.content import build_report
    from autoencoders.reports.discovery import find_runs

    validate_options(config)
    out = output_path(config["out"], config["format"])
    runs = find_runs(run_patterns(config))
    report = build_report(runs, report_options(config, defaults))
    files = render_files(report, out, config["copy"])
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"The report cannot be written to {out}: {reason}. Choose another out=<file>.") from error
    figures = sum(len(group.pictures) for section in report.sections for group in section.groups)
    counts = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {figures} figures"
    print(f"report   {out} ({counts}, {sum(map(len, files.values())) / 1e6:.1f} MB)")
    print_problems(runs)
    return out


def render_files(report: Report, out: Path, copy: bool) -> dict[Path, bytes]:
    """Render a report in the format of its file name.

    Args:
        report: content of the report.
        out: file of the report.
        copy: whether a Markdown report copies the figures of runs.

    Returns:
        Path -> bytes of each file to write.
    """
    from autoencoders.reports.html import render_html
    from autoencoders.reports.markdown import render_markdown

    files: dict[Path, bytes] = {}
    if out.suffix == ".md":
        text, files = render_markdown(report, out.parent, out.parent / f"{out.stem}_figures", copy)
    else:
        text = render_html(report)
    return {**files, out: text.encode("utf-8", "replace")}


def print_problems(runs: Sequence[RunFolder]) -> None:
    """Print one line for each run that is incomplete or was not read."""
    for run in runs:
        if run.problems:
            label = "not read" if run.refused else "problem "
            print(f"{label} {run.label}: {'; '.join(run.problems)}")


def serve_report(config: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
    """Serve a live report until Ctrl-C; see `write_report`."""
    from autoencoders.reports.server import serve

    validate_options(config)
    port = config["port"]
    if not isinstance(config["live"], bool):
        raise UserError(f"live must be true or false, got {config['live']!r}.")
    if type(port) is not int or not 0 <= port < 2**16:
        raise UserError(f"port must be an integer from 0 (a free port) to 65535, got {port!r}.")
    if config["out"] or config["format"]:
        raise UserError("live=true serves a page and writes no file. Remove out and format, or remove live.")
    serve(run_patterns(config), report_options(config, defaults), port=port)


def run_patterns(config: Mapping[str, Any]) -> list[str]:
    """Return the folders and patterns of runs."""
    return [config["runs"]] if isinstance(config["runs"], str) else config["runs"]


def report_options(config: Mapping[str, Any], defaults: dict[str, Any] | None) -> ReportOptions:
    """Return the options of the report's content."""
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
    """Raise UserError if an option has the wrong type or value."""
    for name, types in LIST_OPTIONS.items():
        is_missing = config[name] is None and name != "runs"
        if not is_missing and not isinstance(config[name], types):
            raise UserError(f"{name} must be a list, got {config[name]!r}. Write {name}=[a,b].")
    if not isinstance(config["copy"], bool):
        raise UserError(f"copy must be true or false, got {config['copy']!r}.")
    if config["format"] not in (None, *FORMATS):
        raise UserError(f"format must be html or md, got {config['format']}.")
    if not isinstance(config["megabytes"], (int, float)) or config["megabytes"] < 0:
        raise UserError(f"megabytes must be a number of at least 0, got {config['megabytes']!r}.")


def output_path(out: str | None, format_name: str | None) -> Path:
    """Return the file to write: by default `report.html` or `report.md` in the current folder.

    Args:
        out: file or existing folder.
        format_name: `html`, `md`, or None for the format of the file name.

    Raises:
        UserError: if the file name has another suffix than the format.
    """
    suffix = FORMATS[format_name or ("md" if out and Path(out).suffix == ".md" else "html")]
    path = Path(out or f"report{suffix}").expanduser()
    if path.is_dir():
        path = path / f"report{suffix}"
    if format_name and path.suffix != suffix:
        raise UserError(f"out must end in {suffix} for format={format_name}, got {out}. Choose out=<name>{suffix}.")
    return path


if __name__ == "__main__":
    main()
