"""Checks of command-line overrides for unknown names and for values of the wrong type, before Hydra applies them.

The value of an option must have the type of the default value in the composed configuration. If the default value is
null, any value is valid. For a fast start, this module imports only Hydra.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, QuotedString
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from autoencoders.config.arguments import NUMERIC_GROUPS, CommandLine, expand_numbers, quote
from autoencoders.config.compose import CONF, config_groups, search_folders
from autoencoders.types import UserError

KINDS: dict[str, tuple[type, ...]] = {
    "true or false": (bool,),
    "a number": (int, float),
    "text": (str, int, float),  # a text option accepts 32, for example as a name
    "a list": (list,),
    "a group of options": (dict,),
    "null": (type(None),),
}
"""Name of a type in messages -> Python types of valid values. An option has the first type that its default matches."""
ADDITIONAL_KINDS: dict[str, tuple[str, ...]] = {
    "trainer.devices": ("a list", "text"),  # a number, a list of device indices, or auto
    "trainer.max_epochs": ("null",),  # null: only trainer.max_steps ends the training
    "data.attributes": ("text",),  # all
    "data.size": ("a list",),  # height and width
    "seed": ("null",),
}
"""Option -> additional types, names in KINDS, that the option accepts besides the type of its default."""
REMOVABLE = ("callbacks.", "logger.", "after_fit.", "application.", "hydra.")
"""Prefixes of optional keys. The command line may remove only these keys with `~key`."""


MAX_COMBINATIONS = 64
"""Maximum number of combinations of group options in a sweep that are checked."""
OTHER_NAMES = {
    "lr": "optimizer.lr", "learning_rate": "optimizer.lr", "epochs": "trainer.max_epochs",
    "max_epochs": "trainer.max_epochs", "max_steps": "trainer.max_steps", "batch_size": "data.batch_size",
    "gpus": "trainer.devices", "devices": "trainer.devices", "latent_size": "latent_dim", "z_dim": "latent_dim",
    "zdim": "latent_dim",
}  # fmt: skip
"""Common option name from other projects, without its group -> option of this package with the same purpose."""
OTHER_ADVICE = {
    "ckpt_path": "To continue a run, set resume=<run folder or checkpoint>.",
    "num_workers": "Images are read from memory without worker processes. Remove this option.",
    "hparams_search": "Start a sweep with -m, for example -m beta=0.5,1,4, or with -m hydra/sweeper=optuna.",
}
"""Common option name from other projects for which this package has no option -> advice for the error message."""


def check_command_line(config_name: str, command_line: CommandLine) -> None:
    """Check that all overrides on the command line name existing options and have values of the right type.

    In a sweep over group options, one configuration is composed for each combination of these options, up to
    MAX_COMBINATIONS. All other overrides are checked against each composed configuration.

    Args:
        config_name: name of the configuration, for example `train`.
        command_line: arguments from `split_arguments`, after `expand_numbers`.

    Raises:
        UserError: if an override names an unknown option, or its value does not have the type of the default value.
        HydraException: if the overrides cannot be parsed or composed.
    """
    overrides = OverridesParser.create().parse_overrides(command_line.overrides)
    folders = searched_folders(overrides, command_line)
    groups = config_groups(search_folders(folders))
    selections = [override for override in overrides if is_selection(override, groups)]
    values = [override for override in overrides if not is_selection(override, groups)]
    search_path = [f"hydra.searchpath=[{','.join(quote(folder) for folder in folders)}]"] if folders else []
    combinations = itertools.product(*(selected_options(override, groups) for override in selections))
    name = command_line.flag("-cn", "--config-name") or config_name
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for combination in itertools.islice(combinations, MAX_COMBINATIONS):
            composed = hydra.compose(name, [*search_path, *combination], return_hydra_config=True)
            config = cast("dict[str, Any]", OmegaConf.to_container(composed, resolve=False))
            check_sweep_parameters(config.pop("hydra")["sweeper"].get("params") or {})
            check_values(values, config)


def check_sweep_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise UserError if `hydra.sweeper.params` of a configuration sets a group to numbers.

    On the command line, `expand_numbers` replaces such numbers. Hydra does not accept them.

    Args:
        parameters: option -> text of its values.
    """
    for name, group in NUMERIC_GROUPS.items():
        argument = f"{name}={parameters.get(name)}"
        if name in parameters and expand_numbers([argument]) != [argument]:
            raise UserError(
                f"hydra.sweeper.params.{name} must be options of the group, got {parameters[name]}. For numbers, set "
                f"the key {name}.{group.field} instead of {name}."
            )


def searched_folders(overrides: Sequence[Override], command_line: CommandLine) -> list[str]:
    """Return the folders that the command line adds to Hydra's search path, with --config-dir or hydra.searchpath."""
    folder = command_line.flag("-cd", "--config-dir")
    folders = [folder] if folder else []
    for override in overrides:
        if override.key_or_group == "hydra.searchpath" and not override.is_sweep_override():
            entries = unquote(override.value())
            folders += entries if isinstance(entries, list) else [str(entries)]
    return folders


def is_selection(override: Override, groups: Mapping[str, Sequence[str]]) -> bool:
    """Return whether an override selects an option of a config group (`model=vae`) instead of setting a value.

    Args:
        override: the parsed override.
        groups: config group -> options, from `config_groups`.
    """
    key = override.key_or_group
    return key in groups or "/" in key or override.package is not None


def selected_options(override: Override, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one override `<group>=<option>` for each option that an override selects.

    A sweep such as `model=vae,cvae` selects more than one option.

    Args:
        override: the parsed override.
        groups: config group -> options, from `config_groups`.
    """
    value, line = override.value(), override.input_line or ""
    key = line.partition("=")[0]
    if isinstance(value, Glob):
        return [f"{key}={option}" for option in value.filter(list(groups.get(override.key_or_group, [])))]
    if override.is_discrete_sweep():
        return [f"{key}={option}" for option in override.sweep_string_iterator()]
    return [line]


def check_values(overrides: Sequence[Override], config: dict[str, Any]) -> None:
    """Check overrides that set values, in the order of the command line.

    Args:
        overrides: the parsed overrides.
        config: composed configuration as plain dicts and lists, with unresolved interpolations. Options that an
            override adds (`+key=value`) are added to this dict, so that later overrides may set these options.

    Raises:
        UserError: if an override names an unknown option, or its value does not have the type of the default value.
    """
    for override in overrides:
        for value in override_values(override):
            check_override(override, value, config)
        if override.is_add() or override.is_force_add():
            _set(config, override.key_or_group, next(iter(override_values(override)), None))


def override_values(override: Override) -> list[Any]:
    """Return a list of the values that an override sets: one value, or the values of a sweep.

    The list is [None] if the override removes an option, [start, end] for an interval, and empty for a glob.
    """
    if override.is_delete():
        return [None]
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [value.start, value.end]
    if isinstance(value, Glob):
        return []
    return [unquote(v) for v in override.sweep_iterator()] if override.is_discrete_sweep() else [unquote(value)]


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for name in parents:
        child = config.setdefault(name, {})
        if not isinstance(child, dict):
            return
        config = child
    config[last] = value


def check_override(override: Override, value: Any, config: Mapping[str, Any]) -> None:
    """Check the option name and one value of an override against a composed configuration.

    Args:
        override: the parsed override.
        value: value of the override, or one value of a sweep.
        config: composed configuration as plain dicts and lists, with unresolved interpolations.

    Raises:
        UserError: if the option does not exist or must not be removed, or the value does not have the type of the
            default value.
    """
    key = override.key_or_group
    if key.partition(".")[0] == "hydra":
        return
    exists, default = _find_default(config, key)
    if override.is_delete():
        if not key.startswith(REMOVABLE):
            raise UserError(f"~{key} would remove a required option. Set {key}=<value> instead.")
    elif exists:
        _check_value(key, default, _resolve(config, value), config)
    elif not (override.is_add() or override.is_force_add()):
        raise UserError(f"There is no option {key}.{_unknown_option_hint(override, config)}")


def _check_value(key: str, default: Any, value: Any, config: Mapping[str, Any]) -> None:
    """Raise UserError if a value for an option does not have the type of the default value."""
    if not _has_unknown_type(value) and not isinstance(value, Mapping):
        group = _referenced_group(config, default)
        if group:
            raise UserError(f"{key} cannot be set, because its value is a copy of {default}. Set {group}=<option>.")
    _check_kind(key, default, value)


def _unknown_option_hint(override: Override, config: Mapping[str, Any]) -> str:
    """Return a hint for an unknown option: the option that the user may mean, or how to add the unknown option."""
    key = override.key_or_group
    last = key.rpartition(".")[2]
    if last in OTHER_ADVICE:
        return f" {OTHER_ADVICE[last]}"
    if last in OTHER_NAMES and _find_default(config, OTHER_NAMES[last])[0]:
        return f" Did you mean {OTHER_NAMES[last]}?"
    suggestion = suggest_name(key, list(_keys(config)))
    if suggestion or "." not in key:
        return suggestion
    exists, parent = _find_default(config, key.rpartition(".")[0])
    if exists and isinstance(parent, Mapping) and "_target_" in parent:
        return f" If the class accepts this option, use +{override.input_line}."
    return ""


def _resolve(config: Mapping[str, Any], value: Any) -> Any:
    """Return the value of an interpolation. Other values, and interpolations with an error, are returned unchanged."""
    if not (isinstance(value, str) and "${" in value):
        return value
    try:
        node = OmegaConf.create({**config, "value_to_check": value})
        resolved = OmegaConf.select(node, "value_to_check")
    except OmegaConfBaseException:
        return value
    return OmegaConf.to_container(resolved) if OmegaConf.is_config(resolved) else resolved


def _referenced_group(config: Mapping[str, Any], default: Any) -> str:
    """Return the config group to which a default value refers: `net` for `${net.encoder}`.

    Return an empty string if the default value is not an interpolation, or does not refer to a config node.
    """
    reference = re.fullmatch(r"\$\{([\w.]+)\}", default) if isinstance(default, str) else None
    if reference is None:
        return ""
    exists, node = _find_default(config, reference[1])
    return reference[1].partition(".")[0] if exists and isinstance(node, Mapping) else ""


def suggest_name(name: str, known: list[str], form: str = "{}") -> str:
    """Return ` Did you mean <known name>?` for the most similar known name, or an empty string without a similar name.

    Options in the same group are compared first. If the group is unknown, full names and last components of names are
    compared: `lr` is similar to `optimizer.lr`.

    Args:
        name: the unknown name.
        known: all valid names.
        form: format string for the suggested name, for example `model={}`.
    """
    group, _, last = name.rpartition(".")
    by_last = {key.rpartition(".")[2]: key for key in sorted(known, key=len, reverse=True)}
    siblings = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == group}
    matches = [siblings[match] for match in difflib.get_close_matches(last, siblings, 1, 0.6)]
    if not matches and group not in known:
        matches = difflib.get_close_matches(name, known, 1, 0.6)
        matches = matches or [by_last[match] for match in difflib.get_close_matches(last, by_last, 1, 0.7)]
    return f" Did you mean {form.format(matches[0])}?" if matches else ""


def _find_default(config: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    """Return whether an option exists, and the default value of the option with unresolved interpolations.

    Raises:
        UserError: if a parent of the option is an interpolation, so that the option cannot be set at this key.
    """
    node: Any = config
    prefix = ""
    for name in key.split("."):
        if prefix and isinstance(node, str) and "${" in node:
            rest = key.removeprefix(f"{prefix}.")
            raise UserError(
                f"{prefix} has no options of its own, because it is a copy of {node}. Set {rest} in {node} instead."
            )
        if not isinstance(node, Mapping) or name not in node:
            return False, None
        node, prefix = node[name], f"{prefix}.{name}".lstrip(".")
    return True, node


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
    """Return whether the type of a value is unknown, because the value is missing (`???`) or an interpolation."""
    return isinstance(value, str) and (value == "???" or "${" in value)


def _is_of_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "true or false"
    return isinstance(value, KINDS.get(kind, ()))


def unquote(value: Any) -> Any:
    """Return a value from Hydra's parser in which quoted strings are replaced by plain strings."""
    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, Mapping):
        return {str(name): unquote(child) for name, child in value.items()}
    return [unquote(child) for child in value] if isinstance(value, list) else value


def _keys(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of a configuration, including keys of nested dicts, but without the key `hydra`."""
    for key, child in node.items():
        name = str(key)
        if f"{prefix}{name}" == "hydra" or name.startswith("_"):
            continue
        yield f"{prefix}{name}"
        if isinstance(child, Mapping):
            yield from _keys(child, f"{prefix}{name}.")
