"""Overrides for a training from Python, and the configuration that they give."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from autoencoders.config.arguments import CommandLine, expand_numbers, quote
from autoencoders.config.cli_errors import check_group_option, error_message, remove_if_empty, resolve_config
from autoencoders.config.compose import CONF, check_hydra_is_free, config_groups
from autoencoders.config.output_dir import claim_new_folders
from autoencoders.config.overrides import check_command_line
from autoencoders.types import UserError

SHORT_NAMES = {
    "max_epochs": "trainer.max_epochs", "batch_size": "data.batch_size", "lr": "optimizer.lr",
    "after_fit": "application@after_fit",
}  # fmt: skip
"""Keyword of `autoencoders.train` -> option that it sets."""
OPTION_NAME = re.compile(r"[\w./-]+")
"""Pattern of the name of an option of a config group."""


def keyword_overrides(keywords: Mapping[str, Any]) -> list[str]:
    """Return keywords as overrides of the command line: `beta=4` for `{"beta": 4}`.

    Args:
        keywords: config group, option or short name -> value. The value of a group is the name of an option, a list of
            names or, for `beta` and `latent_dim`, a number.

    Raises:
        UserError: if a value cannot be written as an override.
    """
    groups, overrides = config_groups(), []
    for name, value in keywords.items():
        key = SHORT_NAMES.get(name, name)
        group = key.partition("@")[0]
        if group in groups and value is not None and not isinstance(value, (int, float)):
            overrides.append(f"{key}={_group_value(name, value)}")
        else:
            overrides.append(f"{key}={_format(name, value)}")
    return overrides


def compose_run(overrides: Sequence[str], folder: str | Path | None = None) -> dict[str, Any]:
    """Return the resolved configuration of a training run, and create its folder.

    Args:
        overrides: overrides as on the command line, including numbers for config groups, such as `beta=4`.
        folder: run folder; None for a new folder, named as for a run of the command line.

    Raises:
        UserError: if an override is not valid, or Hydra is already in use.
    """
    check_hydra_is_free("autoencoders.train")
    try:
        for override in overrides:
            check_group_option(override)
            check_single_value(override)
        arguments = expand_numbers(overrides)
        check_command_line("train", CommandLine({}, arguments))
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            composed = hydra.compose("train", arguments, return_hydra_config=True)
        if folder is None:
            with claim_new_folders():
                folder = str(composed.hydra.run.dir)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(error_message(error)) from error
    except UserError as error:
        raise UserError(shorten_hint(str(error))) from None
    composed.folder = str(Path(folder).expanduser())
    try:
        return resolve_config(OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]))
    except UserError:
        remove_if_empty(composed.folder)
        raise


def shorten_hint(message: str) -> str:
    """Return a message in which a suggested option such as `trainer.max_epochs` is the keyword `max_epochs`."""
    for keyword, option in SHORT_NAMES.items():
        message = message.replace(f"Did you mean {option}?", f"Did you mean {keyword}?")
    return message


def check_single_value(override: str) -> None:
    """Raise UserError if an override sets several values, as in a sweep. Hydra reports an override that is malformed.

    Args:
        override: override as on the command line.
    """
    if OverridesParser.create().parse_override(override).is_sweep_override():
        raise UserError(
            f"An override must set one value in Python, got {override}. Call autoencoders.train once for each value, "
            "or start a sweep with python -m autoencoders.train -m."
        )


def _group_value(name: str, value: Any) -> str:
    names = value if isinstance(value, (list, tuple)) else [value]
    for option in names:
        if not (isinstance(option, str) and OPTION_NAME.fullmatch(option)):
            raise UserError(
                f"{name} must be the name of an option, got {option!r}. Set single options as "
                f'**{{"{name}.key": value}}.'
            )
    return value if isinstance(value, str) else f"[{','.join(names)}]"


def _format(name: str, value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, PurePath)):
        return quote(str(value))
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_format(name, child) for child in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_format(name, child)}' for key, child in value.items())}}}"
    raise UserError(f"{name} must be a number, a text, a list or a dict of them, got {type(value).__name__}.")
