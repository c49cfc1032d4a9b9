"""What a report says, in order, whatever it is written as."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from autoencoders.config import diff
from autoencoders.reports import comparison
from autoencoders.reports.application_tables import answers
from autoencoders.reports.images import Group, galleries
from autoencoders.reports.plots import rate_distortion, training_curves
from autoencoders.reports.result_tables import over_seeds, summary
from autoencoders.reports.run_cards import Card, metadata
from autoencoders.reports.run_folder import RunFolder
from autoencoders.reports.tables import Table
from autoencoders.types import UserError

COMMAND = "python -m autoencoders.train"


@dataclass
class Section:
    """A part under a heading: tables, then pictures, then lines of text."""

    title: str
    tables: list[Table] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tables or self.groups or self.texts)


@dataclass
class Asked:
    """What a run's command adds to what all share, and how it did not end well."""

    label: str
    words: str
    problem: str


@dataclass
class Report:
    """A report.

    Attributes:
        title: its heading.
        question: what was to be found out, paragraphs.
        verdict: what was found, paragraphs.
        common: the command that all runs share.
        asked: of each run.
        sections: in order; none of them empty.
        cards: of each run.
    """

    title: str
    question: list[str]
    verdict: list[str]
    common: str
    asked: list[Asked]
    sections: list[Section]
    cards: list[Card]


def build_report(
    runs: Sequence[RunFolder],
    *,
    title: str | None = None,
    question: str | None = None,
    verdict: str | None = None,
    metrics: Mapping[str, str] | None = None,
    figures: Sequence[str] | None = None,
    parts: Sequence[str] | None = None,
    megabytes: float = 10.0,
    defaults: Mapping | None = None,
    live: bool = False,
) -> Report:
    """Everything that runs left, bound together.

    Args:
        runs: see `finding.find`.
        title: by default the models and the data.
        question: what was to be found out; paragraphs apart by an empty line.
        verdict: what was found.
        metrics: columns of the results; see `results.summary`.
        figures: kinds of figures, or patterns; None: all.
        parts: which sections: `asked`, `what_differs`, `results`, `rate_and_distortion`, `figures`, `curves`, names of
            applications, `runs`; None: all.
        megabytes: of one run's figures, at most.
        defaults: the default configuration, which a single run is compared with.
        live: runs still go on: curves are drawn elsewhere, and a figure that is not all written gives way to the last
            that is.

    Raises:
        UserError: where a metric, a figure or a part is asked for that there is not.
    """
    for run, words in zip(runs, comparison.settings(runs), strict=True):
        run.setting = words
    groups, left = galleries(runs, figures, megabytes, whole=live)
    builders: dict[str, Callable[[], Section]] = {
        "what_differs": lambda: Section("What differs", differing_tables(runs, defaults)),
        "results": lambda: Section("Results", result_tables(runs, metrics)),
        "rate_and_distortion": lambda: Section("Rate and distortion", groups=filled(rate_distortion(runs))),
        "figures": lambda: Section("Figures", groups=[g for g in groups if "/" not in g.title], texts=left),
        "curves": lambda: Section("Curves", groups=filled(training_curves(runs))),
    }
    for name in sorted({name.partition("/")[0] for run in runs for name in (*run.tables(), *of_applications(groups))}):
        builders[name] = partial(application, name, runs, groups)
    known = ("asked", *builders, "runs")
    for part in parts or ():
        if part not in known:
            raise UserError(f"There is no part {part} in this report. It has: {', '.join(known)}.")
    shown = [part for part in (known if parts is None else parts) if not (live and part == "curves")]
    sections = [section for name, build in builders.items() if name in shown and (section := build())]
    paragraphs = [[part.strip() for part in (text or "").split("\n\n") if part.strip()] for text in (question, verdict)]
    common, asked = commands(runs) if "asked" in shown else ("", [])
    cards = [metadata(run) for run in runs] if "runs" in shown else []
    return Report(title or title_of(runs), *paragraphs, common, asked, sections, cards)


def title_of(runs: Sequence[RunFolder]) -> str:
    """The models, and what they were trained on."""
    names = ([run.at(part, "name") for run in runs] for part in ("model", "data"))
    models, data = (", ".join(dict.fromkeys(str(name) for name in found if name)) for found in names)
    count = f": {len(runs)} runs" if len(runs) > 1 else ""
    return f"{models.upper()} on {data}{count}" if models and data else f"Report{count}"


def commands(runs: Sequence[RunFolder]) -> tuple[str, list[Asked]]:
    """The words that every run was started with, as a command, and what each adds to it."""
    told = [run.overrides for run in runs if run.overrides]
    shared = [word for word in told[0] if all(word in words for words in told)] if told else []
    asked = [
        Asked(run.label, shlex.join(word for word in run.overrides if word not in shared), "; ".join(run.problems))
        for run in runs
    ]
    return f"{COMMAND} {shlex.join(shared)}".strip(), asked


def differing_tables(runs: Sequence[RunFolder], defaults: Mapping | None) -> list[Table]:
    """How the configurations differ; of a single run, from the defaults."""
    if len(runs) > 1:
        groups, names, title = comparison.compared(runs), [run.label for run in runs], "Settings that differ"
    elif defaults and runs[0].config:
        groups = diff.group_aliases(diff.diff_configs([defaults, runs[0].config]))
        names, title = ["default", runs[0].label], "Settings that are not the default"
    else:
        groups = {}
    return [comparison.table(groups, names, title)] if groups else []


def result_tables(runs: Sequence[RunFolder], metrics: Mapping[str, str] | None) -> list[Table]:
    """The numbers of every run; before them their means over seeds, which then alone have a best."""
    single, means = summary(runs, metrics), over_seeds(runs, metrics)
    if means is not None:
        single.unmark("Runs of one setting differ by chance: the best is marked among means.")
    return [table for table in (means, single) if table is not None and table.columns]


def filled(group: Group) -> list[Group]:
    """A group that has pictures."""
    return [group] if group.pictures else []


def of_applications(groups: Sequence[Group]) -> list[str]:
    """Kinds of figures that applications drew, `<application>/<figure>`."""
    return [group.title for group in groups if "/" in group.title]


def application(name: str, runs: Sequence[RunFolder], groups: Sequence[Group]) -> Section:
    """What runs found when they were asked: tables, figures, and what was said in words."""
    section = Section(name, groups=[group for group in groups if group.title.startswith(f"{name}/")])
    for answer in answers(runs, name):
        section.tables += [answer.table] if answer.table is not None else []
        section.texts += [f"{label}: {line}" for label, lines in answer.texts.items() for line in lines]
        section.texts += [f"{answer.name} is too long for this page. {line}." for line in answer.left]
    return section
