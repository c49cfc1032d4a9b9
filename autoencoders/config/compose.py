"""Composition of the configuration from `conf/`, list of the config groups, and resolvers for interpolations.

Every entry point imports this module at the top. A launcher that imports the entry point in another process therefore
registers the resolvers in that process too. For a fast start, this module imports only Hydra.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from autoencoders.config import output_dir
from autoencoders.config.arguments import NUMERIC_GROUPS, expand_numbers
from autoencoders.types import UserError

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if (p / "train.yaml").is_file())
"""Path of the config folder `conf/`. In a wheel it is inside the package, in a checkout next to the package."""

SHARED = "shared"
"""Folder in `conf/` with files that several options extend. This folder is not a config group."""
OPTIONAL_GROUPS = ("budget", "debug", "experiment", "hparams_search")
"""Config groups for which no option need be selected."""
MODELS_WITHOUT_RATE = ("autoencoders.models.ae.AE", "autoencoders.models.pca.PCA")
"""Import paths of models whose loss does not depend on beta."""


def _geometric_sum(ratio: int, terms: int) -> int:
    """Return 1 + ratio + ratio^2 + ..., with the given number of terms.

    This is the number of epochs of a ladder schedule whose first rung lasts one epoch.
    """
    return sum(int(ratio) ** i for i in range(int(terms)))


def _file_name(name: object) -> str:
    """Return a folder name for the name of a run. Path separators and special characters are replaced by `_`."""
    safe = re.sub(r"[^\w.,=+@() \[\]-]+", "_", str(name))
    return safe.encode()[:150].decode(errors="ignore")


def _beta_suffix(target: str, beta: object) -> str:
    """Return the part of a run's name that gives beta, or an empty text for a model whose loss has no rate.

    Args:
        target: import path of the model's class.
        beta: final value of beta.
    """
    return "" if target in MODELS_WITHOUT_RATE else f"-beta{beta}"


def _seed_suffix(seed: object) -> str:
    """Return the part of a job's folder name that gives the seed, or an empty text for a random seed."""
    return "" if seed is None else f"-seed{seed}"


OmegaConf.register_new_resolver("file_name", _file_name, replace=True)
# The result is cached, so that all jobs of a sweep have one folder. Hydra's resolver `now` is cached for this purpose.
OmegaConf.register_new_resolver("new_folder", output_dir.new_folder, replace=True, use_cache=True)
OmegaConf.register_new_resolver("run_folder", output_dir.run_folder, replace=True, use_cache=True)
OmegaConf.register_new_resolver("beta_suffix", _beta_suffix, replace=True)
OmegaConf.register_new_resolver("seed_suffix", _seed_suffix, replace=True)
OmegaConf.register_new_resolver("geometric_sum", _geometric_sum, replace=True)


def config_groups(folders: tuple[Path, ...] = (CONF,)) -> dict[str, list[str]]:
    """Return the config groups in the given config folders: group -> sorted options."""
    groups: dict[str, set[str]] = {}
    for file in sorted(file for folder in folders for file in folder.glob("*/**/*.yaml")):
        group = file.parent.relative_to(next(f for f in folders if file.is_relative_to(f))).as_posix()
        if group != SHARED:
            groups.setdefault(group, set()).add(file.stem)
    return {group: sorted(options) for group, options in groups.items()}


def option_keys(group: str) -> set[str]:
    """Return the top-level keys in the options of a config group, such as the names of all callbacks."""
    files = sorted((CONF / group).glob("*.yaml"))
    return {str(key) for file in files for key in cast("DictConfig", OmegaConf.load(file))} - {"defaults"}


def help_text(docstring: str | None, only: tuple[str, ...] = ()) -> str:
    """Return a help text: the docstring of an entry point, and the config groups with their options.

    Hydra's own help takes three times as long.

    Args:
        docstring: module docstring of the entry point.
        only: config groups to list. An empty tuple lists all groups.
    """
    groups = {group: options for group, options in config_groups().items() if not only or group in only}
    width = max(map(len, groups))
    lines = []
    for group, options in groups.items():
        number = " | any number" if group in NUMERIC_GROUPS else ""
        lines.append(f"  {group:{width}}  {' | '.join(options)}{number}")
    return f"{(docstring or '').strip()}\n\nGroups:\n" + "\n".join(lines) + "\n"


def compose_config(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Compose a configuration from `conf/` without a command line.

    Args:
        name: name of the configuration, for example `train`.
        overrides: overrides as on the command line, including numbers for config groups, such as `beta=4`.
    """
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(name, expand_numbers(overrides))


def compose_application(name: str) -> dict[str, Any]:
    """Return the config node of an application with its default options, as plain dicts and lists.

    Args:
        name: option of the config group `application`.
    """
    check_hydra_is_free("Run.apply")
    plain = OmegaConf.to_container(compose_config("apply", [f"application={name}"]), resolve=True)
    return cast("dict[str, Any]", plain)["application"][name]


def check_hydra_is_free(function: str) -> None:
    """Raise UserError if another Hydra application is running in this process, whose configuration would be lost.

    Args:
        function: name of the function that composes a configuration, for the message.
    """
    if GlobalHydra.instance().is_initialized():
        raise UserError(
            f"{function} composes a configuration and cannot be used inside of another Hydra application. Use the "
            "models and data modules with a Trainer of your own, or start python -m autoencoders.train as a command."
        )


def search_folders(entries: Sequence[str]) -> tuple[Path, ...]:
    """Return the folders in which Hydra searches for options: `conf/`, and the folders in `hydra.searchpath`.

    Args:
        entries: entries of `hydra.searchpath`: paths, `file://<path>` or `pkg://<package>`.
    """
    folders = [CONF]
    for entry in entries:
        scheme, sign, rest = entry.partition("://")
        if sign and scheme == "pkg":
            module, _, path = rest.partition("/")
            spec = importlib.util.find_spec(module.replace("/", "."))
            folders += [Path(folder, path) for folder in (spec.submodule_search_locations or ())] if spec else []
        else:
            folders.append(Path(rest if sign else entry))
    return tuple(folders)
