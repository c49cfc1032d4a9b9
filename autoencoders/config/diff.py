"""Differences between configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoencoders.config.arguments import expand_numbers

IGNORED_KEYS = ("name", "folder", "runs", "resume", "debug", "logger", "after_fit")
"""Keys of locations and logging, and of applications, which do not influence the training."""
PATH_KEYS = ("dirpath", "root", "cache", "memory")
"""Last components of keys that hold paths or machine limits."""
PASSIVE_CALLBACKS = ("autoencoders.callbacks.", "lightning.pytorch.callbacks.ModelCheckpoint")
"""Callbacks that draw, log or save, and do not influence the training."""
REPEATING_GROUPS = ("model", "callbacks")
"""Groups that repeat keys of other groups by interpolation. A difference is named after the other group."""
SHORT_KEYS = {"beta.value": "beta", "latent_dim.size": "latent_dim"}
"""Keys with a shorter form on the command line."""
ABSENT_TEXT = "\u2013"
"""An en dash: the text for a missing value."""


def describe_changes(config: Mapping, defaults: Mapping, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Return the settings that differ from the defaults: setting -> `old → new`.

    Options of groups come first, including those selected by another option (data=lfw selects its net), then values. If
    another option of a group is selected, only those of its values are listed that the user set.

    Args:
        config: the resolved configuration, with the selected options under `choices`.
        defaults: the default configuration, in the same form.
        overrides: the command-line overrides.
    """
    changes = _changed_options(config["choices"], defaults["choices"])
    covered = set(changes)
    arguments = [override.lstrip("+~").partition("=")[::2] for override in expand_numbers(overrides)]
    changed_groups = (*changes, *REPEATING_GROUPS)
    values = diff_configs([{**defaults, "choices": None}, {**config, "choices": None}])
    for keys, (old, new) in group_aliases(values).items():
        # In a group with another option, only the values that the user set are listed.
        listed = [key for key in keys if key in dict(arguments) or key.partition(".")[0] not in changed_groups]
        if listed and listed[0] not in changes:
            changes[listed[0]] = (old, new)
            covered.update(keys)
            covered.update(SHORT_KEYS.get(key, key) for key in keys)
    for key, value in arguments:  # of a callback or a logger, for example
        old_value = defaults["choices"][key] if key in defaults["choices"] else lookup(defaults, *key.split("."))
        old = format_value(old_value)
        if key not in covered and old != value:
            changes[key] = (old, value)
    return [(name, f"{old} → {new}") for name, (old, new) in changes.items()]


def _changed_options(new: Mapping, old: Mapping) -> dict[str, tuple[str, str]]:
    """Return the groups whose selected option differs: group -> old and new option."""
    changes = {}
    for group, option in new.items():
        is_hydra_group = "/" in group or "@" in group
        if is_hydra_group or str(old.get(group)) == str(option):
            continue
        changes[group] = (format_value(old.get(group)), format_value(option))
    return changes


def flatten(node: Any, prefix: str) -> dict[str, Any]:
    """Return nested containers as one level of dotted keys."""
    if not isinstance(node, Mapping):
        return {prefix: node}
    flat = {}
    for name, child in node.items():
        flat.update(flatten(child, f"{prefix}.{name}"))
    return flat


class Absent:
    """Marker for a key that a configuration does not have."""


def diff_configs(configs: Sequence[Mapping]) -> dict[str, list[Any]]:
    """Return the keys that differ, with the value in each configuration. Values may be nodes, or `Absent`."""
    differences: dict[str, list[Any]] = {}
    _collect_differences("", list(configs), differences)
    return differences


def _collect_differences(key: str, nodes: list[Any], differences: dict[str, list[Any]]) -> None:
    """Add the differences of these nodes and their children to `differences`."""
    if all(node == nodes[0] for node in nodes[1:]):
        return
    if not all(isinstance(node, Mapping) for node in nodes):
        differences[key.removesuffix("._target_")] = nodes
        return
    names = list(dict.fromkeys(name for node in nodes for name in node if name not in PATH_KEYS))
    if key and len({str(node.get("name")) for node in nodes}) > 1:  # a class is named by its name: `model`, `data`
        differences[key] = [node.get("name", Absent) for node in nodes]
        names = [name for name in names if name not in ("name", "_target_")]
    for name in names:
        if key or name not in IGNORED_KEYS:
            children = [_child(node, name) for node in nodes]
            _collect_differences(f"{key}.{name}".lstrip("."), children, differences)


def _child(node: Mapping, name: Any) -> Any:
    child = node.get(name, Absent)
    is_passive = isinstance(child, Mapping) and str(child.get("_target_")).startswith(PASSIVE_CALLBACKS)
    return Absent if is_passive else child


def group_aliases(differences: Mapping[str, list[Any]]) -> dict[tuple[str, ...], list[str]]:
    """Group keys with equal values in every configuration, shortest key first, and format the values.

    One choice appears under several keys: `beta.value` is also `model.beta_schedule.value`.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for key in sorted(differences, key=_alias_order):
        values = [format_value(value) for value in differences[key]]
        aliases = _find_aliases(key, values, groups)
        groups.pop(aliases, None)
        merged = (*aliases, key)
        groups[merged] = values
    return dict(sorted(groups.items(), key=lambda item: _display_order(item[0][0])))


def _find_aliases(key: str, values: list[str], groups: Mapping[tuple[str, ...], list[str]]) -> tuple[str, ...]:
    """Return the first group of keys with these values that hold the same choice as a key, or an empty tuple."""
    for keys, group_values in groups.items():
        if group_values == values and _is_alias(keys[0], key):
            return keys
    return ()


def _is_alias(first: str, key: str) -> bool:
    """Return whether two keys hold one choice: their last components match, or one repeats the group of the other."""
    first_names, names = first.split("."), key.split(".")
    return names[-1].endswith(first_names[-1]) or first_names[0] == names[-1]


def _alias_order(key: str) -> tuple[bool, int, str]:
    """Sort key of the keys of one choice: groups that repeat others last, then short keys first."""
    return (key.split(".")[0] in REPEATING_GROUPS, key.count("."), key)


def _display_order(key: str) -> tuple[bool, bool, str]:
    """Sort key of the listed differences: model and data first, callbacks last."""
    section = key.split(".")[0]
    return (section not in ("model", "data"), section == "callbacks", key)


def format_value(value: Any) -> str:
    """Format a value for a table cell: a class by its name, a node by its class."""
    if value is Absent:
        return ABSENT_TEXT
    if isinstance(value, Mapping):
        return format_value(value["_target_"]) if "_target_" in value else f"{len(value)} settings"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text.rpartition(".")[2] if text.startswith(("autoencoders.", "torch.", "lightning.")) else text


def lookup(node: Any, *keys: str) -> Any:
    """Return a value of nested dicts, or None if a key is missing."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def result_settings(config: Mapping, seeded: bool = True) -> dict[str, Any]:
    """Return the flat settings that determine the results of a run, without paths, loggers and the way it was started.

    Without the seed, if it was drawn at random.
    """
    return {
        key: value
        for section, node in config.items()
        if section not in ("folder", "runs", "resume", "debug", "logger", "callbacks")
        for key, value in flatten(node, section).items()
        if seeded or key not in ("seed", "model.seed", "data.seed")
    }
