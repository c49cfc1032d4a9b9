"""Start-up of the entry points: fast imports of the heavy libraries, and suppression of irrelevant output."""

from __future__ import annotations

import atexit
import gc
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIABLES = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "CUBLAS_WORKSPACE_CONFIG", "PL_GLOBAL_SEED", "PL_SEED_WORKERS")
"""Environment variables set by this package and by Lightning (deterministic matrix products on a GPU, the seed)."""


def load_heavy_libraries() -> None:
    """Import the heavy libraries without garbage collection, which takes a quarter of the time otherwise."""
    # In a later job of a sweep they are imported already, and objects of the earlier job must not be frozen.
    if "lightning.pytorch" not in sys.modules:
        gc.disable()
        import lightning.pytorch  # noqa: F401

        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # otherwise some extension modules report leaks at exit
    skip_driver_search()
    silence_libraries()


def skip_driver_search() -> None:
    """Cache the result of torch's search for NVIDIA's library if there is no GPU.

    Lightning lets torch search for GPUs through NVML, which is safe for processes that are forked later. Without a GPU
    torch does not cache the result, and the search costs 0.1 ms in every optimizer step.
    """
    import torch

    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


@contextmanager
def restore_settings() -> Iterator[None]:
    """Restore process-wide settings that Lightning changes, for the next job of a sweep."""
    import torch

    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, environment = torch.backends.cudnn.benchmark, {name: os.environ.get(name) for name in VARIABLES}
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # checkpoints are loaded without executing code
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
        torch.backends.cudnn.benchmark = benchmark
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def silence_libraries() -> None:
    """Suppress messages of libraries that are irrelevant to the user."""
    import logging
    import warnings

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ours = (
        ".*smaller than the logging interval.*",
        ".*configure_optimizers.*None.*",
        ".*dataloader is not resumable.*",
        ".*training_step.*returned.*None.*",  # model=pca has no optimizer
        ".*parameters.*is an empty generator.*",
        ".*exists and is not empty.*",
        ".*could not find the monitored key.*",  # a run may end before its first validation; last.ckpt exists
        ".*sync_dist=True.*",  # sums are reduced over processes before they are logged
        ".*could be decompression bomb.*",  # large photos are accepted; even larger ones are rejected
    )
    for pattern in (*ours, ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", pattern)


@contextmanager
def exit_on_closed_stdout() -> Iterator[None]:
    """Exit without a message if the reader of stdout has closed it, as `head` does after its last line."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # at the exit of the interpreter, an error could not be caught
    except BrokenPipeError:
        if not _is_stdout_closed():
            raise  # the error of another pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(128 + signal.SIGPIPE)


def _is_stdout_closed() -> bool:
    """Return whether stdout is a pipe without a reader."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are always reported
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def slow_precision_warning(trainer: Any) -> str | None:
    """Return a warning if bfloat16 is used on a CPU without instructions for it, else None."""
    import torch

    if trainer.strategy.root_device.type != "cpu" or trainer.precision != "bf16-mixed":
        return None
    capabilities: dict[str, Any] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # missing in the oldest supported torch
    if capabilities.get("architecture") != "x86_64" or capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        return None
    return (
        "this processor has no bfloat16 instructions: trainer.precision=bf16-mixed is several times slower than "
        "trainer.precision=32-true."
    )
