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

KINDS: dict[str, tuple[type, ...]] = {
    "true or false": (bool,),
    "a number": (int, float),
    "text": (str, int, float),  # 32 and 2024-01 may be text
    "a list": (list,),
    "a group of options": (dict,),
    "null": (type(None),),
}
"""Names of the types of defaults, with the accepted Python types. The first that matches the default applies."""
ADDITIONAL_KINDS: dict[str, tuple[str, ...]] = {
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
    exists, default = _find_default(config, key)
    if override.is_delete():
        if not key.startswith(REMOVABLE):
            raise UserError(f"~{key} would remove a required option. Set {key}=<value> instead.")
    elif exists:
        _check_value(key, default, _resolve(config, _unquote(override.value())), config)
    elif not (override.is_add() or override.is_force_add()):
        raise UserError(f"There is no option {key}.{_unknown_option_hint(override, config)}")


def _check_value(key: str, default: Any, value: Any, config: DictConfig) -> None:
    """Raise UserError if a value does not have the type of its default."""
    if not _has_unknown_type(value) and not isinstance(value, Mapping):
        group = _referenced_group(config, default)
        if group:
            raise UserError(f"{key} refers to {default}, which has options of its own. Set {group}=<option>.")
    _check_kind(key, default, value)


def _unknown_option_hint(override: Override, config: DictConfig) -> str:
    """Return a hint for an option that does not exist: a similar name, or how to add an option of a class."""
    key = override.key_or_group
    suggestion = suggest_name(key, list(_keys(config)))
    if suggestion or "." not in key:
        return suggestion
    parent = OmegaConf.select(config, key.rpartition(".")[0], throw_on_missing=False)
    if isinstance(parent, DictConfig) and "_target_" in parent:
        return f" To set an option of the class that conf/ does not list, use +{override.input_line}."
    return ""


def _resolve(config: DictConfig, value: Any) -> Any:
    """Resolve an interpolation if possible; return any other value unchanged."""
    if not (isinstance(value, str) and "${" in value):
        return value
    node = OmegaConf.create({"value": value})
    node._set_parent(config)
    try:
        resolved = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException:
        return value
    return resolved["value"] if isinstance(resolved, dict) else value


def _referenced_group(config: DictConfig, default: Any) -> str:
    """Return the group that a default refers to, if that node has options: `net` for `${net.encoder}`, else ""."""
    reference = re.fullmatch(r"\$\{([\w.]+)\}", default) if isinstance(default, str) else None
    if reference is None:
        return ""
    node = OmegaConf.select(config, reference[1], throw_on_missing=False)
    return reference[1].partition(".")[0] if isinstance(node, DictConfig) else ""


def suggest_name(name: str, known: list[str], form: str = "{}") -> str:
    """Return ` Did you mean <nearest name>?`, or an empty string if no known name is similar.

    If the group exists, only its options are compared; otherwise full names, and last components: `lr` is similar to
    `optimizer.lr`.
    """
    group, _, last = name.rpartition(".")
    by_last = {key.rpartition(".")[2]: key for key in sorted(known, key=len, reverse=True)}
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == group}
    matches = [siblings[match] for match in difflib.get_close_matches(last, siblings, 1, 0.6)]
    if not matches and group not in known:
        matches = difflib.get_close_matches(name, known, 1, 0.6)
        matches = matches or [by_last[match] for match in difflib.get_close_matches(last, by_last, 1, 0.7)]
    return f" Did you mean {form.format(matches[0])}?" if matches else ""


def _find_default(config: DictConfig, key: str) -> tuple[bool, Any]:
    """Return whether an option exists, and its default, with interpolations unresolved."""
    node: Any = config
    prefix = ""
    for name in key.split("."):
        if node._is_interpolation() and prefix:
            rest = key.removeprefix(f"{prefix}.")
            raise UserError(
                f"{prefix} refers to {node._value()} and has no options of its own. Set {rest} there instead."
            )
        if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
            return False, None
        if name not in node.keys():  # noqa: SIM118 (`in` is False for ??? and for what cannot be resolved)
            return False, None
        node = node._get_node(name)
        prefix = f"{prefix}.{name}" if prefix else name
    return True, OmegaConf.to_container(node) if OmegaConf.is_config(node) else node._value()


def _check_kind(key: str, default: Any, value: Any) -> None:
    if default is None or _has_unknown_type(default) or _has_unknown_type(value):
        return
    if value is None and key.startswith(REMOVABLE):
        return
    kind = next(name for name, types in KINDS.items() if isinstance(default, types))
    allowed = [kind, *ADDITIONAL_KINDS.get(key, ())]
    if not any(_is_of_kind(value, name) for name in allowed):
        default_hint = "" if isinstance(default, Mapping) else f" (default: {default!r})"
        raise UserError(f"{key} must be {' or '.join(allowed)}, got {value!r}{default_hint}.")
    if isinstance(value, list) and isinstance(default, list) and default:
        for member in value:
            _check_kind(key, default[0], member)


def _has_unknown_type(value: Any) -> bool:
    """Return whether a value has no known type yet: it is missing, or an interpolation."""
    return isinstance(value, str) and (value == "???" or "${" in value)


def _is_of_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "true or false"
    return isinstance(value, KINDS.get(kind, ()))


def _unquote(value: Any) -> Any:
    """Return a parsed value with quoted strings as plain strings."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, Mapping):
        return {str(name): _unquote(child) for name, child in value.items()}
    return [_unquote(child) for child in value] if isinstance(value, list) else value


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a configuration, including groups."""
    if node._is_none() or node._is_missing() or node._is_interpolation():
        return
    for key in node.keys():  # noqa: SIM118
        name = str(key)
        if f"{prefix}{name}" == "hydra" or name.startswith("_"):
            continue
        yield f"{prefix}{name}"
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{prefix}{name}.")


def _install_check() -> None:
    """Let Hydra call `check_override` before it applies an override, in every entry point, sweep and launcher."""
    original = ConfigLoaderImpl._apply_overrides_to_config
    if original.__module__ == __name__:  # already installed
        return

    def apply(overrides: list[Override], cfg: DictConfig) -> None:
        repeated = len({override.key_or_group for override in overrides}) < len(overrides)
        # An option that is set twice is checked against its default both times.
        defaults = copy.deepcopy(cfg) if repeated else cfg
        for override in overrides:
            check_override(override, defaults)
            original([override], cfg)
            if repeated and (override.is_add() or override.is_force_add()):
                original([override], defaults)

    # Hydra has no public hook between composition and overrides.
    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(apply)  # type: ignore[method-assign]


_install_check()
