"""Options of the command line, checked while Hydra composes: unknown names, and values of another kind.

What an option may hold is read off its default in the composed configuration: a number stays a number, text stays
text, a list a list, and where the default is null anything may stand. Hydra itself takes whatever it can parse. This
module is imported by every door at its top; only hydra is loaded here.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from autoencoders.types import UserError

KINDS = {
    "true or false": (bool,),
    "a number": (int, float),
    "text": (str, int, float),  # 32 and 2024-01 are words too
    "a list": (list,),
    "a group of options": (dict,),
    "null": (type(None),),
}
"""What a default's kind is called, and the types that may take its place; the first that fits the default."""
ALSO = {
    "trainer.devices": ("a list", "text"),  # all, one by one, or auto
    "trainer.max_epochs": ("null",),  # beside trainer.max_steps
    "data.attributes": ("text",),  # all
    "seed": ("null",),
}
"""Options that take more than their default shows."""
REMOVABLE = ("callbacks.", "logger.", "after_fit.", "application.", "hydra.")
"""Where `~key` may take something away: every other option is read by somebody."""


def check_override(override: Override, config: DictConfig) -> None:
    """Raise UserError where an option of the command line is unknown, or holds another kind of value than its default.

    Args:
        override: what was typed.
        config: what it is applied to, with all groups composed.
    """
    key = override.key_or_group
    if key.partition(".")[0] == "hydra" or override.package is not None:
        return
    found, default = _default(config, key)
    if override.is_delete():
        if not key.startswith(REMOVABLE):
            raise UserError(f"~{key} takes away an option that a run reads. Set {key}=<value> instead.")
        return
    if not found:
        if override.is_add() or override.is_force_add():
            return
        near = suggest_name(key, list(_keys(config)))
        parent = OmegaConf.select(config, key.rpartition(".")[0], throw_on_missing=False) if "." in key else None
        if not near and isinstance(parent, DictConfig) and "_target_" in parent:
            near = f" One that the class takes, and conf/ does not list, is given as +{override.input_line}."
        raise UserError(f"There is no option {key}.{near}")
    value = _looked_up(config, _plain(override.value()))
    if not _open(value) and not isinstance(value, Mapping) and (elsewhere := _part(config, default)):
        raise UserError(f"{key} is {default}, a part with options of its own. Choose {elsewhere}=<option>.")
    _check_kind(key, default, value)


def _looked_up(config: DictConfig, value: Any) -> Any:
    """What an interpolation stands for, where that can be said by now; any other value as it is."""
    if not (isinstance(value, str) and "${" in value):
        return value
    node = OmegaConf.create({"value": value})
    node._set_parent(config)
    try:
        return OmegaConf.to_container(node, resolve=True)["value"]
    except OmegaConfBaseException:
        return value


def _part(config: DictConfig, default: Any) -> str:
    """The group that a default stands for, where that is a part with options: `net` of `${net.encoder}`."""
    elsewhere = re.fullmatch(r"\$\{([\w.]+)\}", default) if isinstance(default, str) else None
    node = OmegaConf.select(config, elsewhere[1], throw_on_missing=False) if elsewhere else None
    return elsewhere[1].partition(".")[0] if isinstance(node, DictConfig) else ""


def suggest_name(name: str, known: list[str], form: str = "{}") -> str:
    """` Did you mean <the nearest of the known names>?`, or nothing where none is near.

    Within a group of options that there is, those of the group are compared; else whole names, and last parts: `lr` is
    `optimizer.lr`.
    """
    group, _, last = name.rpartition(".")
    ends = {key.rpartition(".")[2]: key for key in sorted(known, key=len, reverse=True)}
    beside = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == group}
    near = [beside[word] for word in difflib.get_close_matches(last, beside, 1, 0.6)]
    if not near and group not in known:
        near = difflib.get_close_matches(name, known, 1, 0.6)
        near = near or [ends[word] for word in difflib.get_close_matches(last, ends, 1, 0.7)]
    return f" Did you mean {form.format(near[0])}?" if near else ""


def _default(config: DictConfig, key: str) -> tuple[bool, Any]:
    """Whether there is such an option, and what it is, interpolations as they stand."""
    node, passed = config, ""
    for part in key.split("."):
        if node._is_interpolation() and passed:
            rest = key.removeprefix(f"{passed}.")
            raise UserError(f"{passed} is {node._value()}, and takes nothing of its own. Set {rest} there instead.")
        if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
            return False, None
        if part not in node.keys():  # noqa: SIM118 (`in` is False for ??? and for what cannot be resolved)
            return False, None
        node, passed = node._get_node(part), f"{passed}.{part}" if passed else part
    return True, OmegaConf.to_container(node) if OmegaConf.is_config(node) else node._value()


def _check_kind(key: str, default: Any, value: Any) -> None:
    if default is None or _open(default) or _open(value) or (value is None and key.startswith(REMOVABLE)):
        return
    kind = next(name for name, types in KINDS.items() if isinstance(default, types))
    allowed = [kind, *ALSO.get(key, ())]
    if not any(_is(value, name) for name in allowed):
        usual = "" if isinstance(default, Mapping) else f" (it is {default!r} by default)"
        raise UserError(f"{key} must be {' or '.join(allowed)}, and is {value!r}{usual}.")
    if isinstance(value, list) and isinstance(default, list) and default:
        for member in value:
            _check_kind(key, default[0], member)


def _open(value: Any) -> bool:
    """Whether a value says nothing of its kind: still to be given, or to be looked up elsewhere."""
    return isinstance(value, str) and (value == "???" or "${" in value)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "true or false"
    return isinstance(value, KINDS.get(kind, ()))


def _plain(value: Any) -> Any:
    """A parsed value with its quoted texts as texts."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, Mapping):
        return {str(name): _plain(child) for name, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Every dotted name of a configuration, groups too."""
    if node._is_none() or node._is_missing() or node._is_interpolation():
        return
    for name in node.keys():  # noqa: SIM118
        if f"{prefix}{name}" == "hydra" or str(name).startswith("_"):
            continue
        yield f"{prefix}{name}"
        child = node._get_node(name)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{prefix}{name}.")


def _watch() -> None:
    """Have Hydra ask `check_override` before it applies an option, in every door, sweep and launcher."""
    if getattr(ConfigLoaderImpl._apply_overrides_to_config, "watched", False):
        return
    plain = ConfigLoaderImpl._apply_overrides_to_config

    def apply(overrides: list[Override], cfg: DictConfig) -> None:
        repeated = len({override.key_or_group for override in overrides}) < len(overrides)
        before = copy.deepcopy(cfg) if repeated else cfg  # an option given twice has its default both times
        for override in overrides:
            check_override(override, before)
            plain([override], cfg)
            if repeated and (override.is_add() or override.is_force_add()):
                plain([override], before)

    apply.watched = True
    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(apply)


_watch()
