"""Content of a report, independent of its format."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from autoencoders.config.diff import diff_configs, group_aliases
from autoencoders.reports.application_tables import collect_tables
from autoencoders.reports.comparison import describe_settings, differences_table, find_differences
from autoencoders.reports.images import FigureGroup, collect_figures
from autoencoders.reports.plots import plot_rate_distortion, plot_training_curves
from autoencoders.reports.result_tables import results_table, seed_means_table
from autoencoders.reports.run_cards import RunMetadata, collect_metadata
from autoencoders.reports.run_folder import RunFolder
from autoencoders.reports.tables import Table
from autoencoders.types import UserError

COMMAND = "python -m autoencoders.train"


@dataclass(frozen=True)
class ReportOptions:
    """Options of a report.

    Attributes:
        title: heading of the report; None for the models and the data.
        question: question of the report; an empty line separates paragraphs.
        conclusion: conclusion of the report; an empty line separates paragraphs.
        metrics: columns of the results, header -> metric; see `results_table`. None for the default columns.
        figures: names or patterns of the figures to show; None for all.
        sections: names of the sections to show: `commands`, `differences`, `results`, `rate_and_distortion`,
            `figures`, `curves`, names of applications, `runs`. None for all.
        megabytes: largest total size of the figures of one run.
        defaults: default config, with which a single run is compared.
    """

    title: str | None = None
    question: str | None = None
    conclusion: str | None = None
    metrics: Mapping[str, str] | None = None
    figures: Sequence[str] | None = None
    sections: Sequence[str] | None = None
    megabytes: float = 10.0
    defaults: Mapping[str, Any] | None = None


@dataclass
class Section:
    """A section: a heading, tables, figures, and lines of text. A section without content is false."""

    title: str
    tables: list[Table] = field(default_factory=list)
    groups: list[FigureGroup] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tables or self.groups or self.texts)


@dataclass
class RunCommand:
    """The overrides of one run that not all runs share, and the problems of its folder."""

    label: str
    overrides: str
    problem: str


@dataclass
class Report:
    """A report.

    Attributes:
        title: heading.
        question: paragraphs.
        conclusion: paragraphs.
        common_command: command with the overrides that all runs share.
        commands: one entry per run.
        sections: in order, without empty sections.
        metadata: one entry per run.
    """

    title: str
    question: list[str] = field(default_factory=list)
    conclusion: list[str] = field(default_factory=list)
    common_command: str = ""
    commands: list[RunCommand] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    metadata: list[RunMetadata] = field(default_factory=list)


def build_report(runs: Sequence[RunFolder], options: ReportOptions | None = None, live: bool = False) -> Report:
    """Combine the files of runs into a report.

    Args:
        runs: see `find_runs`.
        options: options of the report.
        live: whether the runs may still be training. The page then draws the curves from its own state, and incomplete
            figures are replaced by the last complete ones.

    Raises:
        UserError: if a metric, figure or section of the options does not exist.
    """
    options = options or ReportOptions()
    for run, setting in zip(runs, describe_settings(runs), strict=True):
        run.setting = setting
    figures, omissions = collect_figures(runs, options.figures, options.megabytes, complete_only=live)
    builders = _section_builders(runs, options, figures, omissions)
    chosen = _choose_sections(("commands", *builders, "runs"), options.sections)
    if live:
        chosen.discard("curves")
    report = Report(options.title or default_title(runs))
    report.question, report.conclusion = split_paragraphs(options.question), split_paragraphs(options.conclusion)
    if "commands" in chosen:
        report.common_command, report.commands = collect_commands(runs)
    sections = [build() for name, build in builders.items() if name in chosen]
    report.sections = [section for section in sections if section]
    if "runs" in chosen:
        report.metadata = [collect_metadata(run) for run in runs]
    return report


def _section_builders(
    runs: Sequence[RunFolder], options: ReportOptions, figures: Sequence[FigureGroup], omissions: list[str]
) -> dict[str, Callable[[], Section]]:
    """Return name -> function that builds the section, in order."""
    run_figures = [group for group in figures if "/" not in group.title]
    builders: dict[str, Callable[[], Section]] = {
        "differences": lambda: Section("Differences", build_difference_tables(runs, options.defaults)),
        "results": lambda: Section("Results", build_result_tables(runs, options.metrics)),
        "rate_and_distortion": lambda: _figure_section("Rate and distortion", plot_rate_distortion(runs)),
        "figures": lambda: Section("Figures", groups=run_figures, texts=omissions),
        "curves": lambda: _figure_section("Curves", plot_training_curves(runs)),
    }
    names = [name for run in runs for name in run.tables()]
    names += [group.title for group in figures if "/" in group.title]
    for application in sorted({name.partition("/")[0] for name in names}):
        builders[application] = partial(build_application_section, application, runs, figures)
    return builders


def _choose_sections(known: Sequence[str], chosen: Sequence[str] | None) -> set[str]:
    """Return the names of the sections to show.

    Raises:
        UserError: if a chosen section does not exist.
    """
    if chosen is None:
        return set(known)
    for name in chosen:
        if name not in known:
            raise UserError(f"There is no section {name} in this report. Choose from: {', '.join(known)}.")
    return set(chosen)


def split_paragraphs(text: str | None) -> list[str]:
    """Split a text at empty lines."""
    return [paragraph.strip() for paragraph in (text or "").split("\n\n") if paragraph.strip()]


def default_title(runs: Sequence[RunFolder]) -> str:
    """Return the names of the models and of the data."""
    models, data = (
        ", ".join(dict.fromkeys(str(name) for run in runs if (name := run.config_value(group, "name"))))
        for group in ("model", "data")
    )
    count = f": {len(runs)} runs" if len(runs) > 1 else ""
    return f"{models.upper()} on {data}{count}" if models and data else f"Report{count}"


def collect_commands(runs: Sequence[RunFolder]) -> tuple[str, list[RunCommand]]:
    """Return the command with the overrides that all runs share, and the other overrides of each run."""
    all_overrides = [run.overrides for run in runs if run.overrides]
    first = all_overrides[0] if all_overrides else []
    shared = [override for override in first if all(override in overrides for overrides in all_overrides)]
    commands = []
    for run in runs:
        own = [override for override in run.overrides if override not in shared]
        commands.append(RunCommand(run.label, shlex.join(own), "; ".join(run.problems)))
    return f"{COMMAND} {shlex.join(shared)}".strip(), commands


def build_difference_tables(runs: Sequence[RunFolder], defaults: Mapping[str, Any] | None) -> list[Table]:
    """Compare the configs of several runs, or the config of a single run with the defaults."""
    if len(runs) > 1:
        groups, names, title = find_differences(runs), [run.label for run in runs], "Settings that differ"
    elif defaults and runs[0].config:
        groups = group_aliases(diff_configs([defaults, runs[0].config]))
        names, title = ["default", runs[0].label], "Settings that differ from the defaults"
    else:
        return []
    return [differences_table(groups, names, title)] if groups else []


def build_result_tables(runs: Sequence[RunFolder], metrics: Mapping[str, str] | None) -> list[Table]:
    """Return the means over seeds, if there are several seeds, and the metrics of all runs.

    If there are means, the best values are marked only among the means.
    """
    single, means = results_table(runs, metrics), seed_means_table(runs, metrics)
    if means is not None:
        single.unmark("Runs with the same setting differ by chance. Best values are marked among the means.")
    return [table for table in (means, single) if table is not None and table.columns]


def build_application_section(name: str, runs: Sequence[RunFolder], figures: Sequence[FigureGroup]) -> Section:
    """Combine the tables, figures and texts of an application."""
    section = Section(name, groups=[group for group in figures if group.title.startswith(f"{name}/")])
    for result in collect_tables(runs, name):
        if result.table is not None:
            section.tables.append(result.table)
        section.texts += [f"{label}: {line}" for label, lines in result.texts.items() for line in lines]
        section.texts += [f"{result.name} is too long for this page. {omission}." for omission in result.omitted]
    return section


def _figure_section(title: str, figures: FigureGroup) -> Section:
    """Create a section of one group of figures, or an empty section."""
    return Section(title, groups=[figures] if figures.pictures else [])
