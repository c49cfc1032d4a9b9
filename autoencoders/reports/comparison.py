"""What sets the configurations of runs apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoencoders.reports.run_folder import RunFolder
from autoencoders.reports.tables import NOTHING, Cell, Column, Row, Table

OWN = ("name", "folder", "runs", "resume", "debug", "logger", "after_fit")
"""Keys that say where a run is and who is told, not what it is. Applications change nothing of a run either."""

PLACES = ("dirpath", "root", "cache", "memory")
"""Last parts of keys that are places on a machine."""

SILENT = ("autoencoders.callbacks.", "lightning.pytorch.callbacks.ModelCheckpoint")
"""Callbacks that draw, tell and keep, and change nothing of what is learned."""

SEEDS = ("seed", "model.seed", "data.seed")
"""Keys of runs that are the same experiment once more."""

LATER = ("model", "callbacks")
"""Groups whose keys repeat others' by interpolation: the others give a difference its name."""

REPEATED = 8
"""Keys that repeat others and are named, at most."""

TYPED = {"beta.value": "beta", "latent_dim.size": "latent_dim"}
"""Keys with a shorter spelling on the command line."""


class Absent:
    """What stands where a configuration has no such key."""


def differing(configs: Sequence[Mapping]) -> dict[str, list[Any]]:
    """Key -> its value in each configuration, for keys that differ; values may be whole nodes, or `Absent`."""
    found: dict[str, list[Any]] = {}

    def walk(key: str, nodes: list[Any]) -> None:
        if all(node == nodes[0] for node in nodes[1:]):
            return
        if not all(isinstance(node, Mapping) for node in nodes):
            found[key.removesuffix("._target_")] = nodes
            return
        names = dict.fromkeys(name for node in nodes for name in node if name not in PLACES)
        if key and len({str(node.get("name")) for node in nodes}) > 1:  # a class by its name: `model`, `data`
            found[key] = [node.get("name", Absent) for node in nodes]
            names = [name for name in names if name not in ("name", "_target_")]
        for name in names:
            if key or name not in OWN:
                walk(f"{key}.{name}".lstrip("."), [_child(node, name) for node in nodes])

    walk("", list(configs))
    return found


def _child(node: Mapping, name: Any) -> Any:
    child = node.get(name, Absent)
    silent = isinstance(child, Mapping) and str(child.get("_target_")).startswith(SILENT)
    return Absent if silent else child


def grouped(found: Mapping[str, list[Any]]) -> dict[tuple[str, ...], list[str]]:
    """Keys that say the same of every configuration, the plainest first -> their values in words.

    One choice shows in many places (`beta.value` is also `model.penalty.value`); it is one difference.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for key in sorted(found, key=lambda key: (key.split(".")[0] in LATER, key.count("."), key)):
        values = [worded(value) for value in found[key]]
        same = (keys for keys, others in groups.items() if others == values and _alias(keys[0], key))
        first = next(same, None)
        if first is None:
            groups[(key,)] = values
        else:
            groups[(*first, key)] = groups.pop(first)
    return dict(sorted(groups.items(), key=lambda item: _rank(item[0][0])))


def _alias(first: str, key: str) -> bool:
    """Whether two keys name one choice: by the same word at their ends, or by the group of the first."""
    one, other = first.split("."), key.split(".")
    return other[-1].endswith(one[-1]) or one[0] == other[-1]


def _rank(key: str) -> tuple:
    return (key.split(".")[0] not in ("model", "data"), key.split(".")[0] == "callbacks", key)


def worded(value: Any) -> str:
    """A value in a cell: a class by its last name, a node by its class."""
    if value is Absent:
        return NOTHING
    if isinstance(value, Mapping):
        return worded(value["_target_"]) if "_target_" in value else f"{len(value)} settings"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(worded, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text.rpartition(".")[2] if text.startswith(("autoencoders.", "torch.", "lightning.")) else text


def compared(runs: Sequence[RunFolder]) -> dict[tuple[str, ...], list[str]]:
    """`grouped` differences of runs; a run without a configuration has none of the values."""
    known = [run for run in runs if run.config]
    if len(known) < 2:
        return {}
    groups = grouped(differing([run.config for run in known]))
    place = {id(run): i for i, run in enumerate(known)}
    return {
        keys: [values[place[id(run)]] if id(run) in place else NOTHING for run in runs]
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
        item for item in compared(runs).items() if item[0][0] not in without and len(set(item[1]) - {NOTHING}) > 1
    ]
    groups.sort(key=lambda item: not any(name in typed or TYPED.get(name) in typed for name in item[0]))
    chosen = [(TYPED.get(keys[0], keys[0]), values) for keys, values in groups[:3]]
    said = ([f"{key}={values[i]}" for key, values in chosen if values[i] != NOTHING] for i in range(len(runs)))
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
