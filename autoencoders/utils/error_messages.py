"""What a machine does to a run, in a sentence: a full disk, a place that cannot be written, memory that ran out."""

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
"""Errors of a disk: it is full, it or a path on it refuses, it is out of order. Any other is a defect of ours."""

PEER_GONE = ("Connection closed by peer", "Connection reset by peer")
"""What the other processes of a run say when one has ended, which says why."""
EVALUATION, READING = ("validation_step", "test_step"), ("prepare_data", "setup", "fingerprint")
"""Functions that tell, from where an error was raised, what a run was doing."""


@contextmanager
def translate_errors(config: Mapping[str, Any]) -> Iterator[None]:
    """Raise a fault of the machine as the sentence that `explain_error` makes of it; everything else as it is."""
    try:
        yield
    except Exception as error:
        sentence = explain_error(error, config)
        if sentence is None or sentence is error:
            raise
        raise sentence from error


def explain_error(error: BaseException, config: Mapping[str, Any]) -> UserError | None:
    """An error as a sentence that says where, what is kept and what to do; None where it is no fault of a machine.

    Args:
        error: whatever ended a run, or what was asked of one.
        config: the resolved configuration, plain containers.
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError) and error.errno in (*DISK_FULL, *DISK_REFUSED, *DISK_BROKEN):
        training = "resume" in config
        place = error.filename2 or error.filename or config.get("folder") or config.get("run") or "."
        return UserError(
            f"{disk_error_message(error, place, 'hydra.run.dir' if training else 'folder')}{kept_checkpoint_hint(config)}"
        )
    if is_out_of_memory(error):
        return UserError(f"{memory_error_message(error, config)}{kept_checkpoint_hint(config)}")
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in PEER_GONE):
        return UserError(f"Another process of this run has ended, and this one with it.{kept_checkpoint_hint(config)}")
    return None


def disk_error_message(error: OSError, path: str | Path, option: str) -> str:
    """What the disk or its permissions refused, and what to do.

    Args:
        error: what was raised.
        path: what was being written.
        option: that moves it elsewhere.
    """
    if error.errno in DISK_FULL:
        return f"{path} could not be written ({short_reason(error)}). Make room there, or choose another disk with {option}."
    return f"{path} cannot be used ({short_reason(error)}). Choose a place that you may write to with {option}."


def short_reason(error: BaseException) -> str:
    """An error in a few words: its type, and the first line of what it says."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the machine or of an accelerator; torch tells some of it in words alone."""
    words = str(error)
    told = any(sign in words for sign in ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED"))
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return isinstance(error, MemoryError) or named or (isinstance(error, RuntimeError) and told)


def memory_error_message(error: BaseException, config: Mapping[str, Any]) -> str:
    """Whose memory ran out, doing what, and which options take less of it, with their values."""
    data, objective = config.get("data") or {}, config.get("objective") or {}
    doing = {frame.name for frame in traceback.extract_tb(error.__traceback__)}
    if not data:
        when, turns = "answering", ["ask for fewer images (application.<name>.count, where it has one)"]
        turns += ["set device=cpu"] if config.get("device") == "cuda" else []
    elif doing & set(EVALUATION):
        when, turns = "evaluation", [f"lower data.eval_batch_size (it is {data.get('eval_batch_size')})"]
    elif doing & set(READING) and "training_step" not in doing:
        when, turns = "preparing the data", [f"lower data.memory (it is {data.get('memory'):g} bytes)"]
    else:
        when, turns = "training", [f"lower data.batch_size (it is {data.get('batch_size')})"]
        if str((config.get("trainer") or {}).get("precision", "32")).startswith("32"):
            turns.append("set trainer.precision=bf16-mixed")
    if when in ("training", "evaluation") and objective.get("samples", 1) > 1:
        turns.append(f"lower objective.samples (it is {objective['samples']})")
    whose = "the machine" if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error) else "the GPU"
    words = ", or ".join(turns)
    return f"Memory of {whose} ran out in {when} ({short_reason(error)[:200]}). {words[0].upper()}{words[1:]}."


def kept_checkpoint_hint(config: Mapping[str, Any]) -> str:
    """What of a run is on disk all the same, as a sentence to end with; nothing where it has no checkpoint."""
    folder = Path(config.get("folder") or "")
    last = folder / "checkpoints" / "last.ckpt"
    if "resume" not in config or not last.is_file():
        return ""
    shown = os.path.relpath(folder)
    return f" checkpoints/last.ckpt is from before it; resume={folder if shown.startswith('..') else shown} goes on."
