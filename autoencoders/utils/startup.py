"""Start-up of the command-line programs: fast imports of large libraries, and suppression of irrelevant output."""

from __future__ import annotations

import atexit
import gc
import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIABLES = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "CUBLAS_WORKSPACE_CONFIG", "PL_GLOBAL_SEED", "PL_SEED_WORKERS",
             "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # fmt: skip
"""Environment variables that this package and Lightning set during a run, and that are restored after the run."""


def load_heavy_libraries() -> None:
    """Import torch and Lightning without garbage collection, which would take a quarter of the import time."""
    # In later jobs of a sweep, the libraries are already imported, and objects of earlier jobs must not be frozen.
    if "lightning.pytorch" not in sys.modules:
        gc.disable()
        import lightning.pytorch  # noqa: F401

        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # otherwise some extension modules report leaks at exit
    skip_driver_search()
    silence_libraries()


def skip_driver_search() -> None:
    """Disable torch's search for GPUs with NVIDIA's library NVML if there is no GPU.

    Lightning enables this search because it is safe for processes that are forked later. Without a GPU, torch repeats
    the search in every optimizer step, which takes 0.1 ms each time.
    """
    import torch

    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


@contextmanager
def restore_settings() -> Iterator[None]:
    """Restore the settings of the process that Lightning changes, so that the next job of a sweep is not affected.

    Inside of the `with` block, torch loads checkpoints without executing code.
    """
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
    """Suppress log messages and warnings of Lightning and torch that are irrelevant to the user."""
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
        ".*sync_dist=True.*",  # metrics are already reduced across processes before they are logged
        ".*could be decompression bomb.*",  # large photos are accepted; images above the limit of Pillow raise an error
    )
    for pattern in (*ours, ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", pattern)


@contextmanager
def exit_on_closed_stdout() -> Iterator[None]:
    """Exit without a message if the program that reads stdout has closed it, as `head` does after its last line.

    In a locale that is not UTF-8, characters that stdout and stderr cannot represent are printed as escape sequences.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()  # an error in the flush at interpreter exit could not be caught
    except BrokenPipeError:
        if not _is_stdout_closed():
            raise  # the error is about another pipe than stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at interpreter exit succeeds
        sys.exit(128 + signal.SIGPIPE)


def _is_stdout_closed() -> bool:
    """Return whether stdout is a pipe that no program reads."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # without requested events, poll reports only errors
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def slow_precision_warning(trainer: Any) -> str | None:
    """Return a warning if a run uses bfloat16 on a CPU that has no bfloat16 instructions, else None.

    Args:
        trainer: Lightning's Trainer of the run.
    """
    import torch

    if trainer.strategy.root_device.type != "cpu" or trainer.precision != "bf16-mixed":
        return None
    capabilities: dict[str, Any] = getattr(
        torch.cpu, "get_capabilities", dict
    )()  # missing in the oldest supported torch
    if capabilities.get("architecture") != "x86_64" or capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        return None
    return (
        "trainer.precision=bf16-mixed is several times slower than trainer.precision=32-true on this processor, "
        "because the processor has no bfloat16 instructions. Set trainer.precision=32-true."
    )
