"""Find the settings that differ between runs, and describe them in texts and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoencoders.config.diff import ABSENT_TEXT, SHORT_KEYS, diff_configs, group_aliases
from autoencoders.reports.run_folder import RunFolder
from autoencoders.reports.tables import Cell, Column, Row, Table

SEED_KEYS = ("seed", "model.seed", "data.seed")
"""Config keys that differ between repetitions of the same experiment."""

MAX_ALIASES = 8
"""Maximum number of alias keys listed below a table. An alias is a config key that repeats the value of another key."""

MAX_SETTINGS = 3
"""Maximum number of settings in the description of a run."""


def find_differences(runs: Sequence[RunFolder]) -> dict[tuple[str, ...], list[str]]:
    """Return the settings that differ between runs.

    Args:
        runs: runs to compare. Runs without a config are ignored.

    Returns:
        Config keys of one setting (see `group_aliases`) -> list with the value of the setting in each run. The value is
        `ABSENT_TEXT` for a run without a config.
    """
    indices = [i for i, run in enumerate(runs) if run.config]
    if len(indices) < 2:
        return {}
    groups = group_aliases(diff_configs([runs[i].config for i in indices]))
    differences = {}
    for keys, known_values in groups.items():
        values = [ABSENT_TEXT] * len(runs)
        for i, value in zip(indices, known_values, strict=True):
            values[i] = value
        differences[keys] = values
    return differences


def describe_settings(runs: Sequence[RunFolder], ignored: Sequence[str] = ()) -> list[str]:
    """Return a short description for each run: the settings that differ between the runs, such as `beta=4, seed=1`.

    A description has at most `MAX_SETTINGS` settings. Settings that were set on the command line are preferred. A
    setting that only some models have (such as `join` for a CVAE) is omitted if it has the same value in these models,
    because the name of the model already shows the difference.

    Args:
        runs: runs to describe.
        ignored: config keys that are omitted.

    Returns:
        One description per run, in the order of the runs. A description can be empty.
    """
    overridden = {override.lstrip("+~").partition("=")[0] for run in runs for override in run.overrides}
    differences = [
        (keys, values)
        for keys, values in find_differences(runs).items()
        if keys[0] not in ignored and len(set(values) - {ABSENT_TEXT}) > 1
    ]
    differences.sort(key=lambda item: not any(k in overridden or SHORT_KEYS.get(k) in overridden for k in item[0]))
    chosen = [(SHORT_KEYS.get(keys[0], keys[0]), values) for keys, values in differences[:MAX_SETTINGS]]
    descriptions = []
    for i in range(len(runs)):
        settings = [f"{key}={values[i]}" for key, values in chosen if values[i] != ABSENT_TEXT]
        descriptions.append(", ".join(settings))
    return descriptions


def group_by_settings(runs: Sequence[RunFolder], ignored: Sequence[str]) -> list[list[RunFolder]]:
    """Group the runs by their settings. The runs in a group differ only in the settings with ignored keys."""
    differences = [values for keys, values in find_differences(runs).items() if keys[0] not in ignored]
    groups: dict[tuple[str, ...], list[RunFolder]] = {}
    for i, run in enumerate(runs):
        groups.setdefault(tuple(values[i] for values in differences), []).append(run)
    return list(groups.values())


def differences_table(groups: Mapping[tuple[str, ...], list[str]], names: Sequence[str], title: str) -> Table:
    """Create a table with the settings that differ between configs.

    If there are fewer settings than configs, each setting is a column. Otherwise, each setting is a row.

    Args:
        groups: config keys of one setting -> value of the setting in each config; see `find_differences`.
        names: names of the configs.
        title: title of the table.
    """
    notes = _alias_notes(list(groups))
    settings = [keys[0] for keys in groups]
    if len(groups) < len(names):
        columns = [Column(setting, is_text=True) for setting in settings]
        rows = [Row(name, [Cell(text=values[i]) for values in groups.values()]) for i, name in enumerate(names)]
        return Table(title, "run", columns, rows, notes)
    columns = [Column(name, is_text=True) for name in names]
    rows = [
        Row(setting, [Cell(text=value) for value in values])
        for setting, values in zip(settings, groups.values(), strict=True)
    ]
    return Table(title, "setting", columns, rows, notes)


def _alias_notes(groups: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a note that lists the config keys which repeat the value of another key."""
    count = sum(len(keys) - 1 for keys in groups)
    if count == 0:
        return []
    if count > MAX_ALIASES:
        return [f"{count} more config keys differ, because they repeat the values of these settings by interpolation."]
    aliases = [f"{keys[0]} is also the value of {', '.join(keys[1:])}" for keys in groups if len(keys) > 1]
    return [f"{'; '.join(aliases)}."]
