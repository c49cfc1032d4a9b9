"""How a door refuses: one sentence and exit status 2, whatever raised; what Hydra says on several lines included."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra._internal import utils
from hydra._internal.hydra import Hydra
from hydra.errors import MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from autoencoders.config.compose import NUMERIC_GROUPS, OPTIONAL_GROUPS, config_groups
from autoencoders.config.overrides import suggest_name
from autoencoders.types import UserError

FULL = "HYDRA_FULL_ERROR"
"""Hydra's environment variable that asks for whole tracebacks, where it is 1."""

NO_WORD = re.compile(r"null|true|false|[-+]?(\d[\d._]*(e[-+]?\d+)?|inf|nan)", re.IGNORECASE)
"""Values that Hydra reads as something else than a word, which no option of a group is."""


def run_entry_point(job: Callable[[], Any]) -> None:
    """Run what `hydra.main` made of a door's job; what is wrong with its command line is one sentence, exit status 2.

    Until the job itself begins, nothing but the command line and the configuration can be at fault, whatever the
    exception is called. An exception from within is a defect of ours, and shows its traceback; with `debug=true`, or
    HYDRA_FULL_ERROR=1 in the environment, everything does.
    """
    try:
        _check_words(sys.argv[1:])
        with letting_through():
            job()
    except Exception as error:
        body = job.__wrapped__.__code__
        within = any(frame.f_code is body for frame, _ in traceback.walk_tb(error.__traceback__))
        if showing() or (within and not isinstance(error, UserError)):
            raise
        refuse(error)


def refuse(error: Exception) -> None:
    """Say in one sentence what is wrong, and leave with exit status 2."""
    print(f"autoencoders: {sentence(error)}", file=sys.stderr)
    sys.exit(2)


@contextmanager
def translate_job_errors(folder: str | Path | None = None) -> Iterator[None]:
    """Refuse where a UserError comes out of the block of a door's job: Hydra would announce it as a failed job.

    Args:
        folder: that Hydra has made for a run; where nothing came into it, nothing stays.
    """
    try:
        yield
    except UserError as error:
        if folder is not None:
            with suppress(OSError):
                Path(folder).rmdir()
        if showing():
            raise
        refuse(error)


def showing() -> bool:
    """Whether the command line, or Hydra's own environment variable, asks for tracebacks of mistakes."""
    return "debug=true" in (word.lower() for word in sys.argv[1:]) or os.environ.get(FULL) == "1"


def resolve_config(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain containers, with every interpolation resolved.

    Raises:
        UserError: where something is still to be given, or an interpolation leads nowhere.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(sentence(error)) from error
    return plain


def sentence(error: BaseException) -> str:
    """What an exception says, on one line; what Hydra and OmegaConf say, in our words."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if group in NUMERIC_GROUPS and NO_WORD.fullmatch(option) and option.lower() not in ("null", "true", "false"):
            _, kind, least, _ = NUMERIC_GROUPS[group]
            return f"{group} must be a {'whole ' if kind is int else ''}number from {least} up, and is {option}."
        number = ", any number" if group in NUMERIC_GROUPS else ""
        near = suggest_name(option, list(error.options), f"{group}={{}}")
        return f"{group} has no option {option!r}.{near} Its options: {', '.join(error.options)}{number}."
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read as group=option or key=value. A value with special characters needs "
            f"quotes within the shell's: 'key=\"a, [b]\"'."
        )
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} must be given: {error.full_key}=<value>."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be made or read: {error.strerror}. Choose another hydra.run.dir=<folder>."
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    words = " ".join(" ".join(str(e).partition("\n    full_key")[0] for e in (error, cause) if e is not None).split())
    if isinstance(error, OmegaConfBaseException) and getattr(error, "full_key", None):
        return f"{error.full_key} cannot be made out: {words}."
    return f"This command line cannot be used: {words or type(error).__name__}"


@contextmanager
def letting_through() -> Iterator[None]:
    """Have Hydra let exceptions through, instead of printing some of their lines, or composing again to meet them."""

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        options = {"with_log_configuration": False, "run_mode": RunMode.MULTIRUN, "validate_sweep_overrides": False}
        return hydra.compose_config(config_name=config_name, overrides=overrides, **options).hydra.mode

    plain = utils.run_and_report, Hydra.get_mode
    utils.run_and_report, Hydra.get_mode = (lambda function: function()), get_mode
    try:
        yield
    finally:
        utils.run_and_report, Hydra.get_mode = plain


def _check_words(words: list[str]) -> None:
    """Raise UserError for flags that are not Hydra's, or that load what may run code."""
    parser = utils.get_args_parser()

    def error(message: str) -> None:
        raise UserError(
            f"This command line cannot be read: {message}. Options are group=option and key=value, see --help."
        )

    parser.error = error
    for word in words:
        name, sign, value = word.partition("=")
        options = config_groups().get(name.lstrip("+").partition("@")[0]) if sign and NO_WORD.fullmatch(value) else None
        if options and name not in NUMERIC_GROUPS:  # Hydra would not say which
            none = f" ~{name} takes it away." if name in OPTIONAL_GROUPS else ""
            raise UserError(f"{name} has no option {value!r}. Its options: {', '.join(options)}.{none}")
    if parser.parse_args(words).experimental_rerun:
        raise UserError("--experimental-rerun loads a pickle, which may run code. Use resume=<run> instead.")
