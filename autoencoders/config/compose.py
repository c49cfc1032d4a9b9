"""Composition of the configuration: the folder `conf/`, and numbers as group options.

Users type `beta=4`, `latent_dim=16` and sweeps of them (`-m beta=0.5,1,4`, `range(2,5)`), but Hydra accepts only names
of files as options. A config source provides `<group>/<number>` on request, and the one place in Hydra that refuses
numbers gets their text. Every entry point imports this module at the top, so that launchers which import the task
function in another process import it too. It imports only Hydra.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (p / "train.yaml").is_file())
"""The config folder: in an installed wheel, or next to the package in a checkout."""

SHARED = "shared"
"""Folder of configs that several options extend. It is not a group."""
NUMERIC_GROUPS: dict[str, tuple[str, type, float, list[str]]] = {
    "latent_dim": ("size", int, 1, []),
    "beta": ("value", float, 0, ["constant"]),
}
"""Groups that accept a number: the field that it sets, its type, its minimum, and the option that it extends."""
OPTIONAL_GROUPS = ("budget", "experiment")
"""Groups without a required option."""


def _continued(resume: str | None, otherwise: str) -> str:
    """Return the folder of the run or checkpoint that `resume` names; `otherwise` if it is null or `auto`."""
    path = Path(str(resume)) if resume and resume != "auto" else None
    if path is not None and path.is_dir():
        return str(path)
    if path is not None and path.is_file() and path.parent.name == "checkpoints":
        return str(path.parent.parent)
    return otherwise


def _geometric_sum(ratio: int, terms: int) -> int:
    """Return 1 + ratio + ratio^2 + ...: the epochs of a ladder schedule whose first rung is one epoch."""
    return sum(int(ratio) ** i for i in range(int(terms)))


def _file_name(name: object) -> str:
    """Return the name of a run as a folder name: path separators and special characters become `_`."""
    safe = re.sub(r"[^\w.,=+@() \[\]-]+", "_", str(name))
    return safe.encode()[:150].decode(errors="ignore")


OmegaConf.register_new_resolver("file_name", _file_name, replace=True)
OmegaConf.register_new_resolver("continued", _continued, replace=True)
OmegaConf.register_new_resolver("geometric_sum", _geometric_sum, replace=True)


def config_groups(folders: tuple[Path, ...] = (CONF,)) -> dict[str, list[str]]:
    """Return the config groups and their options, from the folders of a search path."""
    groups: dict[str, set[str]] = {}
    for file in sorted(file for folder in folders for file in folder.glob("*/**/*.yaml")):
        group = file.parent.relative_to(next(f for f in folders if file.is_relative_to(f))).as_posix()
        if group != SHARED:
            groups.setdefault(group, set()).add(file.stem)
    return {group: sorted(options) for group, options in groups.items()}


def help_text(docstring: str | None, only: tuple[str, ...] = ()) -> str:
    """Return the docstring of an entry point with its config groups. Hydra's help takes three times as long.

    Args:
        docstring: docstring of the module.
        only: the groups to list; empty for all.
    """
    groups = {group: options for group, options in config_groups().items() if not only or group in only}
    width = max(map(len, groups))
    lines = []
    for group, options in groups.items():
        number = " | any number" if group in NUMERIC_GROUPS else ""
        lines.append(f"  {group:{width}}  {' | '.join(options)}{number}")
    return f"{(docstring or '').strip()}\n\nGroups:\n" + "\n".join(lines) + "\n"


def quote_option(argument: str, names: Sequence[str]) -> str:
    """Quote the value of a command-line argument for Hydra's grammar, if it sets one of these options.

    The value is then taken literally. `null` and values in quotes stay unchanged.
    """
    name, sign, value = argument.partition("=")
    if name not in names or not sign or value in ("null", ""):
        return argument
    if value[0] == value[-1] and value[0] in "'\"":
        return argument
    return f"{name}={_quote(value)}"


def _quote(value: str) -> str:
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
            members.append(_quote(value))
    return [*remaining, f"{prefix}[{','.join(filter(None, members))}]"]


def numeric_config(path: str) -> dict | None:
    """Return the config of `<group>/<number>`, or None if it is not a number that the group accepts."""
    group, _, text = path.removesuffix(".yaml").strip("/").partition("/")
    if group not in NUMERIC_GROUPS:
        return None
    field, kind, minimum, base = NUMERIC_GROUPS[group]
    try:
        value = kind(text)
    except ValueError:
        return None
    if not (math.isfinite(value) and value >= minimum):
        return None
    is_integer = kind is float and value == int(value) and abs(value) < 1e15
    return {"defaults": [*base, "_self_"], field: int(value) if is_integer else value}


class NumericSource(ConfigSource):
    """A config source that provides `<group>/<number>`."""

    @staticmethod
    def scheme() -> str:
        """Address of the source, `numeric://`."""
        return "numeric"

    def available(self) -> bool:
        """Return True: the source needs no files."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Return whether a group accepts numbers."""
        return config_path.strip("/") in {"", *NUMERIC_GROUPS}

    def is_config(self, config_path: str) -> bool:
        """Return whether the path ends in a number that its group accepts."""
        return numeric_config(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return an empty list: numbers cannot be listed."""
        return []

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the config of a number."""
        config = numeric_config(config_path)
        if config is None:
            raise ConfigLoadError(f"{config_path} is not a number that its group accepts.")
        # Hydra reads the package from this header and fails without the key.
        return ConfigResult("numeric", "numeric://", OmegaConf.create(config), header={"package": None})


class NumericPath(SearchPathPlugin):
    """Append the numeric source to the search path, so that a file of the same name has priority."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the source."""
        search_path.append("numeric-groups", "numeric://")


def _accept_numbers() -> None:
    """Let Hydra accept numbers as options of the numeric groups."""
    original = Override.value
    if original.__module__ == __name__:  # already installed
        return
    for plugin in (NumericSource, NumericPath):
        Plugins.instance().register(plugin)

    def value(self: Override) -> Any:
        result = original(self)
        if self.key_or_group in NUMERIC_GROUPS and isinstance(result, (int, float)) and not isinstance(result, bool):
            return Override._get_value_element_as_str(result)
        return result

    Override.value = value  # type: ignore[method-assign] # Hydra has no public option for this


_accept_numbers()
