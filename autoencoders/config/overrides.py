"""Checks of command-line overrides while Hydra composes: unknown names, and values of the wrong type.

The type of an option is that of its default in the composed configuration. If the default is null, any value is
accepted. Every entry point imports this module at the top; it imports only Hydra.
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
    "text": (str, int, float),  # 32 and 2024-01 may be text
    "a list": (list,),
    "a group of options": (dict,),
    "null": (type(None),),
}
"""Names of the types of defaults, and the accepted Python types. The first that matches the default applies."""
ALSO = {
    "trainer.devices": ("a list", "text"),  # a number, a list of devices, or auto
    "trainer.max_epochs": ("null",),  # together with trainer.max_steps
    "data.attributes": ("text",),  # all
    "seed": ("null",),
}
"""Further types that some options accept."""
REMOVABLE = ("callbacks.", "logger.", "after_fit.", "application.", "hydra.")
"""Prefixes of options that `~key` may remove. All other options are required."""


def check_override(override: Override, config: DictConfig) -> None:
    """Raise UserError if an override names an unknown option, or its value does not have the type of the default.

    Args:
        override: the parsed override.
        config: the configuration that it is applied to, with all groups composed.
    """
    key = override.key_or_group
    if key.partition(".")[0] == "hydra" or override.package is not None:
        return
    found, default = _default(config, key)
    if override.is_delete():
        if not key.startswith(REMOVABLE):
            raise UserError(f"~{key} would remove a required option. Set {key}=<value> instead.")
        return
    if not found:
        if override.is_add() or override.is_force_add():
            return
        near = suggest_name(key, list(_keys(config)))
        parent = OmegaConf.select(config, key.rpartition(".")[0], throw_on_missing=False) if "." in key else None
        if not near and isinstance(parent, DictConfig) and "_target_" in parent:
            near = f" To set an option of the class that conf/ does not list, use +{override.input_line}."
        raise UserError(f"There is no option {key}.{near}")
    value = _looked_up(config, _plain(override.value()))
    if not _open(value) and not isinstance(value, Mapping) and (elsewhere := _part(config, default)):
        raise UserError(f"{key} refers to {default}, which has options of its own. Set {elsewhere}=<option>.")
    _check_kind(key, default, value)


def _looked_up(config: DictConfig, value: Any) -> Any:
    """Resolve an interpolation if possible; return any other value unchanged."""
    if not (isinstance(value, str) and "${" in value):
        return value
    node = OmegaConf.create({"value": value})
    node._set_parent(config)
    try:
        return OmegaConf.to_container(node, resolve=True)["value"]
    except OmegaConfBaseException:
        return value


def _part(config: DictConfig, default: Any) -> str:
    """Return the group of a default that refers to a node with options, such as `net` for `${net.encoder}`.

    It is an empty string for any other default.
    """
    elsewhere = re.fullmatch(r"\$\{([\w.]+)\}", default) if isinstance(default, str) else None
    node = OmegaConf.select(config, elsewhere[1], throw_on_missing=False) if elsewhere else None
    return elsewhere[1].partition(".")[0] if isinstance(node, DictConfig) else ""


def suggest_name(name: str, known: list[str], form: str = "{}") -> str:
    """Return ` Did you mean <nearest name>?`, or an empty string if no known name is similar.

    If the group exists, only its options are compared; otherwise full names, and last components: `lr` is similar to
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
    """Return whether an option exists, and its default, with interpolations unresolved."""
    node, passed = config, ""
    for part in key.split("."):
        if node._is_interpolation() and passed:
            rest = key.removeprefix(f"{passed}.")
            raise UserError(
                f"{passed} refers to {node._value()} and has no options of its own. Set {rest} there instead."
            )
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
        usual = "" if isinstance(default, Mapping) else f" (default: {default!r})"
        raise UserError(f"{key} must be {' or '.join(allowed)}, got {value!r}{usual}.")
    if isinstance(value, list) and isinstance(default, list) and default:
        for member in value:
            _check_kind(key, default[0], member)


def _open(value: Any) -> bool:
    """Return whether a value has no known type yet: it is missing, or an interpolation."""
    return isinstance(value, str) and (value == "???" or "${" in value)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "true or false"
    return isinstance(value, KINDS.get(kind, ()))


def _plain(value: Any) -> Any:
    """Return a parsed value with quoted strings as plain strings."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, Mapping):
        return {str(name): _plain(child) for name, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a configuration, including groups."""
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
    """Let Hydra call `check_override` before it applies an override, in every entry point, sweep and launcher."""
    if getattr(ConfigLoaderImpl._apply_overrides_to_config, "watched", False):
        return
    plain = ConfigLoaderImpl._apply_overrides_to_config

    def apply(overrides: list[Override], cfg: DictConfig) -> None:
        repeated = len({override.key_or_group for override in overrides}) < len(overrides)
        before = (
            copy.deepcopy(cfg) if repeated else cfg
        )  # an option that is set twice is checked against its default both times
        for override in overrides:
            check_override(override, before)
            plain([override], cfg)
            if repeated and (override.is_add() or override.is_force_add()):
                plain([override], before)

    apply.watched = True
    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(apply)


_watch()
