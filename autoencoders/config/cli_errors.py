"""Error messages for the command line. Each user error, including errors from Hydra, exits with status 2."""

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
from autoencoders.config.overrides import check_command_line
from autoencoders.config.suggestions import suggest_name
from autoencoders.types import RunStopped, UserError
from autoencoders.utils import launchers, signals
from autoencoders.utils.error_messages import explain_import_error
from autoencoders.utils.streams import check_output

FULL_ERROR_VARIABLE = "HYDRA_FULL_ERROR"
"""Name of Hydra's environment variable that enables full tracebacks."""
_user_values: list[str | None] = []
"""Stack of the values that HYDRA_FULL_ERROR had before `full_hydra_errors` changed it. None: it was not set."""

UNCHECKED_FLAGS = {"-sc", "--shell-completion", "--hydra-help", "--version", "-cp", "--config-path"}
"""Hydra flags with which overrides are not checked: they only print a text, or select another config folder."""

PRINTING_FLAGS = UNCHECKED_FLAGS - {"-cp", "--config-path"} | {"-c", "--cfg", "-i", "--info"}
"""Hydra flags with which a command only prints a text."""

PLUGINS = {
    "hydra/sweeper/optuna": "hydra-optuna-sweeper", "hydra/launcher/joblib": "hydra-joblib-launcher",
    "hydra/launcher/ray": "hydra-ray-launcher", "hydra/launcher/submitit_local": "hydra-submitit-launcher",
    "hydra/launcher/submitit_slurm": "hydra-submitit-launcher",
}  # fmt: skip
"""Option of Hydra that a plugin adds -> package of the plugin."""

NUMBER_OR_CONSTANT = re.compile(r"null|true|false|[-+]?(\d[\d._]*(e[-+]?\d+)?|inf|nan)", re.IGNORECASE)
"""Pattern for values that Hydra parses as a number or a constant. No option of a config group has such a name."""


class JobError(Exception):
    """Wrapper for an exception that a job raised and that is not a UserError.

    Args:
        original: the exception that the job raised.
    """

    def __init__(self, original: Exception) -> None:
        super().__init__(original)
        self.original = original


def run_entry_point(
    job: Callable[[], Any], config_name: str, explain: Callable[[Exception], str | None] = lambda error: None
) -> None:
    """Run the job of an entry point, and exit with a one-line message if the command line is wrong.

    The command line is checked before Hydra starts the job. An exception before the start of the job is caused by the
    command line or the configuration. It is printed on one line, without a traceback. An exception inside the job is
    treated as a bug, and its traceback is printed. `translate_job_errors` wraps such an exception in a JobError. With
    `traceback=true`, or HYDRA_FULL_ERROR=1 in the environment, the traceback of every exception is printed.

    Args:
        job: function that `hydra.main` decorates.
        config_name: name of the job's configuration in `conf/`, for example `train`.
        explain: returns the message for an exception that the configuration has not caused, or None.
    """
    launchers.ignore_malformed()
    try:
        with signals.exit_on_signals():  # the checks import torch
            check_arguments(config_name)
        with full_hydra_errors():
            job()
        if PRINTING_FLAGS & split_arguments(sys.argv[1:]).flags.keys():
            check_output()
        return
    except JobError as error:
        original = error.original
    except Exception as error:
        if shows_tracebacks():
            raise
        message = explain(error)
        exit_with_message(UserError(message) if message else error)
    raise original  # outside of the except clause, so that the traceback does not show JobError


def check_arguments(config_name: str) -> None:
    """Expand numbers for config groups in `sys.argv` (`beta=4`), and check all arguments.

    Overrides are not checked if a flag in UNCHECKED_FLAGS is given.

    Args:
        config_name: name of the configuration in `conf/`, for example `train`.

    Raises:
        UserError: if an argument is not valid.
        HydraException: if the overrides cannot be parsed or composed.
    """
    for argument in sys.argv[1:]:
        check_group_option(argument)
    arguments = expand_numbers(sys.argv[1:])
    command_line = split_arguments(arguments)
    sys.argv[1:] = arguments
    if not UNCHECKED_FLAGS & command_line.flags.keys():
        check_command_line(config_name, command_line)


@contextmanager
def full_hydra_errors() -> Iterator[None]:
    """Set HYDRA_FULL_ERROR=1 inside the `with` block, so that Hydra raises exceptions instead of printing them."""
    _user_values.append(os.environ.get(FULL_ERROR_VARIABLE))
    os.environ[FULL_ERROR_VARIABLE] = "1"
    try:
        yield
    finally:
        _set_full_errors(_user_values.pop())


@contextmanager
def user_environment() -> Iterator[None]:
    """Restore the user's value of HYDRA_FULL_ERROR inside a job, because the job may start other processes."""
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
    """Print the message of an error on one line of stderr, and exit with status 2."""
    print(f"autoencoders: {error_message(error)}", file=sys.stderr)
    sys.exit(2)


@contextmanager
def translate_job_errors(folder: str | Path | None = None) -> Iterator[None]:
    """If a job raises a UserError, print its message and exit with status 2. Wrap other exceptions in a JobError.

    An error in the import of a library is handled like a UserError.

    Args:
        folder: folder that Hydra created for the run. An empty folder is removed after a UserError or a signal.

    Raises:
        JobError: if the job raises an exception that is not a UserError.
        UserError: if the job raises a UserError and the user has requested tracebacks.
    """
    try:
        with user_environment():
            yield
    except RunStopped:
        remove_if_empty(folder)
        raise
    except UserError as error:
        remove_if_empty(folder)
        if shows_tracebacks():
            raise
        exit_with_message(error)
    except Exception as error:
        if explain_import_error(error) is None or shows_tracebacks():
            raise JobError(error) from error
        remove_if_empty(folder)
        exit_with_message(error)


def remove_if_empty(folder: str | Path | None) -> None:
    """Remove a folder if it is empty. None: do nothing."""
    if folder is not None:
        with suppress(OSError):
            Path(folder).rmdir()


def shows_tracebacks() -> bool:
    """Return whether the user requests tracebacks, with `traceback=true` or HYDRA_FULL_ERROR=1 in the environment."""
    arguments = [argument.lower() for argument in sys.argv[1:]]
    variable = _user_values[-1] if _user_values else os.environ.get(FULL_ERROR_VARIABLE)
    return "traceback=true" in arguments or variable == "1"


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
    """Return the message of an exception on one line. Some messages from Hydra and OmegaConf are reworded."""
    if isinstance(error, UserError):
        return str(error)
    if (import_error := explain_import_error(error)) is not None:
        return str(import_error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return _unknown_option_message(error.missing_cfg_file, list(error.options))
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be parsed as group=option or key=value. Quote a value with special characters "
            f"once for Hydra and once for the shell: 'key=\"a, [b]\"'."
        )
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} must be given. Set {error.full_key}=<value>."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be created or read: {error.strerror}. Choose another hydra.run.dir=<folder>."
    message = _joined_messages(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        return f"{error.full_key} cannot be resolved: {message}."
    return f"The command line cannot be used: {message or type(error).__name__}"


def _unknown_option_message(path: str, options: list[str]) -> str:
    """Return the message for a path `<group>/<option>` that does not exist in `conf/`."""
    group, _, option = path.rpartition("/")
    if path in PLUGINS:
        return f"{group}={option} needs the package {PLUGINS[path]}. Install it with pip install {PLUGINS[path]}."
    suggestion = suggest_name(option, options, f"{group}={{}}")
    number = ", any number" if group in NUMERIC_GROUPS else ""
    own = "" if suggestion else " An option in a folder of your own needs hydra.searchpath=[file://<folder>]."
    return f"{group} has no option {option!r}.{suggestion} Options of {group}: {', '.join(options)}{number}.{own}"


def _joined_messages(error: BaseException) -> str:
    """Return the messages of an exception and its OmegaConf cause on one line, without the details `full_key: ...`."""
    errors = [error]
    if isinstance(error.__cause__, OmegaConfBaseException):
        errors.append(error.__cause__)
    messages = [str(e).partition("\n    full_key")[0] for e in errors]
    return " ".join(" ".join(messages).split())


def check_group_option(argument: str) -> None:
    """Raise UserError if a config group is set to a number or constant, because Hydra's message lists no options."""
    name, sign, value = argument.partition("=")
    if not sign or name in NUMERIC_GROUPS or not NUMBER_OR_CONSTANT.fullmatch(value):
        return
    options = config_groups().get(name.lstrip("+").partition("@")[0])
    if options:
        removal = f" To select no option, write ~{name}." if name in OPTIONAL_GROUPS else ""
        hint = " To show the traceback of an error, set traceback=true." if name == "debug" else ""
        raise UserError(f"{name} must be one of {', '.join(options)}, got {value!r}.{removal}{hint}")
