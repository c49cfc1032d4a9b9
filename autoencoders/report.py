"""Usage: python -m autoencoders.report runs=<folders or patterns> [key=value ...].

Binds runs and sweeps into one page that needs nothing else: what was asked, how the settings differ, tables with the
best marked and baselines beside, figures side by side, rate against distortion, a card for each run.

Examples:
  python -m autoencoders.report runs='runs/*'
  python -m autoencoders.report 'runs=[runs/my-ae,runs/my-vae]' title='AE or VAE?' out=ae-or-vae.html
  python -m autoencoders.report runs=runs/my-sweep 'figures=[reconstructions,samples]' 'metrics=[test/neg_elbo,test/mse]'
  python -m autoencoders.report runs=runs/my-sweep format=md out=my-study/README.md copy=true
  python -m autoencoders.report runs=runs/my-run live=true                     follow it in a browser while it trains

A folder of a sweep stands for its jobs. question='...' and verdict='...' stand above everything else. Every option
has its comment in conf/report.yaml.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF, merge_list_option, quote_option
from autoencoders.types import UserError

TEXTS = ("title", "question", "verdict", "out")
"""Options that are taken as they stand, whatever characters they hold."""

FORMATS = {"html": ".html", "md": ".md"}


def main() -> None:
    """What the command line runs."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__.strip())
        return
    sys.argv[1:] = [quote_option(word, TEXTS) for word in merge_list_option(sys.argv[1:], "runs")]
    run_entry_point(job)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="report")
def job(config: DictConfig) -> None:
    """Write the page."""
    with translate_job_errors():
        plain, defaults = resolve_config(config), resolve_config(hydra.compose("train", ["folder=''"]))
        (follow if plain["live"] else write)(plain, defaults)


def write(config: dict[str, Any], defaults: dict[str, Any] | None = None) -> Path:
    """Write the report of a resolved configuration, and say where it is.

    Args:
        config: as `conf/report.yaml`.
        defaults: the default configuration of a training, which a single run is compared with.

    Raises:
        UserError: where there is no run, an option is not what it should be, or the file cannot be written.
    """
    from autoencoders.reports.content import build_report
    from autoencoders.reports.discovery import find_runs
    from autoencoders.reports.html import render_html
    from autoencoders.reports.markdown import render_markdown

    checked(config)
    out, patterns, options = target(config["out"], config["format"]), *asked(config, defaults)
    runs = find_runs(patterns)
    page = build_report(runs, **options)
    files: dict[Path, bytes] = {}
    if out.suffix == ".md":
        text, files = render_markdown(page, out.parent, out.parent / f"{out.stem}_figures", config["copy"])
    else:
        text = render_html(page)
    files[out] = text.encode("utf-8", "replace")
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"The report cannot be written to {out}: {reason}. Choose another out=<file>.") from error
    pictures = sum(len(group.pictures) for section in page.sections for group in section.groups)
    counts = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {pictures} figures"
    print(f"report   {out} ({counts}, {sum(map(len, files.values())) / 1e6:.1f} MB)")
    for run in runs:
        if run.problems:
            print(f"not all  {run.label}: {'; '.join(run.problems)}")
    return out


def follow(config: dict[str, Any], defaults: dict[str, Any] | None = None) -> None:
    """Serve the report of a resolved configuration while its runs go on; see `write`."""
    from autoencoders.reports.server import serve

    checked(config)
    port = config["port"]
    if not isinstance(config["live"], bool):
        raise UserError(f"live must be true or false, and is {config['live']!r}.")
    if type(port) is not int or not 0 <= port < 2**16:
        raise UserError(f"port must be a whole number from 0 (one that is free) to 65535, and is {port!r}.")
    if config["out"] or config["format"]:
        raise UserError("live=true serves a page and writes none: leave out and format away, or live.")
    serve(*asked(config, defaults), port=port)


def asked(config: dict[str, Any], defaults: dict[str, Any] | None) -> tuple[list[str], dict[str, Any]]:
    """Folders and patterns of runs, and the options of the page."""
    options = {key: config[key] for key in ("title", "question", "verdict", "figures", "parts", "megabytes")}
    metrics = config["metrics"]
    metrics = {name: name for name in metrics} if isinstance(metrics, list) else metrics
    patterns = [config["runs"]] if isinstance(config["runs"], str) else config["runs"]
    return patterns, {**options, "metrics": metrics, "defaults": defaults}


def checked(config: dict[str, Any]) -> None:
    """Raise UserError where an option is of another kind than it should be."""
    lists = {"runs": (str, list), "figures": list, "parts": list, "metrics": (list, dict)}
    for name, kinds in lists.items():
        if not isinstance(config[name], kinds) and (config[name] is not None or name == "runs"):
            raise UserError(f"{name} must be a list, such as {name}=[a,b], and is {config[name]!r}.")
    if not isinstance(config["copy"], bool):
        raise UserError(f"copy must be true or false, and is {config['copy']!r}.")
    if config["format"] not in (None, *FORMATS):
        raise UserError(f"format must be html or md, and is {config['format']}.")
    if not isinstance(config["megabytes"], (int, float)) or config["megabytes"] < 0:
        raise UserError(f"megabytes must be a number from 0 up, and is {config['megabytes']!r}.")


def target(out: str | None, form: str | None) -> Path:
    """The file to write: `report.html` or `report.md` in the current folder where none is named."""
    suffix = FORMATS[form or ("md" if out and Path(out).suffix == ".md" else "html")]
    path = Path(out or f"report{suffix}").expanduser()
    if path.is_dir():
        path = path / f"report{suffix}"
    if form and path.suffix != suffix:
        raise UserError(f"format={form} makes a {suffix} file, and out is {out}. Choose out=<name>{suffix}.")
    return path


if __name__ == "__main__":
    main()
