"""Checks of command-line overrides for unknown names and for values of the wrong type, before Hydra applies them.

Names are checked first, against the composed configuration. This imports only Hydra, so that a wrong name is reported
immediately. `autoencoders.config.signatures` checks the types of the values.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, QuotedString
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from autoencoders.config.arguments import NUMERIC_GROUPS, CommandLine, expand_numbers, quote
from autoencoders.config.compose import CONF, config_groups, search_folders
from autoencoders.config.signatures import check_option, check_type, default_types
from autoencoders.config.suggestions import suggest_name
from autoencoders.types import UserError
from autoencoders.utils.startup import load_heavy_libraries

NULLABLE = ("seed",)
"""Options that are not options of a class and may be null although their default is not null."""
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
    "ckpt_path": "To continue a run, set resume=<run folder or checkpoint>. To start a new run from trained weights, "
    "set init_from=<run folder or checkpoint>.",
    "num_workers": "Images are read from memory without worker processes. Remove this option.",
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
    settings: list[Setting] = []
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for combination in itertools.islice(combinations, MAX_COMBINATIONS):
            composed = hydra.compose(name, [*search_path, *combination], return_hydra_config=True)
            config = cast("dict[str, Any]", OmegaConf.to_container(composed, resolve=False))
            check_sweep_parameters(config.pop("hydra")["sweeper"].get("params") or {})
            settings += collect_settings(values, config)
    check_types(settings)


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


class Setting(NamedTuple):
    """An existing option and its new value.

    Attributes:
        key: name of the option, for example `data.batch_size`.
        value: new value, or one value of a sweep.
        default: value in the composed configuration.
        target: class or function with this option (`_target_` of the config node), or None.
    """

    key: str
    value: Any
    default: Any
    target: str | None


def collect_settings(overrides: Sequence[Override], config: dict[str, Any]) -> list[Setting]:
    """Check the names in overrides that set values, and return the values, in the order of the command line.

    Args:
        overrides: the parsed overrides.
        config: composed configuration as plain dicts and lists, with unresolved interpolations. Options that an
            override adds (`+key=value`) are added to this dict, so that later overrides may set these options.

    Raises:
        UserError: if an override names an unknown option, or an option that cannot be set or removed.
    """
    settings = []
    for override in overrides:
        key = override.key_or_group
        if _check_name(override, config):
            for value in override_values(override):
                settings.append(_setting(key, _resolve(config, value), config))
        if override.is_add() or override.is_force_add():
            _set(config, key, next(iter(override_values(override)), None))
    return settings


def check_types(settings: Sequence[Setting]) -> None:
    """Check the types of values. If a class defines an option, the class is imported.

    Raises:
        UserError: if a value has the wrong type.
    """
    checked: list[Setting] = []
    for setting in settings:
        if setting in checked or _has_unknown_type(setting.value) or _has_unknown_type(setting.default):
            continue
        checked.append(setting)
        if setting.value is None and (setting.key.startswith(REMOVABLE) or setting.key in NULLABLE):
            continue
        if setting.target is None:
            check_type(setting.key, default_types(setting.default), setting.value)
        else:
            load_heavy_libraries()
            node, _, name = setting.key.rpartition(".")
            check_option(node, setting.target, name, setting.value)


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


def _check_name(override: Override, config: Mapping[str, Any]) -> bool:
    """Check the option name of an override against a composed configuration.

    Args:
        override: the parsed override.
        config: composed configuration as plain dicts and lists, with unresolved interpolations.

    Returns:
        Whether the override sets the value of an existing option.

    Raises:
        UserError: if the option does not exist or must not be removed.
    """
    key = override.key_or_group
    if key.partition(".")[0] == "hydra":
        return False
    exists = _find_default(config, key)[0]
    if override.is_delete():
        if not key.startswith(REMOVABLE):
            raise UserError(f"~{key} would remove a required option. Set {key}=<value> instead.")
        return False
    if not exists and not (override.is_add() or override.is_force_add()):
        raise UserError(f"There is no option {key}.{_unknown_option_hint(override, config)}")
    return exists


def _setting(key: str, value: Any, config: Mapping[str, Any]) -> Setting:
    """Return a setting, or raise UserError if the value of the option is a copy of a config node."""
    _, default = _find_default(config, key)
    if not _has_unknown_type(value) and not isinstance(value, Mapping):
        group = _referenced_group(config, default)
        if group:
            raise UserError(f"{key} cannot be set, because its value is a copy of {default}. Set {group}=<option>.")
    exists, node = _find_default(config, key.rpartition(".")[0])
    target = node.get("_target_") if exists and isinstance(node, Mapping) else None
    return Setting(key, value, default, target)


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


def _has_unknown_type(value: Any) -> bool:
    """Return whether the type of a value is unknown, because the value is missing (`???`) or an interpolation."""
    return isinstance(value, str) and (value == "???" or "${" in value)


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
