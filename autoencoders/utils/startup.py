"""Start-up of the command-line programs: fast imports of large libraries, and suppression of irrelevant output."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from autoencoders.types import RunStopped
from autoencoders.utils import launchers, signals
from autoencoders.utils.streams import protect_streams

VARIABLES = ("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "CUBLAS_WORKSPACE_CONFIG", "PL_GLOBAL_SEED", "PL_SEED_WORKERS",
             "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # fmt: skip
"""Environment variables that this package and Lightning set during a run, and that are restored after the run."""
BACKEND = "agg"
"""Backend of Matplotlib, which only writes files. Jupyter and Colab set another one, also for commands, in the variable
MPLBACKEND. It may not be installed where the command runs."""


def load_heavy_libraries(clean_up: Callable[[], None] = lambda: None) -> None:
    """Import torch and Lightning without garbage collection, which would take a quarter of the import time.

    Args:
        clean_up: function that is called if a signal ends the process during the imports.
    """
    # In later jobs of a sweep, the libraries are already imported, and objects of earlier jobs must not be frozen.
    if "lightning.pytorch" not in sys.modules:
        gc.disable()
        with signals.exit_on_signals(clean_up):
            import lightning.pytorch  # noqa: F401

        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # otherwise some extension modules report leaks at exit
    skip_driver_search()
    silence_libraries()


@contextmanager
def freeze_objects() -> Iterator[None]:
    """Exclude all existing objects from garbage collection inside of the `with` block.

    A complete collection of the objects of torch and Lightning takes 0.3 s, and there is more than one in a short
    training.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def skip_driver_search() -> None:
    """Disable torch's search for GPUs with NVIDIA's library NVML if there is no GPU.

    Lightning enables this search because it is safe for processes that are forked later. Without a GPU, torch repeats
    the search in every optimizer step, which takes 0.1 ms each time.
    """
    import torch

    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def prepare_process() -> None:
    """Prepare the process of a command before its slow imports: streams, environment variables and signals.

    Until `run_command` sets other handlers, a signal ends the process at once.
    """
    protect_streams()
    _set_variables(_safe_variables())
    signals.set_handler(signals.SignalHandler(signals.exit_at_once))


@contextmanager
def run_command() -> Iterator[None]:
    """Run a command inside of the `with` block: a signal ends it with one sentence, and lost output does not end it.

    Raises:
        RunStopped: if the process receives a signal. The exit status is 128 + the number of the signal.
    """
    protect_streams()
    before = _set_variables(_safe_variables())
    try:
        with signals.stop_on_signals():
            yield
    except RunStopped as stop:
        report_stop(stop)
        raise
    finally:
        sys.stdout.flush()
        _set_variables(before)


def report_stop(stop: RunStopped, hint: str = "") -> None:
    """Print on stderr where a signal has stopped the command, once, and only in the first of several processes.

    Nothing is printed in a worker process of a parallel sweep, because the sweep prints a table of all jobs.

    Args:
        stop: the exception. If a further signal arrived while it was handled, the first signal is reported.
        hint: sentence that is appended, with a space before it.
    """
    first = stop
    while isinstance(first.__context__, RunStopped):
        first = first.__context__
    if not first.reported and launchers.is_first_process() and not signals.is_worker():
        print(f"autoencoders: stopped {first.where}.{hint}", file=sys.stderr, flush=True)
    first.reported = True


def _safe_variables() -> dict[str, str | None]:
    """Return environment variables that must have another value during a command; None: the variable must not exist."""
    sizes = [name for name in ("COLUMNS", "LINES") if os.environ.get(name) == "0"]  # no output would be visible
    return {"MPLBACKEND": BACKEND, **dict.fromkeys(sizes)}


def _set_variables(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Set or remove (None) environment variables, and return their previous values."""
    before = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before


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
        _set_variables(environment)


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
        ".*`srun` command is available.*",  # srun is optional; its use is documented
        ".*could be decompression bomb.*",  # large photos are accepted; images above the limit of Pillow raise an error
    )
    for pattern in (*ours, ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", pattern)
