"""Differences between the configurations of several runs, and between a configuration and the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoencoders.config.arguments import expand_numbers

TIMEOUTS = ("peer_timeout", "exchange_timeout")
"""Options for several processes."""
IGNORED_KEYS = (
    "name", "folder", "runs", "resume", "traceback", "logger", "after_fit", "changed_data", "figures",
    *TIMEOUTS,
)  # fmt: skip
"""Top-level keys that do not influence the training: paths, loggers, applications, figures and timeouts."""
PATH_KEYS = ("dirpath", "root", "cache", "memory")
"""Last components of keys whose values are paths or limits of the machine. These keys are not compared."""
PASSIVE_CALLBACKS = ("autoencoders.callbacks.", "lightning.pytorch.callbacks.ModelCheckpoint")
"""Prefixes of callback classes that only plot, log or save. These callbacks do not influence the training."""
REPEATING_GROUPS = ("model", "callbacks")
"""Groups that copy values of other groups by interpolation. A difference is listed under the key in the other group."""
SHORT_KEYS = {"beta.value": "beta", "latent_dim.size": "latent_dim"}
"""Key -> shorter form of the key on the command line."""
ABSENT_TEXT = "\u2013"
"""Text for a missing value (an en dash)."""


def describe_changes(config: Mapping, defaults: Mapping, overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of a setting that differs from the default and the text `old → new`.

    Changed options of config groups come first, including options that another option selects (data=lfw selects a net).
    Changed values follow. If the option of a group has changed, the list contains only the values in this group that
    the user has set.

    Args:
        config: the resolved configuration, with the selected option of each group under `choices`.
        defaults: the resolved default configuration, also with `choices`.
        overrides: the command-line overrides, for example `["data=lfw", "optimizer.lr=0.01"]`.
    """
    changes = _changed_options(config["choices"], defaults["choices"])
    covered = set(changes)
    arguments = [override.lstrip("+~").partition("=")[::2] for override in expand_numbers(overrides)]
    changed_groups = (*changes, *REPEATING_GROUPS)
    values = diff_configs([{**defaults, "choices": None}, {**config, "choices": None}])
    for keys, (old, new) in group_aliases(values).items():
        # If the option of a group has changed, only the values that the user has set are listed.
        listed = [key for key in keys if key in dict(arguments) or key.partition(".")[0] not in changed_groups]
        if listed and listed[0] not in changes:
            changes[listed[0]] = (old, new)
            covered.update(keys)
            covered.update(SHORT_KEYS.get(key, key) for key in keys)
    for key, value in arguments:  # options that are not compared above, for example of a callback or a logger
        old_value = defaults["choices"][key] if key in defaults["choices"] else lookup(defaults, *key.split("."))
        old = format_value(old_value)
        if key not in covered and old != value:
            changes[key] = (old, value)
    return [(name, f"{old} → {new}") for name, (old, new) in changes.items()]


def _changed_options(new: Mapping, old: Mapping) -> dict[str, tuple[str, str]]:
    """Return the config groups whose selected option differs: group -> (old option, new option)."""
    changes = {}
    for group, option in new.items():
        is_hydra_group = "/" in group or "@" in group
        if is_hydra_group or str(old.get(group)) == str(option):
            continue
        changes[group] = (format_value(old.get(group)), format_value(option))
    return changes


def flatten(node: Any, prefix: str) -> dict[str, Any]:
    """Return a nested dict as a flat dict with dotted keys, each of which starts with `prefix`."""
    if not isinstance(node, Mapping):
        return {prefix: node}
    flat = {}
    for name, child in node.items():
        flat.update(flatten(child, f"{prefix}.{name}"))
    return flat


class Absent:
    """Value that stands for a key missing from a configuration."""


def diff_configs(configs: Sequence[Mapping]) -> dict[str, list[Any]]:
    """Return the dotted keys whose values differ between configurations.

    Args:
        configs: resolved configurations as plain dicts.

    Returns:
        Dotted key -> values, one per configuration. A value may be a config node, or `Absent` for a missing key.
    """
    differences: dict[str, list[Any]] = {}
    _collect_differences("", list(configs), differences)
    return differences


def _collect_differences(key: str, nodes: list[Any], differences: dict[str, list[Any]]) -> None:
    """Add the differences between nodes to the dict `differences`, including differences between their children."""
    if all(node == nodes[0] for node in nodes[1:]):
        return
    if not all(isinstance(node, Mapping) for node in nodes):
        differences[key.removesuffix("._target_")] = nodes
        return
    names = list(dict.fromkeys(name for node in nodes for name in node if name not in PATH_KEYS))
    if key and len({str(node.get("name")) for node in nodes}) > 1:  # a model, for example
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
    """Group the keys under which one setting appears, and format the values.

    By interpolation, one setting can appear under several keys: `beta.value` is also `model.beta_schedule.value`.

    Args:
        differences: dotted key -> values, one per configuration, from `diff_configs`.

    Returns:
        Keys of one setting, shortest key first -> formatted values, one per configuration.
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
    """Return the keys in `groups` that belong to the same setting as `key`, or an empty tuple if there are none."""
    for keys, group_values in groups.items():
        if group_values == values and _is_alias(keys[0], key):
            return keys
    return ()


def _is_alias(first: str, key: str) -> bool:
    """Return whether two keys with equal values belong to the same setting.

    Either their last components match, or the last component of `key` is the group of `first`.
    """
    first_names, names = first.split("."), key.split(".")
    return names[-1].endswith(first_names[-1]) or first_names[0] == names[-1]


def _alias_order(key: str) -> tuple[bool, int, str]:
    """Return the sort key for `group_aliases`. Keys in REPEATING_GROUPS come last. Short keys come first."""
    return (key.split(".")[0] in REPEATING_GROUPS, key.count("."), key)


def _display_order(key: str) -> tuple[bool, bool, str]:
    """Return the sort key for listed differences. Model and data come first, callbacks last."""
    section = key.split(".")[0]
    return (section not in ("model", "data"), section == "callbacks", key)


def format_value(value: Any) -> str:
    """Return a value as text for a table cell. For a class path or a node with `_target_`, return the class name."""
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
    """Return the value at a path of keys in nested dicts, or None if a key is missing."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def result_settings(config: Mapping, seeded: bool = True) -> dict[str, Any]:
    """Return the settings that determine the results of a run, as a flat dict with dotted keys.

    Paths, loggers, callbacks, figures, timeouts and the options `resume` and `traceback` are left out.

    Args:
        config: the resolved configuration.
        seeded: whether the user has set the seed. If False, seeds are left out, because they are random.
    """
    return {
        key: value
        for section, node in config.items()
        if section not in ("folder", "runs", "resume", "traceback", "logger", "callbacks", "figures", *TIMEOUTS)
        for key, value in flatten(node, section).items()
        if seeded or key not in ("seed", "model.seed", "data.seed")
    }
