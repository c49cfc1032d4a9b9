"""Preparation of command-line arguments for Hydra: numbers for config groups, quotes, and lists.

For a fast start, this module imports only Hydra.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from autoencoders.types import UserError

FLAGS = {
    "-h": False, "--help": False, "--hydra-help": False, "--version": False, "-c": True, "--cfg": True,
    "--resolve": False, "-p": True, "--package": True, "-r": False, "--run": False, "-m": False, "--multirun": False,
    "-sc": False, "--shell-completion": False, "-cp": True, "--config-path": True, "-cn": True, "--config-name": True,
    "-cd": True, "--config-dir": True, "--experimental-rerun": True, "-i": False, "--info": False,
}  # fmt: skip
"""Command-line flag of Hydra -> whether the next argument is the value of the flag.

Source: https://hydra.cc/docs/advanced/hydra-command-line-flags. The value of `--info` is optional. It is written as
`--info=value`, or is the next argument if that argument is in INFO_TOPICS.
"""
INFO_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""Valid values for the flag `--info`."""


class NumericGroup(NamedTuple):
    """A config group that accepts a number in place of an option.

    Attributes:
        field: key in the group that the number sets, for example `value` (`beta.value`).
        option: option that is selected together with a number. An empty string keeps the default option.
        kind: type of the number, int or float.
        minimum: smallest valid number.
    """

    field: str
    option: str
    kind: type
    minimum: float

    def describe(self) -> str:
        """Return a description of the valid numbers for a message, such as `an integer >= 1`."""
        return f"{'an integer' if self.kind is int else 'a finite number'} >= {self.minimum:g}"


NUMERIC_GROUPS = {
    "latent_dim": NumericGroup("size", "", int, 1),
    "beta": NumericGroup("value", "constant", float, 0),
}
"""Config groups that accept a number: name of the group -> how the number is used."""


class CommandLine(NamedTuple):
    """Command-line arguments, divided into flags and overrides.

    Attributes:
        flags: flag -> value of the flag, or an empty string for a flag without a value.
        overrides: all arguments that are not flags, in the order of the command line.
    """

    flags: dict[str, str]
    overrides: list[str]

    @property
    def is_multirun(self) -> bool:
        """Whether the flags start a sweep (`-m` or `--multirun`)."""
        return bool({"-m", "--multirun"} & self.flags.keys())

    def flag(self, short: str, long: str) -> str | None:
        """Return the value of a flag from its short or long name, or None if the flag is not given."""
        return self.flags.get(short, self.flags.get(long))


def split_arguments(arguments: Sequence[str]) -> CommandLine:
    """Divide arguments into flags and overrides.

    Raises:
        UserError: if a flag is unknown, or `-m` follows an override. Also for the flag `--experimental-rerun`, because
            Hydra would then load a file that may execute code.
    """
    flags: dict[str, str] = {}
    overrides: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        name, sign, value = argument.partition("=")
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        if name not in FLAGS:
            raise UserError(f"There is no flag {name}. Use group=option and key=value, and see --help for all options.")
        if overrides and remaining and name in ("-m", "--multirun"):
            raise UserError(f"{name} must be the first argument. Put {name} first, before {overrides[0]}.")
        if not sign and remaining and (FLAGS[name] or (name in ("-i", "--info") and remaining[0] in INFO_TOPICS)):
            value = remaining.pop(0)
        flags[name] = value
    if "--experimental-rerun" in flags:
        raise UserError(
            "--experimental-rerun loads a pickle file and is not allowed, because the file may execute code. "
            "Use resume=<run> instead."
        )
    return CommandLine(flags, overrides)


def expand_numbers(arguments: Sequence[str]) -> list[str]:
    """Replace arguments that set a config group to a number by arguments that Hydra accepts.

    `beta=4` becomes `beta=constant beta.value=4`. In a sweep, `latent_dim=16,32` becomes `latent_dim.size=16,32`.

    Args:
        arguments: all command-line arguments.

    Returns:
        The new arguments. Other arguments are unchanged.

    Raises:
        UserError: if a number is out of range, or a sweep over one group contains numbers and options.
    """
    expanded = []
    for argument in arguments:
        name, sign, text = argument.partition("=")
        if not sign or name not in NUMERIC_GROUPS or not _has_numbers(argument):
            expanded.append(argument)
            continue
        group = NUMERIC_GROUPS[name]
        expanded += [f"{name}={group.option}"] if group.option else []
        expanded.append(f"{name}.{group.field}={text}")
    return expanded


def replace_synonyms(arguments: Sequence[str]) -> list[str]:
    """Replace `ckpt_path=<checkpoint>`, which other projects use, by the option of `autoencoders.train` that it means.

    It means `init_from`, the weights to evaluate, together with `train=false`, and otherwise `resume`.

    Args:
        arguments: all command-line arguments.
    """
    option = "init_from" if "train=false" in [argument.lower() for argument in arguments] else "resume"
    prefix = "ckpt_path="
    return [f"{option}={a.removeprefix(prefix)}" if a.startswith(prefix) else a for a in arguments]


def read_overrides(hydra: DictConfig, kind: Literal["task", "hydra"]) -> list[str]:
    """Return the overrides of a command line as they were written, with interpolations such as `${seed}` unresolved.

    Args:
        hydra: Hydra's own configuration.
        kind: `hydra` for the overrides of Hydra's configuration, `task` for the others.
    """
    return cast("list[str]", OmegaConf.to_container(hydra.overrides[kind], resolve=False))


def collapse_numbers(overrides: Sequence[str]) -> list[str]:
    """Reverse `expand_numbers`, for texts that users read: `beta=constant beta.value=4` becomes `beta=4`."""
    collapsed = list(overrides)
    for name, group in NUMERIC_GROUPS.items():
        prefix = f"{name}.{group.field}="
        selected = [o for o in collapsed if o.startswith(f"{name}=")]
        if selected == ([f"{name}={group.option}"] if group.option else []):
            values = [o.removeprefix(prefix) for o in collapsed if o.startswith(prefix)]
            if values and not any("${" in value for value in values):
                kept = [o for o in collapsed if o not in selected]
                collapsed = [f"{name}={o.removeprefix(prefix)}" if o.startswith(prefix) else o for o in kept]
    return collapsed


def _has_numbers(argument: str) -> bool:
    """Return whether an argument sets a group in NUMERIC_GROUPS to numbers. Raise UserError if one is out of range."""
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return False  # Hydra reports the error later
    value = override.value()
    values: list[Any] = [value]
    if isinstance(value, IntervalSweep):
        values = [value.start, value.end]
    elif override.is_discrete_sweep():
        values = list(override.sweep_iterator())
    name, group = override.key_or_group, NUMERIC_GROUPS[override.key_or_group]
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if not numbers:
        return False
    if len(numbers) < len(values):
        raise UserError(
            f"{name} must be either numbers or options in one sweep, got numbers and options: {argument}. "
            "Start one sweep for the numbers and one for the options."
        )
    for number in numbers:
        is_kind = group.kind is float or isinstance(number, int) or isinstance(value, IntervalSweep)
        if not (is_kind and math.isfinite(number) and number >= group.minimum):
            raise UserError(f"{name} must be {group.describe()}, got {number}.")
    return True


def quote_option(argument: str, names: Sequence[str]) -> str:
    """Quote the value in an argument `<name>=<value>`, so that Hydra takes the value literally.

    `null`, empty values and values in quotes are unchanged.

    Args:
        argument: a command-line argument.
        names: options whose values are quoted. Arguments for other options are unchanged.
    """
    name, sign, value = argument.partition("=")
    if name not in names or not sign or value in ("null", ""):
        return argument
    if value[0] == value[-1] and value[0] in "'\"":
        return argument
    return f"{name}={quote(value)}"


def quote_unparsable(argument: str, names: Sequence[str]) -> str:
    """Quote the value in an argument `<name>=<value>` if Hydra cannot parse it, as for a path with accents.

    A value that Hydra can parse is unchanged, so that `data.path=a,b` remains a sweep.

    Args:
        argument: a command-line argument.
        names: options whose values are quoted. Arguments for other options are unchanged.
    """
    if argument.partition("=")[0] not in names:
        return argument
    try:
        OverridesParser.create().parse_override(argument)
    except HydraException:
        return quote_option(argument, names)
    return argument


def quote(value: str) -> str:
    """Return a text in single quotes and with escapes, so that Hydra takes the text literally."""
    escaped = value.replace("\\", "\\\\") if value.endswith("\\") else value
    escaped = escaped.replace("'", "\\'").replace("${", "\\${")  # so that ${ does not start an interpolation
    return f"'{escaped}'"


def merge_list_option(arguments: Sequence[str], name: str) -> list[str]:
    """Replace all arguments `<name>=<value>` by a single argument `<name>=[<value>,<value>,...]`.

    A shell expands `runs=runs/{a,b}` to two arguments. Without this function, Hydra would use only the last argument.
    A value that is not a list is quoted, so that Hydra does not parse commas and brackets in a path.

    Args:
        arguments: all command-line arguments.
        name: name of the option, for example `runs`.

    Returns:
        All other arguments in their order, and then the merged argument.
    """
    prefix = f"{name}="
    if not any(argument.startswith(prefix) for argument in arguments):
        return list(arguments)
    remaining, members = [], []
    for argument in arguments:
        value = argument.removeprefix(prefix)
        if not argument.startswith(prefix):
            remaining.append(argument)
        elif value.startswith("[") and value.endswith("]"):
            members.append(value[1:-1])
        elif value:
            members.append(quote(value))
    return [*remaining, f"{prefix}[{','.join(filter(None, members))}]"]
