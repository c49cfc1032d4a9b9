"""Errors on the command line: every user error is one sentence with exit status 2, including those of Hydra."""

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
"""Hydra's environment variable for full tracebacks."""

NON_TEXT = re.compile(r"null|true|false|[-+]?(\d[\d._]*(e[-+]?\d+)?|inf|nan)", re.IGNORECASE)
"""Values that Hydra does not parse as a word. No option of a group has such a name."""


def run_entry_point(job: Callable[[], Any]) -> None:
    """Run the job of an entry point, decorated with `hydra.main`, and report errors of the command line.

    Before the job starts, an exception can only be caused by the command line or the configuration. An exception inside
    the job is a bug and shows its traceback. With `debug=true`, or HYDRA_FULL_ERROR=1 in the environment, every
    exception does.
    """
    try:
        _check_arguments(sys.argv[1:])
        with raise_hydra_errors():
            job()
    except Exception as error:
        body = job.__wrapped__.__code__
        within = any(frame.f_code is body for frame, _ in traceback.walk_tb(error.__traceback__))
        if showing() or (within and not isinstance(error, UserError)):
            raise
        refuse(error)


def refuse(error: Exception) -> None:
    """Print an error in one sentence and exit with status 2."""
    print(f"autoencoders: {sentence(error)}", file=sys.stderr)
    sys.exit(2)


@contextmanager
def translate_job_errors(folder: str | Path | None = None) -> Iterator[None]:
    """Exit with one sentence if the block raises a UserError. Hydra would report it as a failed job.

    Args:
        folder: the folder that Hydra created for the run. It is removed if it is empty.
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
    """Return whether the command line or Hydra's environment variable requests tracebacks of user errors."""
    return "debug=true" in (word.lower() for word in sys.argv[1:]) or os.environ.get(FULL) == "1"


def resolve_config(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as plain containers, with all interpolations resolved.

    Raises:
        UserError: if a required value is missing, or an interpolation cannot be resolved.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(sentence(error)) from error
    return plain


def sentence(error: BaseException) -> str:
    """Return the message of an exception on one line, with messages of Hydra and OmegaConf reworded."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, option = error.missing_cfg_file.rpartition("/")
        if group in NUMERIC_GROUPS and NON_TEXT.fullmatch(option) and option.lower() not in ("null", "true", "false"):
            _, kind, least, _ = NUMERIC_GROUPS[group]
            return f"{group} must be a{'n integer' if kind is int else ' number'} of at least {least}, got {option}."
        number = ", any number" if group in NUMERIC_GROUPS else ""
        near = suggest_name(option, list(error.options), f"{group}={{}}")
        return f"{group} has no option {option!r}.{near} Its options: {', '.join(error.options)}{number}."
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read as group=option or key=value. A value with special characters needs "
            f"quotes within the shell's: 'key=\"a, [b]\"'."
        )
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} must be set: {error.full_key}=<value>."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be created or read: {error.strerror}. Choose another hydra.run.dir=<folder>."
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else None
    words = " ".join(" ".join(str(e).partition("\n    full_key")[0] for e in (error, cause) if e is not None).split())
    if isinstance(error, OmegaConfBaseException) and getattr(error, "full_key", None):
        return f"{error.full_key} cannot be resolved: {words}."
    return f"This command line cannot be used: {words or type(error).__name__}"


@contextmanager
def raise_hydra_errors() -> Iterator[None]:
    """Let Hydra raise exceptions, instead of printing parts of them or composing again."""

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        options = {"with_log_configuration": False, "run_mode": RunMode.MULTIRUN, "validate_sweep_overrides": False}
        return hydra.compose_config(config_name=config_name, overrides=overrides, **options).hydra.mode

    plain = utils.run_and_report, Hydra.get_mode
    utils.run_and_report, Hydra.get_mode = (lambda function: function()), get_mode
    try:
        yield
    finally:
        utils.run_and_report, Hydra.get_mode = plain


def _check_arguments(arguments: list[str]) -> None:
    """Raise UserError for flags that Hydra does not have, and for flags that load files which may execute code."""
    parser = utils.get_args_parser()

    def error(message: str) -> None:
        raise UserError(f"The command line cannot be parsed: {message}. Use group=option and key=value, see --help.")

    parser.error = error
    for argument in arguments:
        name, sign, value = argument.partition("=")
        options = (
            config_groups().get(name.lstrip("+").partition("@")[0]) if sign and NON_TEXT.fullmatch(value) else None
        )
        if options and name not in NUMERIC_GROUPS:  # Hydra's message does not list the options
            none = f" ~{name} removes it." if name in OPTIONAL_GROUPS else ""
            raise UserError(f"{name} must be one of {', '.join(options)}, got {value!r}.{none}")
    if parser.parse_args(arguments).experimental_rerun:
        raise UserError("--experimental-rerun loads a pickle, which may run code. Use resume=<run> instead.")
