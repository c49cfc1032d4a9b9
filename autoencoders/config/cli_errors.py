"""Errors on the command line: every user error is one sentence with exit status 2, including those of Hydra."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, cast

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from autoencoders.config.arguments import NUMERIC_GROUPS, expand_numbers, split_arguments
from autoencoders.config.compose import OPTIONAL_GROUPS, config_groups
from autoencoders.config.overrides import check_command_line, suggest_name
from autoencoders.types import UserError

FULL_ERROR_VARIABLE = "HYDRA_FULL_ERROR"
"""Hydra's environment variable for full tracebacks."""
_user_values: list[str | None] = []
"""The user's value of the variable while an entry point runs and has set its own; else empty."""

UNCHECKED_FLAGS = {"-sc", "--shell-completion", "--hydra-help", "--version", "-cp", "--config-path"}
"""Flags of Hydra with which overrides are not checked: texts that need no overrides, or another config folder."""

NUMBER_OR_CONSTANT = re.compile(r"null|true|false|[-+]?(\d[\d._]*(e[-+]?\d+)?|inf|nan)", re.IGNORECASE)
"""Values that Hydra does not parse as text. No option of a group has such a name."""


class JobError(Exception):
    """Marks an exception, other than a UserError, that was raised inside a job.

    Args:
        original: the exception.
    """

    def __init__(self, original: Exception) -> None:
        super().__init__(original)
        self.original = original


def run_entry_point(job: Callable[[], Any], config_name: str) -> None:
    """Run the job of an entry point, decorated with `hydra.main`, and report errors of the command line.

    The command line is checked before Hydra starts the job. Before the job starts, an exception can only be caused by
    the command line or the configuration, and is reported in one sentence. An exception inside the job, which
    `translate_job_errors` marks, is a bug and shows its traceback. With `debug=true`, or HYDRA_FULL_ERROR=1 in the
    environment, every exception shows its traceback.

    Args:
        job: the decorated function.
        config_name: name of its configuration in `conf/`.
    """
    try:
        check_arguments(config_name)
        with full_hydra_errors():
            job()
        return
    except JobError as error:
        original = error.original
    except Exception as error:
        if shows_tracebacks():
            raise
        exit_with_message(error)
    raise original  # outside of the except clause, so that the traceback does not mention the marker


def check_arguments(config_name: str) -> None:
    """Expand the numbers of groups in `sys.argv`, and check all arguments, unless Hydra only prints a help text."""
    for argument in sys.argv[1:]:
        _check_group_option(argument)
    arguments = expand_numbers(sys.argv[1:])
    command_line = split_arguments(arguments)
    sys.argv[1:] = arguments
    if not UNCHECKED_FLAGS & command_line.flags.keys():
        check_command_line(config_name, command_line)


@contextmanager
def full_hydra_errors() -> Iterator[None]:
    """Let Hydra raise the exceptions that it would otherwise print, by its environment variable."""
    _user_values.append(os.environ.get(FULL_ERROR_VARIABLE))
    os.environ[FULL_ERROR_VARIABLE] = "1"
    try:
        yield
    finally:
        _set_full_errors(_user_values.pop())


@contextmanager
def user_environment() -> Iterator[None]:
    """Restore the user's value of the variable inside a job, which may start other processes."""
    if not _user_values:
        yield
        return
    _set_full_errors(_user_values[-1])
    try:
        yield
    finally:
        os.environ[FULL_ERROR_VARIABLE] = "1"


def _set_full_errors(value: str | None) -> None:
    if value is None:
        os.environ.pop(FULL_ERROR_VARIABLE, None)
    else:
        os.environ[FULL_ERROR_VARIABLE] = value


def exit_with_message(error: Exception) -> NoReturn:
    """Print an error in one sentence and exit with status 2."""
    print(f"autoencoders: {error_message(error)}", file=sys.stderr)
    sys.exit(2)


@contextmanager
def translate_job_errors(folder: str | Path | None = None) -> Iterator[None]:
    """Exit with one sentence if a job raises a UserError. Mark all other exceptions as errors of the job.

    Args:
        folder: the folder that Hydra created for the run. It is removed if it is empty.

    Raises:
        JobError: if the job raises an exception that is not a UserError.
        UserError: if the job raises one and tracebacks are requested.
    """
    try:
        with user_environment():
            yield
    except UserError as error:
        if folder is not None:
            with suppress(OSError):
                Path(folder).rmdir()
        if shows_tracebacks():
            raise
        exit_with_message(error)
    except Exception as error:
        raise JobError(error) from error


def shows_tracebacks() -> bool:
    """Return whether the command line or Hydra's environment variable requests tracebacks of user errors."""
    arguments = [argument.lower() for argument in sys.argv[1:]]
    variable = _user_values[-1] if _user_values else os.environ.get(FULL_ERROR_VARIABLE)
    return "debug=true" in arguments or variable == "1"


def resolve_config(config: DictConfig) -> dict[str, Any]:
    """Return a composed configuration as plain containers, with all interpolations resolved.

    Raises:
        UserError: if a required value is missing, or an interpolation cannot be resolved.
    """
    try:
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(error_message(error)) from error
    return cast("dict[str, Any]", resolved)


def error_message(error: BaseException) -> str:
    """Return the message of an exception on one line, with messages of Hydra and OmegaConf reworded."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return _unknown_option_message(error.missing_cfg_file, list(error.options))
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be parsed as group=option or key=value. Quote a value with special characters "
            f"twice, for the shell and for Hydra: 'key=\"a, [b]\"'."
        )
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} must be given: {error.full_key}=<value>."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be created or read: {error.strerror}. Choose another hydra.run.dir=<folder>."
    message = _joined_messages(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key} cannot be resolved: {message}."
    return f"The command line cannot be used: {message or type(error).__name__}"


def _unknown_option_message(path: str, options: list[str]) -> str:
    """Return the message for `<group>/<option>`, which does not exist."""
    group, _, option = path.rpartition("/")
    suggestion = suggest_name(option, options, f"{group}={{}}")
    number = ", any number" if group in NUMERIC_GROUPS else ""
    return f"{group} has no option {option!r}.{suggestion} Its options: {', '.join(options)}{number}."


def _joined_messages(error: BaseException) -> str:
    """Return the message of an exception and of its OmegaConf cause, on one line, without OmegaConf's appendix."""
    errors = [error]
    if isinstance(error.__cause__, OmegaConfBaseException):
        errors.append(error.__cause__)
    messages = [str(e).partition("\n    full_key")[0] for e in errors]
    return " ".join(" ".join(messages).split())


def _check_group_option(argument: str) -> None:
    """Raise UserError if a group is set to a number or a constant. Hydra's message does not list the options."""
    name, sign, value = argument.partition("=")
    if not sign or name in NUMERIC_GROUPS or not NUMBER_OR_CONSTANT.fullmatch(value):
        return
    options = config_groups().get(name.lstrip("+").partition("@")[0])
    if options:
        removal = f" ~{name} removes it." if name in OPTIONAL_GROUPS else ""
        raise UserError(f"{name} must be one of {', '.join(options)}, got {value!r}.{removal}")
