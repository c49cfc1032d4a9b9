"""What sets the configurations of runs apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoencoders.config.diff import ABSENT_TEXT, SHORT_KEYS, diff_configs, group_aliases
from autoencoders.reports.run_folder import RunFolder
from autoencoders.reports.tables import Cell, Column, Row, Table

SEEDS = ("seed", "model.seed", "data.seed")
"""Keys of runs that are the same experiment once more."""


REPEATED = 8
"""Keys that repeat others and are named, at most."""


def compared(runs: Sequence[RunFolder]) -> dict[tuple[str, ...], list[str]]:
    """`grouped` differences of runs; a run without a configuration has none of the values."""
    known = [run for run in runs if run.config]
    if len(known) < 2:
        return {}
    groups = group_aliases(diff_configs([run.config for run in known]))
    place = {id(run): i for i, run in enumerate(known)}
    return {
        keys: [values[place[id(run)]] if id(run) in place else ABSENT_TEXT for run in runs]
        for keys, values in groups.items()
    }


def settings(runs: Sequence[RunFolder], without: Sequence[str] = ()) -> list[str]:
    """What sets each run apart, in words: at most three differences, as they would be typed; first what was typed.

    What one kind of run has and another has not (a CVAE's `join`) says no more than the kind does.

    Args:
        runs: in order.
        without: keys that are not told.
    """
    typed = [word.lstrip("+~").partition("=")[0] for run in runs for word in run.overrides]
    groups = [
        item for item in compared(runs).items() if item[0][0] not in without and len(set(item[1]) - {ABSENT_TEXT}) > 1
    ]
    groups.sort(key=lambda item: not any(name in typed or SHORT_KEYS.get(name) in typed for name in item[0]))
    chosen = [(SHORT_KEYS.get(keys[0], keys[0]), values) for keys, values in groups[:3]]
    said = ([f"{key}={values[i]}" for key, values in chosen if values[i] != ABSENT_TEXT] for i in range(len(runs)))
    return [", ".join(words) for words in said]


def alike_but(runs: Sequence[RunFolder], keys: Sequence[str]) -> list[list[RunFolder]]:
    """Runs in groups whose members differ in nothing but these keys."""
    others = [values for names, values in compared(runs).items() if names[0] not in keys]
    groups: dict[tuple[str, ...], list[RunFolder]] = {}
    for i, run in enumerate(runs):
        groups.setdefault(tuple(values[i] for values in others), []).append(run)
    return list(groups.values())


def table(groups: Mapping[tuple[str, ...], list[str]], names: Sequence[str], title: str) -> Table:
    """Differences as a table, keys in rows; in columns where they are fewer than what they are differences of.

    Args:
        groups: see `grouped`.
        names: of what is compared.
        title: a line above.
    """
    repeated = [f"{keys[0]} is also {', '.join(keys[1:])}" for keys in groups if len(keys) > 1]
    further = sum(len(keys) - 1 for keys in groups)
    notes = [f"{'; '.join(repeated)}."] if repeated else []
    if further > REPEATED:
        notes = [f"{further} further keys repeat these values by interpolation."]
    heads = [keys[0] for keys in groups]
    if len(groups) < len(names):
        columns = [Column(head, words=True) for head in heads]
        rows = [Row(name, [Cell(text=values[i]) for values in groups.values()]) for i, name in enumerate(names)]
        return Table(title, "run", columns, rows, notes)
    columns = [Column(name, words=True) for name in names]
    rows = [Row(head, [Cell(text=v) for v in values]) for head, values in zip(heads, groups.values(), strict=True)]
    return Table(title, "setting", columns, rows, notes)
