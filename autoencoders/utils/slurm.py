"""Requeue of a Slurm job that a signal has stopped before its end, so that the job continues the run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

from autoencoders.utils import launchers, signals

REQUEUE_SIGNALS = ("SIGUSR1", "SIGUSR2")
"""Signals that Slurm sends before the time limit, if the job was submitted with `--signal=USR1@<seconds>`."""
TIMEOUT = 60.0
"""Time in seconds to wait for Slurm."""


def job_to_requeue(number: int) -> str | None:
    """Return the identifier of the Slurm job of this process, or None if the job should not be requeued.

    Args:
        number: number of the signal that has stopped the run. After SIGTERM, a job is requeued only if another job has
            preempted it. Otherwise, the user or the administrator has ended it.
    """
    job, array = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_JOB_ID")
    if job is None:
        return None
    name = signal.Signals(number).name
    if name not in REQUEUE_SIGNALS and not (name == "SIGTERM" and _is_preempted(job)):
        return None
    return job if array is None else f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"


def requeue(job: str) -> None:
    """Requeue a Slurm job from its first process, and print a message if Slurm does not requeue it.

    Slurm then ends all processes of the job and starts its script again.

    Args:
        job: identifier of the job.
    """
    if not launchers.is_first_process():
        return
    with signals.delay_signals():  # Slurm ends the processes at once
        reason = _call_scontrol(job)
    if reason is not None:
        print(f"autoencoders: warning: Slurm did not requeue the job {job} ({reason}).", file=sys.stderr, flush=True)


def _call_scontrol(job: str) -> str | None:
    """Requeue a Slurm job. Return None, or the reason why Slurm does not requeue the job."""
    try:
        done = _run_scontrol("requeue", job)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"


def _is_preempted(job: str) -> bool:
    """Return whether a job is in its grace time (`GraceTime` of the partition) after a preemption.

    Slurm requeues a preempted job only if it has not ended by itself in this time.
    """
    try:
        text = _run_scontrol("show", "job", job).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "JobState=RUNNING" in text and re.search(r"\bPreemptTime=\d", text) is not None


def _run_scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["scontrol", *arguments], capture_output=True, text=True, timeout=TIMEOUT)
