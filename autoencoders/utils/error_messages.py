"""Messages for errors that the machine causes: a full disk, missing write permission, or too little memory."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoencoders.types import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
DISK_BROKEN = (errno.EIO, errno.ESTALE, errno.ENXIO)
"""Error numbers (errno) for a full disk, for missing permissions and invalid paths, and for a broken disk.

An OSError with any other error number is a bug of this package.
"""

TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
"""Error numbers (errno) if the process or the machine has too many open files."""
OUT_OF_MEMORY = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
"""Texts that messages of torch contain if memory ran out."""
EXCHANGE_FAILED = ("gloo", "NCCL", "Application timeout", "Connection closed by peer", "Connection reset by peer")
"""Texts in the messages of errors in an exchange between processes, such as an all-reduce."""
EVALUATION, READING = ("validation_step", "test_step"), ("prepare_data", "setup", "fingerprint")
"""Names of functions that show, if they are in a traceback, that a run was evaluating or was reading data."""


@contextmanager
def translate_errors(config: Mapping[str, Any]) -> Iterator[None]:
    """Replace errors that the machine causes by the UserError from `explain_error`. Other exceptions are unchanged.

    Args:
        config: the resolved configuration, as plain containers.

    Raises:
        UserError: if the machine causes an error, such as a full disk.
    """
    try:
        yield
    except Exception as error:
        user_error = explain_error(error, config)
        if user_error is None or user_error is error:
            raise
        raise user_error from error


def explain_error(error: BaseException, config: Mapping[str, Any]) -> UserError | None:
    """Return an error that the machine causes as a UserError, a UserError unchanged, and None for any other error.

    The message states where the error occurred, which checkpoint exists, and what to do.

    Args:
        error: the exception that ended a training or an application.
        config: the resolved configuration, as plain containers.
    """
    if isinstance(error, UserError):
        return error
    if (import_error := explain_import_error(error)) is not None:
        return import_error
    if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED, *DISK_BROKEN):
        training = "resume" in config
        place = error.filename2 or error.filename or config.get("folder") or config.get("run") or "."
        message = disk_error_message(error, place, "hydra.run.dir" if training else "folder")
        return UserError(f"{message}{kept_checkpoint_hint(config)}")
    if isinstance(error, OSError) and error.errno in TOO_MANY_FILES:
        limit = "Raise the limit with `ulimit -n <number>`, or end other programs."
        return UserError(
            f"{error.filename or 'A file'} cannot be opened ({short_reason(error)}). {limit}"
            f"{kept_checkpoint_hint(config)}"
        )
    if is_out_of_memory(error):
        return UserError(f"{memory_error_message(error, config)}{kept_checkpoint_hint(config)}")
    if is_exchange_error(error):
        event = f"{late_event(config)}." if is_timeout(error) else "has ended. Therefore this process ends too."
        return UserError(f"Another process of this run {event}{kept_checkpoint_hint(config)}")
    return None


def explain_import_error(error: BaseException) -> UserError | None:
    """Return an error that was raised while an installed library was imported as a UserError, else None.

    Such an error is caused by an incomplete installation, or by an environment variable that the library reads.

    Args:
        error: the exception, with its traceback.
    """
    packages = [
        str(frame.f_globals.get("__name__")).partition(".")[0]
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_name == "<module>"
        and {"site-packages", "dist-packages"} & set(Path(frame.f_code.co_filename).parts)
    ]
    if not packages or packages[-1] == "autoencoders":
        return None
    return UserError(
        f"The library {packages[-1]} could not be imported ({short_reason(error)}). Check its installation and the "
        "environment variables that it reads."
    )


def disk_error_message(error: OSError, path: str | Path, option: str) -> str:
    """Return a message that describes an error of the disk or a missing permission, and says what to do.

    Args:
        error: the exception.
        path: the file or folder that could not be written.
        option: name of the option that selects another folder.
    """
    reason = short_reason(error)
    if error.errno in DISK_FULL:
        return f"{path} could not be written ({reason}). Free disk space, or set {option} to a folder on another disk."
    return f"{path} cannot be used ({reason}). Set {option} to a folder with write permission."


def short_reason(error: BaseException) -> str:
    """Return a short description of an error: its type and the first line of its message.

    For an OSError, only the system's text is returned, such as `No space left on device`. For a UserError, the complete
    message is returned.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the memory of the machine or of an accelerator ran out.

    Torch reports some of these errors as a RuntimeError, which only its message identifies.
    """
    message = str(error)
    in_message = any(text in message for text in OUT_OF_MEMORY)
    in_type = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return isinstance(error, MemoryError) or in_type or (isinstance(error, RuntimeError) and in_message)


def is_exchange_error(error: BaseException | None) -> bool:
    """Return whether an exception, or an exception that has caused it, comes from an exchange between processes."""
    while error is not None:
        in_type = any(kind.__name__ == "DistError" for kind in type(error).__mro__)
        if in_type or (isinstance(error, RuntimeError) and any(text in str(error) for text in EXCHANGE_FAILED)):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_timeout(error: BaseException) -> bool:
    """Return whether an error in an exchange means that another process was late, not that it has ended."""
    return re.search(r"timed?[ _]?out", str(error), re.IGNORECASE) is not None


def late_event(config: Mapping[str, Any]) -> str:
    """Return what is wrong with a process that is late at an exchange, without the subject of the sentence."""
    return (
        f"is more than {config['exchange_timeout']:g} s later than the others at an exchange, although it answers. If "
        "it was busy, set exchange_timeout to a larger number of seconds"
    )


def memory_error_message(error: BaseException, config: Mapping[str, Any]) -> str:
    """Return a message about memory that ran out.

    The message names the memory, the activity of the run, and the options that reduce memory, with current values.

    Args:
        error: the exception, with its traceback.
        config: the resolved configuration, as plain containers.
    """
    data, objective = config.get("data") or {}, config.get("objective") or {}
    functions = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if not data:
        activity, hints = "the application", ["use fewer images (application.<name>.count, if it has this option)"]
        if config.get("device") == "cuda":
            hints.append("set device=cpu")
    elif functions & set(EVALUATION):
        activity, hints = "evaluation", [f"lower data.eval_batch_size (now {data.get('eval_batch_size')})"]
    elif functions & set(READING) and "training_step" not in functions:
        activity, hints = "data preparation", [f"lower data.memory (now {data.get('memory'):g} bytes)"]
    else:
        activity, hints = "training", [f"lower data.batch_size (now {data.get('batch_size')})"]
        if str((config.get("trainer") or {}).get("precision", "32")).startswith("32"):
            hints.append("set trainer.precision=bf16-mixed")
    if activity in ("training", "evaluation") and objective.get("samples", 1) > 1:
        hints.append(f"lower objective.samples (now {objective['samples']})")
    on_cpu = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
    hint = ", or ".join(hints)
    return (
        f"{'The machine' if on_cpu else 'The GPU'} ran out of memory during {activity} "
        f"({short_reason(error)[:200]}). {hint[0].upper()}{hint[1:]}."
    )


def kept_checkpoint_hint(config: Mapping[str, Any]) -> str:
    """Return a hint how to continue a training from its last checkpoint, or an empty string without a checkpoint."""
    folder = Path(config.get("folder") or "")
    last = folder / "checkpoints" / "last.ckpt"
    if "resume" not in config or not last.is_file():
        return ""
    relative = os.path.relpath(folder)
    run = folder if relative.startswith("..") else relative
    return f" checkpoints/last.ckpt was written before this error. Continue the run with resume={run}."
