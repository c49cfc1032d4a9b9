"""Build the content of a report from run folders. The content does not depend on the format (HTML or Markdown)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from autoencoders.config.diff import diff_configs, group_aliases
from autoencoders.reports.application_tables import collect_tables
from autoencoders.reports.comparison import describe_settings, differences_table, find_differences
from autoencoders.reports.comparison_plots import plot_comparison, plot_rate_distortion
from autoencoders.reports.images import FigureGroup, collect_figures
from autoencoders.reports.plots import plot_training_curves
from autoencoders.reports.result_tables import results_table, seed_means_table
from autoencoders.reports.run_cards import RunMetadata, collect_metadata
from autoencoders.reports.run_folder import RunFolder
from autoencoders.reports.tables import Table
from autoencoders.types import UserError

COMMAND = "python -m autoencoders.train"


@dataclass(frozen=True)
class ReportOptions:
    """Options that determine the content of a report.

    Attributes:
        title: heading of the report. By default the heading contains the names of the models and the data.
        question: question that the report answers. An empty line separates paragraphs.
        conclusion: answer to the question. An empty line separates paragraphs.
        metrics: columns of the results table, as header -> metric; see `results_table`. None for the default columns.
        figures: names or glob patterns of the figures to show; None for all figures.
        sections: names of the sections to show: `commands`, `differences`, `results`, `comparison`,
            `rate_and_distortion`, `figures`, `curves`, `runs`, or the name of an application. None for all sections.
        megabytes: maximum total size of the figures from one run, in megabytes. Further figures are omitted.
        defaults: default config of `autoencoders.train`. If the report has a single run, its config is compared with
            these defaults.
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
    """A section of a report. `bool(section)` is False if the section has no tables, figures or texts.

    Attributes:
        title: heading of the section.
        tables: tables at the start of the section.
        groups: groups of figures after the tables.
        texts: paragraphs at the end of the section.
    """

    title: str
    tables: list[Table] = field(default_factory=list)
    groups: list[FigureGroup] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tables or self.groups or self.texts)


@dataclass
class RunCommand:
    """The part of a run's training command that differs from the commands of the other runs.

    Attributes:
        label: label of the run.
        overrides: command-line overrides that are not common to all runs.
        problem: problems with the files in the run folder, or an empty string.
    """

    label: str
    overrides: str
    problem: str


@dataclass
class Report:
    """The content of a report.

    Attributes:
        title: heading of the report.
        question: paragraphs of the question that the report answers.
        conclusion: paragraphs of the answer.
        common_command: training command with the overrides that are common to all runs.
        commands: the other overrides of each run, one entry per run.
        sections: nonempty sections of the report, in the order of the page.
        metadata: status, data, versions and other metadata, one entry per run.
        explorer: relative URL of the explorer page, in which the decoders run; empty without such a page.
    """

    title: str
    question: list[str] = field(default_factory=list)
    conclusion: list[str] = field(default_factory=list)
    common_command: str = ""
    commands: list[RunCommand] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    metadata: list[RunMetadata] = field(default_factory=list)
    explorer: str = ""


def build_report(runs: Sequence[RunFolder], options: ReportOptions | None = None, live: bool = False) -> Report:
    """Combine the files of several runs into the content of a report.

    Args:
        runs: run folders, as returned by `find_runs`.
        options: options of the report; None for the default options.
        live: whether the runs may still be training. If True, the section `curves` is omitted, because the live page
            plots its own curves, and figure files that are still being written are skipped.

    Raises:
        UserError: if the options name a metric, figure or section that does not exist.
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
    """Return name of the section -> function that builds the section, in the order of the page.

    Args:
        runs: runs of the report.
        options: options of the report.
        figures: all figures of the runs and their applications.
        omissions: sentences about figures that are not shown.
    """
    run_figures = [group for group in figures if "/" not in group.title]
    builders: dict[str, Callable[[], Section]] = {
        "differences": lambda: Section("Differences", build_difference_tables(runs, options.defaults)),
        "results": lambda: Section("Results", build_result_tables(runs, options.metrics)),
        "comparison": lambda: _figure_section("Comparison of models", plot_comparison(runs)),
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

    Args:
        known: names of all sections in the report.
        chosen: names that the user has chosen; None for all sections.

    Raises:
        UserError: if a chosen name is not in `known`.
    """
    if chosen is None:
        return set(known)
    for name in chosen:
        if name not in known:
            raise UserError(
                f"sections must be a list of sections in this report, got {name}. Choose from: {', '.join(known)}."
            )
    return set(chosen)


def split_paragraphs(text: str | None) -> list[str]:
    """Split a text into paragraphs at empty lines. Return an empty list for None."""
    return [paragraph.strip() for paragraph in (text or "").split("\n\n") if paragraph.strip()]


def default_title(runs: Sequence[RunFolder]) -> str:
    """Return a heading with the names of the models, the names of the data, and the number of runs."""
    models, data = (
        ", ".join(dict.fromkeys(str(name) for run in runs if (name := run.config_value(group, "name"))))
        for group in ("model", "data")
    )
    count = f": {len(runs)} runs" if len(runs) > 1 else ""
    return f"{models.upper()} on {data}{count}" if models and data else f"Report{count}"


def collect_commands(runs: Sequence[RunFolder]) -> tuple[str, list[RunCommand]]:
    """Return the training command with the overrides common to all runs, and the other overrides of each run."""
    all_overrides = [run.overrides for run in runs if run.overrides]
    first = all_overrides[0] if all_overrides else []
    shared = [override for override in first if all(override in overrides for overrides in all_overrides)]
    commands = []
    for run in runs:
        own = [override for override in run.overrides if override not in shared]
        commands.append(RunCommand(run.label, shlex.join(own), "; ".join(run.problems)))
    return f"{COMMAND} {shlex.join(shared)}".strip(), commands


def build_difference_tables(runs: Sequence[RunFolder], defaults: Mapping[str, Any] | None) -> list[Table]:
    """Return tables with the settings that differ between several runs, or between a single run and the defaults.

    Args:
        runs: runs to compare.
        defaults: default config of `autoencoders.train`, which is used only for a single run.

    Returns:
        One table, or an empty list if there are no differences.
    """
    if len(runs) > 1:
        groups, names, title = find_differences(runs), [run.label for run in runs], "Settings that differ"
    elif defaults and runs[0].config:
        groups = group_aliases(diff_configs([defaults, runs[0].config]))
        names, title = ["default", runs[0].label], "Settings that differ from the defaults"
    else:
        return []
    return [differences_table(groups, names, title)] if groups else []


def build_result_tables(runs: Sequence[RunFolder], metrics: Mapping[str, str] | None) -> list[Table]:
    """Return a table with the metrics of each run, preceded by a table with the means over seeds if there are any.

    If there is a table with means, the best values are marked only in this table.

    Args:
        runs: runs of the report.
        metrics: columns as header -> metric; see `results_table`. None for the default columns.
    """
    single, means = results_table(runs, metrics), seed_means_table(runs, metrics)
    if means is not None:
        single.unmark(
            "Runs with the same settings but different seeds differ by chance. Therefore the best values are marked "
            "only in the table with the means over seeds."
        )
    return [table for table in (means, single) if table is not None and table.columns]


def build_application_section(name: str, runs: Sequence[RunFolder], figures: Sequence[FigureGroup]) -> Section:
    """Return a section with the tables, figures and texts that an application has written for all runs.

    Args:
        name: name of the application.
        runs: runs of the report.
        figures: all figures of the runs and their applications.
    """
    section = Section(name, groups=[group for group in figures if group.title.startswith(f"{name}/")])
    for result in collect_tables(runs, name):
        if result.table is not None:
            section.tables.append(result.table)
        section.texts += [f"{label}: {line}" for label, lines in result.texts.items() for line in lines]
        reason = f"{result.name} is not shown, because it is too long for this page."
        section.texts += [f"{reason} {omission}." for omission in result.omitted]
    return section


def _figure_section(title: str, figures: FigureGroup) -> Section:
    """Return a section with one group of figures, or an empty section if the group has no figures."""
    return Section(title, groups=[figures] if figures.pictures else [])
