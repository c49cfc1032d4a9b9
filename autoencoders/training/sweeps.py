"""Sweeps (Hydra's multirun): execution of the jobs, and Hydra callbacks for the start and the end of a sweep.

Every job writes its results to its own folder, with every Hydra launcher. Hydra imports this module at every start.
Therefore the module imports no slow library at the top.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf.errors import OmegaConfBaseException

from autoencoders.config import output_dir
from autoencoders.config.arguments import collapse_numbers, quote, read_overrides
from autoencoders.config.diff import result_settings
from autoencoders.config.instantiate import FORMAT
from autoencoders.training.sweep_signals import pass_on_signals, signal_workers
from autoencoders.training.sweep_table import report_jobs
from autoencoders.types import FolderInUseError, RunStopped, UserError
from autoencoders.utils.error_messages import short_reason
from autoencoders.utils.folder_lock import is_in_use
from autoencoders.utils.json_files import read_json, write_json
from autoencoders.utils.signals import is_worker
from autoencoders.utils.startup import report_stop

if TYPE_CHECKING:
    from omegaconf import DictConfig

HINT = " To continue the sweep, run the same command with the same hydra.sweep.dir."
"""Sentence in the message about a stopped sweep."""


def limit_threads(launcher: DictConfig) -> None:
    """Limit the number of threads to the launcher's `cpus_per_task` (submitit only), before torch is imported.

    The launchers joblib and Ray limit threads themselves. Hydra's basic launcher runs one job at a time on all CPUs.
    """
    if launcher.get("cpus_per_task"):
        os.environ.setdefault("OMP_NUM_THREADS", str(launcher.cpus_per_task))


def shares_processes(launcher: DictConfig) -> bool:
    """Return whether a launcher runs several jobs in the same worker processes: joblib and Ray.

    If a worker process is killed, for example because the memory ran out, these launchers end the other jobs, too.
    Therefore a job runs in a subprocess of the worker process.
    """
    return any(name in launcher["_target_"].lower() for name in ("joblib", "ray"))


def run_job_in_subprocess(config: Mapping, hydra: DictConfig) -> dict[str, float]:
    """Run a job of a sweep in a subprocess, and return the metrics of the job.

    The end of the subprocess does not end the other jobs. Further processes of the job repeat the command line of the
    subprocess. Without the subprocess, this would be the command line of the complete sweep.

    Args:
        config: configuration of the job.
        hydra: Hydra's configuration of the job.

    Raises:
        UserError: if the job fails; the message is the reason.
        RunStopped: if a signal arrives. It is passed on to the job, and raised after the job has ended.
    """
    folder = Path(config["folder"]).absolute()
    # resume=auto: continue the job if an earlier start of the sweep did not finish it.
    search_paths = [override for override in read_overrides(hydra, "hydra") if "hydra.searchpath=" in override]
    overrides = ["resume=auto", *read_overrides(hydra, "task"), *search_paths]
    overrides.append("hydra.mode=RUN")  # some options of hparams_search start a sweep
    if "wandb" in config["logger"]:
        overrides.append(f"logger.wandb.group='{config['logger']['wandb']['group']}'")
    reason = run_in_subprocess(overrides, folder, hydra.runtime.cwd)
    record = read_json(folder / "run.json")
    if record and not is_in_use(folder):  # without the overrides that are added here
        write_json(folder / "run.json", record | {"overrides": collapse_numbers(read_overrides(hydra, "task"))})
    if reason is not None:
        raise UserError(record.get("error", reason))
    return read_json(folder / "metrics.json")


def load_finished_job(config: Mapping) -> dict[str, float] | None:
    """Return the metrics of a job that an earlier start of the sweep has finished; None if the job is not finished.

    Args:
        config: configuration of the job.

    Raises:
        UserError: if the folder of the job contains a finished run with another configuration, or a run in the format
            of another version.
    """
    import yaml

    from autoencoders.runs.loading import check_format

    folder = Path(config["folder"])
    record = read_json(folder / "run.json")
    if record.get("status") != "done":
        return None
    check_format(record.get("format"), folder / "run.json")
    seeded = config["seed"] is not None
    old = result_settings(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")), seeded=seeded)
    new = result_settings(config, seeded=seeded)
    differences = [
        f"{key} is {new.get(key)} instead of {old.get(key)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    if differences:
        raise UserError(
            f"{folder} contains a finished run with another configuration: {'; '.join(differences[:5])}. Choose "
            "another hydra.sweep.dir."
        )
    print(f"autoencoders: {folder.name} is already finished and is skipped.")
    return read_json(folder / "metrics.json")


def record_failed_job(config: Mapping, overrides: Sequence[str], error: Exception) -> float:
    """Print the failure of a job, record it in `run.json` (also if the job has no folder yet), and return NaN.

    Nothing is recorded if another process uses the folder of the job.

    Args:
        config: configuration of the job.
        overrides: command-line overrides of the job.
        error: the exception that ended the job.

    Returns:
        NaN, which Hydra's sweeper uses as the result of the job.
    """
    import traceback

    if isinstance(error, UserError):
        message = reason = str(error)
    else:
        message = "".join(traceback.format_exception(error))
        reason = f"{type(error).__name__}: {error}"
    print(f"autoencoders: {' '.join(overrides)}: {message}", file=sys.stderr)
    if isinstance(error, FolderInUseError) or is_in_use(Path(config["folder"])):
        return float("nan")
    file = Path(config["folder"], "run.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    record = read_json(file)
    if record.get("status") != "failed":  # else the run itself has recorded the failure
        record |= {"format": FORMAT, "overrides": list(overrides), "status": "failed", "error": reason}
        write_json(file, record)
    return float("nan")


def explain_launcher_error(error: Exception) -> str | None:
    """Return a message for an error of a launcher between the jobs of a sweep; None for an error in the configuration.

    Args:
        error: exception that was raised outside of a job.
    """
    if SweepTable.open_sweep is None or isinstance(error, (UserError, HydraException, OmegaConfBaseException)):
        return None
    return f"The launcher of the sweep has failed ({short_reason(error)}). Some jobs have not run, or still run.{HINT}"


class SweepTable(Callback):
    """Hydra callback that writes `sweep.csv` and `rate_distortion.png` to the sweep folder and prints the results."""

    open_sweep: Path | None = None
    """Folder of the sweep that this process has started but not yet finished; None if there is no such sweep."""
    begun = 0.0
    """Start time of the sweep in seconds since 1970. The sweep skips jobs that finished earlier."""

    # Class attributes, because launchers copy the object to other processes.
    _waiting = contextlib.ExitStack()
    _received: ClassVar[list[int]] = []

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Store the folder and the start time of the sweep. Exit with status 2 if the Slurm launcher has no `srun`."""
        if "slurm" in config.hydra.launcher["_target_"].lower() and shutil.which("srun") is None:
            print(
                "autoencoders: hydra/launcher=submitit_slurm needs a Slurm cluster, but the command srun is not on the "
                "PATH. Run the sweep on a login node of the cluster, or choose hydra/launcher=submitit_local.",
                file=sys.stderr,
            )
            output_dir.release_sweep_lock()
            with contextlib.suppress(OSError):  # the folder is not empty
                Path(config.hydra.sweep.dir).rmdir()
            sys.exit(2)
        SweepTable.open_sweep, SweepTable.begun = Path(config.hydra.sweep.dir), time.time()
        SweepTable._received = []
        if "joblib" in config.hydra.launcher["_target_"].lower():  # parallel jobs in worker processes
            SweepTable._received = self._waiting.enter_context(pass_on_signals(signal_workers))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write and print the results of the jobs. Exit with status 1 if a job failed.

        Raises:
            RunStopped: if a signal has stopped parallel jobs.
        """
        self._waiting.close()
        failed = finish_sweep()
        if self._received:
            stop = RunStopped(self._received[0], f"by {signal.Signals(self._received[0]).name}")
            report_stop(stop, HINT)
            raise stop
        if failed:
            sys.exit(1)


class SweepReport(Callback):
    """Hydra callback that writes a report of a finished sweep to `report.html` in the sweep folder.

    Args:
        question: text at the top of the report; None for no text.
    """

    def __init__(self, question: str | None = None) -> None:
        self.question = question

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Run the report command in a subprocess, because the command composes a Hydra configuration of its own."""
        folder = Path(config.hydra.sweep.dir)
        arguments = [f"runs={folder}", f"out={folder / 'report.html'}"]
        if self.question:
            arguments.append(f"question={self.question}")
        process = subprocess.run([sys.executable, "-m", "autoencoders.report", *arguments])
        if process.returncode:
            sys.exit(process.returncode)


def finish_sweep() -> bool:
    """Write and print the results of the sweep of this process, if any. Return whether a job failed.

    This function also works if the launcher failed.
    """
    output_dir.release_sweep_lock()
    folder, SweepTable.open_sweep = SweepTable.open_sweep, None
    if folder is None or not folder.is_dir():
        return False
    if [file.name for file in folder.iterdir()] == ["multirun.yaml"]:
        shutil.rmtree(folder)  # the sweep ended with an error before its first job
        return False
    return report_jobs(folder, SweepTable.begun)


def run_in_subprocess(overrides: Sequence[str], folder: Path, cwd: str) -> str | None:
    """Run the training command in a subprocess and wait for its end. A crash does not affect the current process.

    Args:
        overrides: command-line overrides of the run.
        folder: folder of the run.
        cwd: working directory of the command, to which relative paths in the overrides refer.

    Returns:
        None if the command succeeds, else the last message of the command.

    Raises:
        RunStopped: if a signal arrives. It is passed on to the command, and raised after the command has ended.
    """
    command = [sys.executable, "-m", "autoencoders.train", *overrides, f"hydra.run.dir={quote(str(folder))}"]
    environment = {**os.environ, "NO_COLOR": "1"} if is_worker() else None  # parallel jobs share the terminal
    processes: list[subprocess.Popen[str]] = []

    def send(number: int) -> None:
        for process in processes:
            process.send_signal(number)

    with pass_on_signals(send) as received:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        try:
            last = _forward_errors(process)
        except BaseException:  # such as RunStopped after a third signal
            process.kill()
            raise
    if received:
        where = str(read_json(folder / "run.json").get("error", "")).removeprefix("stopped ")
        raise RunStopped(received[0], where or f"in job {folder.name}")
    if process.returncode < 0:
        return f"The process of the job was killed by {signal.Signals(-process.returncode).name}."
    if process.returncode == 0:
        sys.stderr.write(last)
        return None
    return last.strip().removeprefix("autoencoders: ") or f"exit status {process.returncode}"


def _forward_errors(process: subprocess.Popen[str]) -> str:
    """Print what a process prints on stderr, wait for its end, and return its last line, which is not printed."""
    last = ""
    for line in process.stderr or ():
        if line.strip():
            sys.stderr.write(last)
            last = line
    process.wait()
    return last
