"""Usage: python -m autoencoders.dashboard [key=value ...].

Create or update two workspaces in a W&B project. The workspace "runs" shows single runs. The workspace "sweeps"
compares the runs of sweeps.

Examples:
  python -m autoencoders.dashboard                            use the default project of the training
  python -m autoencoders.dashboard entity=my-team project=faces
  python -m autoencoders.dashboard dry_run=true               print the workspaces as JSON; no network is needed

The command needs the package extra `dashboard` and a login with `wandb login`. conf/dashboard.yaml describes all
options.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import hydra
from omegaconf import DictConfig

from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF
from autoencoders.types import UserError
from autoencoders.utils.extras import import_extra

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

T = TypeVar("T")

KINDS = ("runs", "sweeps")
"""Accepted values in the option `kinds`, one for each workspace."""


def main() -> None:
    """Parse the command line and update the workspaces, or print the help text."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print((__doc__ or "").strip())
        return
    run_entry_point(job, "dashboard")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="dashboard")
def job(config: DictConfig) -> None:
    """Build the W&B workspaces. Save the workspaces, or print them if `dry_run=true`."""
    with translate_job_errors():
        update_workspaces(resolve_config(config))


def update_workspaces(config: dict[str, Any]) -> None:
    """Save the W&B workspaces that a configuration selects, or print them as JSON if `dry_run` is true.

    Args:
        config: resolved configuration with the options of `conf/dashboard.yaml`.

    Raises:
        UserError: if an option is invalid, the package extra `dashboard` is not installed, or W&B reports an error.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    check_options(config)
    import_extra("wandb_workspaces", "dashboard", "The dashboard")
    from autoencoders.loggers.wandb_workspaces import workspaces

    entity = config["entity"] or ("" if config["dry_run"] else default_entity())
    by_kind = workspaces(entity, config["project"], config["name"])
    if config["dry_run"]:
        print(json.dumps({kind: to_dict(by_kind[kind]) for kind in config["kinds"]}, indent=2))
        return
    for kind in config["kinds"]:
        print(f"{kind:8} {save(by_kind[kind])}")


def check_options(config: dict[str, Any]) -> None:
    """Raise UserError if an option of `conf/dashboard.yaml` has the wrong type or an invalid value."""
    kinds = config["kinds"]
    if not isinstance(kinds, list) or not kinds or not set(kinds) <= set(KINDS):
        raise UserError(
            f"kinds must be a list with at least one name from {list(KINDS)}, got {kinds!r}. Set kinds=[runs,sweeps]."
        )
    for name in ("project", "name"):
        if not isinstance(config[name], str) or not config[name]:
            raise UserError(f"{name} must be a non-empty string, got {config[name]!r}. Set {name}=<name>.")


def to_dict(workspace: Workspace) -> dict[str, Any]:
    """Return a workspace as the JSON-compatible dictionary that is sent to W&B."""
    return json.loads(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True))


def default_entity() -> str:
    """Return the default entity (user or team) of the logged-in W&B user, or an empty string if there is none.

    Raises:
        UserError: if nobody is logged in, or the request fails.
    """
    import wandb

    return call_wandb(lambda: wandb.Api().default_entity) or ""


def save(workspace: Workspace) -> str:
    """Save a workspace in W&B and return the URL of the workspace.

    If an earlier call has saved a workspace with the same name, the new workspace replaces it.

    Raises:
        UserError: if nobody is logged in, W&B cannot be reached, or W&B refuses the request.
    """
    from wandb_workspaces.workspaces import internal

    # This internal name depends only on project and name. W&B therefore updates an existing workspace.
    digest = hashlib.sha256(f"{workspace.project}/{workspace.name}".encode()).hexdigest()[:11]
    workspace._internal_name = f"nw-{digest}-v"
    try:
        existing = call_wandb(lambda: internal.get_view_dict(workspace.entity, workspace.project, digest))
    except ValueError as error:
        if str(error).startswith("Project"):
            raise UserError(
                f"project must be a W&B project that you can access, got {workspace.entity}/{workspace.project}. "
                "Choose project=<a project with runs>."
            ) from error
        existing = {}  # W&B has no workspace with this name yet
    workspace._internal_id = existing.get("id", "")
    call_wandb(workspace.save)
    return workspace.url


def call_wandb(request: Callable[[], T]) -> T:
    """Send a request to W&B and return the result.

    Args:
        request: function without arguments that sends the request.

    Raises:
        UserError: if nobody is logged in, or the request fails.
    """
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise UserError(
            "A W&B login is needed to save workspaces, but nobody is logged in on this machine, or WANDB_MODE is "
            "offline. Log in with `wandb login`, or print the workspaces with dry_run=true."
        )
    try:
        return request()
    except (wandb.Error, OSError) as error:
        raise UserError(
            f"The request to W&B failed: {error}. Try again later, or print the workspaces with dry_run=true."
        ) from error


if __name__ == "__main__":
    main()
