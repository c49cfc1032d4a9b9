"""Messages for faults of the machine: a full disk, missing permissions, memory that ran out."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoencoders.types import UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
DISK_BROKEN = (errno.EIO, errno.ESTALE, errno.ENXIO)
"""Error numbers of a full disk, of missing permissions and bad paths, and of a broken disk. Others are bugs."""

OUT_OF_MEMORY = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")
"""Texts in messages of torch when memory ran out."""
PEER_GONE = ("Connection closed by peer", "Connection reset by peer")
"""Messages of the other processes of a run after one of them has ended. That one reports the reason."""
EVALUATION, READING = ("validation_step", "test_step"), ("prepare_data", "setup", "fingerprint")
"""Names of functions that show, in a traceback, what a run was doing."""


@contextmanager
def translate_errors(config: Mapping[str, Any]) -> Iterator[None]:
    """Raise a fault of the machine as the UserError of `explain_error`; let other exceptions pass."""
    try:
        yield
    except Exception as error:
        user_error = explain_error(error, config)
        if user_error is None or user_error is error:
            raise
        raise user_error from error


def explain_error(error: BaseException, config: Mapping[str, Any]) -> UserError | None:
    """Return a fault of the machine as a UserError, or None if the error is none.

    The message names the place, what is kept and what to do.

    Args:
        error: the exception that ended a training or an application.
        config: the resolved configuration, plain containers.
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED, *DISK_BROKEN):
        training = "resume" in config
        place = error.filename2 or error.filename or config.get("folder") or config.get("run") or "."
        message = disk_error_message(error, place, "hydra.run.dir" if training else "folder")
        return UserError(f"{message}{kept_checkpoint_hint(config)}")
    if is_out_of_memory(error):
        return UserError(f"{memory_error_message(error, config)}{kept_checkpoint_hint(config)}")
    if isinstance(error, RuntimeError) and any(text in str(error) for text in PEER_GONE):
        return UserError(
            f"Another process of this run has ended, so this process ends too.{kept_checkpoint_hint(config)}"
        )
    return None


def disk_error_message(error: OSError, path: str | Path, option: str) -> str:
    """Describe an error of the disk or of its permissions, and what to do.

    Args:
        error: the exception.
        path: the file or folder that was written.
        option: the option that selects another folder.
    """
    reason = short_reason(error)
    if error.errno in DISK_FULL:
        return f"{path} could not be written ({reason}). Free some space, or choose another disk with {option}."
    return f"{path} cannot be used ({reason}). Choose a folder with write permission with {option}."


def short_reason(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the memory of the machine or of an accelerator ran out.

    Torch reports some cases only in the message.
    """
    message = str(error)
    in_message = any(text in message for text in OUT_OF_MEMORY)
    in_type = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return isinstance(error, MemoryError) or in_type or (isinstance(error, RuntimeError) and in_message)


def memory_error_message(error: BaseException, config: Mapping[str, Any]) -> str:
    """Name the memory that ran out, the activity, and the options that reduce memory, with their values."""
    data, objective = config.get("data") or {}, config.get("objective") or {}
    functions = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if not data:
        activity, hints = "the application", ["use fewer images (application.<name>.count, if it has this option)"]
        if config.get("device") == "cuda":
            hints.append("set device=cpu")
    elif functions & set(EVALUATION):
        activity, hints = "evaluation", [f"lower data.eval_batch_size (now {data.get('eval_batch_size')})"]
    elif functions & set(READING) and "training_step" not in functions:
        activity, hints = "preparing the data", [f"lower data.memory (now {data.get('memory'):g} bytes)"]
    else:
        activity, hints = "training", [f"lower data.batch_size (now {data.get('batch_size')})"]
        if str((config.get("trainer") or {}).get("precision", "32")).startswith("32"):
            hints.append("set trainer.precision=bf16-mixed")
    if activity in ("training", "evaluation") and objective.get("samples", 1) > 1:
        hints.append(f"lower objective.samples (now {objective['samples']})")
    on_cpu = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
    hint = ", or ".join(hints)
    return (
        f"The memory of {'the machine' if on_cpu else 'the GPU'} ran out during {activity} "
        f"({short_reason(error)[:200]}). {hint[0].upper()}{hint[1:]}."
    )


def kept_checkpoint_hint(config: Mapping[str, Any]) -> str:
    """Return a sentence about the last checkpoint of the run, or an empty string if there is none."""
    folder = Path(config.get("folder") or "")
    last = folder / "checkpoints" / "last.ckpt"
    if "resume" not in config or not last.is_file():
        return ""
    relative = os.path.relpath(folder)
    run = folder if relative.startswith("..") else relative
    return f" checkpoints/last.ckpt was written before; continue with resume={run}."
