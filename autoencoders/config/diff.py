"""Differences between configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoencoders.config.compose import numeric_config

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
    old, new = defaults["choices"], config["choices"]
    found = {
        group: (format_value(old.get(group)), format_value(now))
        for group, now in new.items()
        if not set("/@") & set(group) and numeric_config(f"{group}/{now}") is None and str(old.get(group)) != str(now)
    }
    other, typed = (*found, "model", "callbacks"), [word.lstrip("+~").partition("=")[::2] for word in overrides]
    told = set(found)
    for keys, values in group_aliases(
        diff_configs([{**defaults, "choices": None}, {**config, "choices": None}])
    ).items():
        known = [key for key in keys if key in dict(typed) or key.partition(".")[0] not in other]
        if known and known[0] not in found:
            told |= {*keys, *(SHORT_KEYS.get(key, key) for key in keys)}
            found[known[0]] = tuple(values)
    for key, value in typed:  # for example of a callback or a logger
        was = format_value(old[key] if key in old else lookup(defaults, *key.split(".")))
        if key not in told and was != value and numeric_config(f"{key}/{value}") is None:
            found[key] = (was, value)
    return [(name, f"{was} → {now}") for name, (was, now) in found.items()]


def flatten(node: Any, prefix: str) -> dict[str, Any]:
    """Return nested containers as one level of dotted keys."""
    if not isinstance(node, Mapping):
        return {prefix: node}
    return {key: value for name, child in node.items() for key, value in flatten(child, f"{prefix}.{name}").items()}


class Absent:
    """Marker for a key that a configuration does not have."""


def diff_configs(configs: Sequence[Mapping]) -> dict[str, list[Any]]:
    """Return the keys that differ, with the value in each configuration. Values may be nodes, or `Absent`."""
    found: dict[str, list[Any]] = {}

    def walk(key: str, nodes: list[Any]) -> None:
        if all(node == nodes[0] for node in nodes[1:]):
            return
        if not all(isinstance(node, Mapping) for node in nodes):
            found[key.removesuffix("._target_")] = nodes
            return
        names = dict.fromkeys(name for node in nodes for name in node if name not in PATH_KEYS)
        if key and len({str(node.get("name")) for node in nodes}) > 1:  # a class, by its name: `model`, `data`
            found[key] = [node.get("name", Absent) for node in nodes]
            names = [name for name in names if name not in ("name", "_target_")]
        for name in names:
            if key or name not in IGNORED_KEYS:
                walk(f"{key}.{name}".lstrip("."), [_child(node, name) for node in nodes])

    walk("", list(configs))
    return found


def _child(node: Mapping, name: Any) -> Any:
    child = node.get(name, Absent)
    silent = isinstance(child, Mapping) and str(child.get("_target_")).startswith(PASSIVE_CALLBACKS)
    return Absent if silent else child


def group_aliases(found: Mapping[str, list[Any]]) -> dict[tuple[str, ...], list[str]]:
    """Group keys with equal values in every configuration, shortest key first, and format the values.

    One choice appears under several keys: `beta.value` is also `model.beta_schedule.value`.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for key in sorted(found, key=lambda key: (key.split(".")[0] in REPEATING_GROUPS, key.count("."), key)):
        values = [format_value(value) for value in found[key]]
        same = (keys for keys, others in groups.items() if others == values and _alias(keys[0], key))
        first = next(same, None)
        if first is None:
            groups[(key,)] = values
        else:
            groups[(*first, key)] = groups.pop(first)
    return dict(sorted(groups.items(), key=lambda item: _rank(item[0][0])))


def _alias(first: str, key: str) -> bool:
    """Return whether two keys hold one choice: their last components match, or one repeats the group of the other."""
    one, other = first.split("."), key.split(".")
    return other[-1].endswith(one[-1]) or one[0] == other[-1]


def _rank(key: str) -> tuple:
    return (key.split(".")[0] not in ("model", "data"), key.split(".")[0] == "callbacks", key)


def format_value(value: Any) -> str:
    """Format a value for a table cell: a class by its name, a node by its class."""
    if value is Absent:
        return ABSENT_TEXT
    if isinstance(value, Mapping):
        return format_value(value["_target_"]) if "_target_" in value else f"{len(value)} settings"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
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
