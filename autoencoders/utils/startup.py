"""What every door does before heavy work: load the libraries fast, and take away what they say for nothing."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIABLES = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "CUBLAS_WORKSPACE_CONFIG", "PL_GLOBAL_SEED", "PL_SEED_WORKERS")
"""What is written into the environment: by us, and by Lightning (deterministic matrix products on a GPU, the seed)."""


def load_heavy_libraries() -> None:
    """Import them without garbage collection: a quarter of the time goes into objects that live for ever."""
    if "lightning.pytorch" not in sys.modules:  # a later job of a sweep has them: freezing would keep its predecessor
        gc.disable()
        import lightning.pytorch  # noqa: F401

        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # else some extension modules report everything as leaked
    skip_driver_search()
    silence_libraries()


def skip_driver_search() -> None:
    """Where there is no GPU, let torch not search the disk for NVIDIA's library again in every optimizer step.

    Lightning asks torch to look for GPUs through NVML, which does not disturb processes that are forked later. Without
    a GPU the answer is never kept, and each search costs .1 ms.
    """
    import torch

    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


@contextmanager
def restore_settings() -> Iterator[None]:
    """Put back what Lightning sets for the whole process and leaves: the next job of a sweep may want it otherwise."""
    import torch

    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark, environment = torch.backends.cudnn.benchmark, {name: os.environ.get(name) for name in VARIABLES}
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # whoever loads a checkpoint: it executes no code
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
    """Take away the lines of libraries that tell a user nothing about the run."""
    import logging
    import warnings

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ours = (
        ".*smaller than the logging interval.*",
        ".*configure_optimizers.*None.*",
        ".*dataloader is not resumable.*",
        ".*training_step.*returned.*None.*",  # model=pca has nothing to step
        ".*parameters.*is an empty generator.*",
        ".*exists and is not empty.*",
        ".*could not find the monitored key.*",  # a run may end before its first validation; last.ckpt is there
        ".*sync_dist=True.*",  # our sums are added up over processes before they are logged
        ".*could be decompression bomb.*",  # a large photo, which is read all the same; larger ones are refused
    )
    for pattern in (*ours, ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", pattern)


def slow_precision_warning(trainer: Any) -> str | None:
    """What to say of bfloat16 on a processor that has no instructions for it and emulates them; None elsewhere."""
    import torch

    if trainer.strategy.root_device.type != "cpu" or trainer.precision != "bf16-mixed":
        return None
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # newer than the oldest torch we run on
    if capabilities.get("architecture") != "x86_64" or capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        return None
    return (
        "this processor has no bfloat16 instructions, and trainer.precision=bf16-mixed is several times slower on it "
        "than trainer.precision=32-true."
    )
