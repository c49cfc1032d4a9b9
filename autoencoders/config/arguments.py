"""Command-line arguments before Hydra parses them: numbers for groups, values with special characters, and lists.

This module imports only Hydra.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.errors import HydraException

from autoencoders.types import UserError

FLAGS = {
    "-h": False, "--help": False, "--hydra-help": False, "--version": False, "-c": True, "--cfg": True,
    "--resolve": False, "-p": True, "--package": True, "-r": False, "--run": False, "-m": False, "--multirun": False,
    "-sc": False, "--shell-completion": False, "-cp": True, "--config-path": True, "-cn": True, "--config-name": True,
    "-cd": True, "--config-dir": True, "--experimental-rerun": True, "-i": False, "--info": False,
}  # fmt: skip
"""Command-line flags of Hydra (https://hydra.cc/docs/advanced/hydra-command-line-flags), and whether a value follows.

The value of `--info` is optional, and is written as `--info=value` or is one of INFO_TOPICS.
"""
INFO_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
"""Values of `--info`."""


class NumericGroup(NamedTuple):
    """A config group that accepts a number in place of an option.

    Attributes:
        field: option of the group that the number sets.
        option: option of the group that is selected with a number; empty for the default option.
        kind: type of the number.
        minimum: smallest number.
    """

    field: str
    option: str
    kind: type
    minimum: float

    def describe(self) -> str:
        """Return which numbers are accepted, for a message."""
        return f"{'an integer' if self.kind is int else 'a finite number'} >= {self.minimum:g}"


NUMERIC_GROUPS = {
    "latent_dim": NumericGroup("size", "", int, 1),
    "beta": NumericGroup("value", "constant", float, 0),
}


class CommandLine(NamedTuple):
    """Command-line arguments, divided into flags and overrides.

    Attributes:
        flags: flag -> its value, or an empty string.
        overrides: all other arguments, in their order.
    """

    flags: dict[str, str]
    overrides: list[str]

    @property
    def is_multirun(self) -> bool:
        """Whether the arguments start a sweep."""
        return bool({"-m", "--multirun"} & self.flags.keys())

    def flag(self, short: str, long: str) -> str | None:
        """Return the value of a flag, or None if the flag is not given."""
        return self.flags.get(short, self.flags.get(long))


def split_arguments(arguments: Sequence[str]) -> CommandLine:
    """Divide arguments into flags and overrides.

    Raises:
        UserError: if a flag is unknown or in the wrong place, or `--experimental-rerun` is given, which loads a file
            that may execute code.
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
            raise UserError(f"There is no flag {name}. Use group=option and key=value, see --help.")
        if overrides and remaining and name in ("-m", "--multirun"):
            raise UserError(f"{name} must be the first argument. Put {name} first, before {overrides[0]}.")
        if not sign and remaining and (FLAGS[name] or (name in ("-i", "--info") and remaining[0] in INFO_TOPICS)):
            value = remaining.pop(0)
        flags[name] = value
    if "--experimental-rerun" in flags:
        raise UserError("--experimental-rerun loads a pickle file, which may execute code. Use resume=<run> instead.")
    return CommandLine(flags, overrides)


def expand_numbers(arguments: Sequence[str]) -> list[str]:
    """Replace numbers that are given to groups, in single runs and in sweeps.

    `beta=4` becomes `beta=constant beta.value=4`, and `latent_dim=16,32` becomes `latent_dim.size=16,32`.

    Raises:
        UserError: if a number is out of range, or a sweep mixes numbers and options.
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


def collapse_numbers(overrides: Sequence[str]) -> list[str]:
    """Reverse `expand_numbers`, for texts that users read: `beta=constant beta.value=4` becomes `beta=4`."""
    collapsed = list(overrides)
    for name, group in NUMERIC_GROUPS.items():
        prefix = f"{name}.{group.field}="
        selected = [o for o in collapsed if o.startswith(f"{name}=")]
        if selected == ([f"{name}={group.option}"] if group.option else []):
            numbers = [o for o in collapsed if o.startswith(prefix)]
            if numbers:
                kept = [o for o in collapsed if o not in selected]
                collapsed = [f"{name}={o.removeprefix(prefix)}" if o.startswith(prefix) else o for o in kept]
    return collapsed


def _has_numbers(argument: str) -> bool:
    """Return whether an argument sets a numeric group to numbers, and check their range."""
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return False  # Hydra reports it
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
            f"{name} must be numbers or options in one sweep, got both: {argument}. Start one sweep for the numbers "
            "and one for the options."
        )
    for number in numbers:
        is_kind = group.kind is float or isinstance(number, int) or isinstance(value, IntervalSweep)
        if not (is_kind and math.isfinite(number) and number >= group.minimum):
            raise UserError(f"{name} must be {group.describe()}, got {number}.")
    return True


def quote_option(argument: str, names: Sequence[str]) -> str:
    """Quote the value of a command-line argument for Hydra's grammar, if it sets one of these options.

    The value is then taken literally. `null` and values in quotes stay unchanged.
    """
    name, sign, value = argument.partition("=")
    if name not in names or not sign or value in ("null", ""):
        return argument
    if value[0] == value[-1] and value[0] in "'\"":
        return argument
    return f"{name}={quote(value)}"


def quote(value: str) -> str:
    """Quote a text for Hydra's grammar, so that it is taken literally."""
    escaped = value.replace("\\", "\\\\") if value.endswith("\\") else value
    escaped = escaped.replace("'", "\\'").replace("${", "\\${")  # a literal ${ and no interpolation
    return f"'{escaped}'"


def merge_list_option(arguments: Sequence[str], name: str) -> list[str]:
    """Merge all arguments `<name>=<value>` into one list.

    A shell expands `runs=runs/{a,b}` to two arguments, of which Hydra would use the last. A single path is quoted,
    because Hydra's grammar would parse its commas and brackets.
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
