"""Applications by name, with the default options of `conf/application/`, for use from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoencoders.applications.base import run_application
from autoencoders.config.compose import compose_application, config_groups
from autoencoders.config.suggestions import suggest_name
from autoencoders.runs import references
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError


def apply_by_name(run: Run, name: str, **options: Any) -> ApplicationResult:
    """Apply an application to a run. Nothing is saved, except for latent codes in the run folder.

    Args:
        run: trained run.
        name: name of the application, such as `retrieve`.
        **options: options that replace the defaults of `conf/application/<name>.yaml`.

    Raises:
        UserError: if there is no such application or option, or the application does not support the run.
    """
    known = [option for option in config_groups()["application"] if option != "none"]
    if name not in known:
        hint = suggest_name(name, known)
        raise UserError(f"There is no application {name!r}.{hint} Applications: {', '.join(known)}.")
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in options.items()}
    return run_application(run, name, {**compose_application(name), **plain})


def load_run(path: str | Path, trust: tuple[str, ...] = ()) -> Run:
    """Load a trained run, to which applications can be applied with `run.apply`; see `autoencoders.load`."""
    run = references.load(path, trust)
    run.applier = apply_by_name
    return run
