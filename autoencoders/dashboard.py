"""Usage: python -m autoencoders.dashboard [key=value ...].

Create or update two workspaces of a W&B project: one for single runs, one to compare the runs of sweeps.

Examples:
  python -m autoencoders.dashboard                            in the default project of training
  python -m autoencoders.dashboard entity=my-team project=faces
  python -m autoencoders.dashboard dry_run=true               print the workspaces as JSON; no network is needed

Needs the extra `dashboard` and `wandb login`. conf/dashboard.yaml describes every option.
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
"""Workspaces that can be saved."""


def main() -> None:
    """Run the command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print((__doc__ or "").strip())
        return
    run_entry_point(job)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="dashboard")
def job(config: DictConfig) -> None:
    """Build the workspaces, and save or print them."""
    with translate_job_errors():
        update_workspaces(resolve_config(config))


def update_workspaces(config: dict[str, Any]) -> None:
    """Save the workspaces of a resolved configuration, `conf/dashboard.yaml`, or print them.

    Raises:
        UserError: if an option is invalid, the extra is not installed, or W&B reports an error.
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
    """Raise UserError if an option has a wrong type or value."""
    kinds = config["kinds"]
    if not isinstance(kinds, list) or not kinds or not set(kinds) <= set(KINDS):
        raise UserError(f"kinds must be a list of names from {list(KINDS)}, such as kinds=[runs], got {kinds!r}.")
    for name in ("project", "name"):
        if not isinstance(config[name], str) or not config[name]:
            raise UserError(f"{name} must be a non-empty name, got {config[name]!r}.")


def to_dict(workspace: Workspace) -> dict[str, Any]:
    """Return the JSON content of a workspace that is sent to W&B."""
    return json.loads(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True))


def default_entity() -> str:
    """Return the default entity of the logged-in user."""
    import wandb

    return call_wandb(lambda: wandb.Api().default_entity) or ""


def save(workspace: Workspace) -> str:
    """Save a workspace, replacing the one of the same name that an earlier call has saved. Return its URL.

    Raises:
        UserError: if nobody is logged in, or W&B cannot be reached or refuses.
    """
    from wandb_workspaces.workspaces import internal

    # A fixed name in W&B's form, so that an existing workspace of this name is updated.
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
        existing = {}  # there is no such workspace yet
    workspace._internal_id = existing.get("id", "")
    call_wandb(workspace.save)
    return workspace.url


def call_wandb(request: Callable[[], T]) -> T:
    """Return the result of a request to W&B.

    Raises:
        UserError: if nobody is logged in, or the request fails.
    """
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise UserError(
            "Workspaces are stored by W&B, but nobody is logged in on this machine, or WANDB_MODE is offline. Log in "
            "with: wandb login. Or print the workspaces with dry_run=true."
        )
    try:
        return request()
    except (wandb.Error, OSError) as error:
        raise UserError(f"The request to W&B failed: {error}. Print the workspaces with dry_run=true.") from error


if __name__ == "__main__":
    main()
