"""Usage: python -m autoencoders.dashboard [key=value ...].

Create or update two workspaces in a W&B project. The workspace "runs" shows single runs. The workspace "sweeps"
compares the runs of sweeps.

Examples:
  python -m autoencoders.dashboard                            use the default project of the training
  python -m autoencoders.dashboard entity=my-team project=faces
  python -m autoencoders.dashboard kinds=[runs] "urls=['https://wandb.ai/...']"   replace the contents of a workspace
  python -m autoencoders.dashboard dry_run=true               print the workspaces as JSON; no network is needed

The command needs the package extra `dashboard` and a login with `wandb login`. conf/dashboard.yaml describes all
options.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the slow imports, so that a signal during them ends the command with one sentence
    from autoencoders.utils.startup import prepare_process

    prepare_process()

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
from autoencoders.utils.startup import run_command
from autoencoders.utils.streams import check_output

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

T = TypeVar("T")

KINDS = ("runs", "sweeps")
"""Accepted values in the option `kinds`, one for each workspace."""


def main() -> None:
    """Parse the command line and update the workspaces, or print the help text."""
    with run_command():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print((__doc__ or "").strip())
        else:
            run_entry_point(job, "dashboard")
        check_output()


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
    urls = config["urls"] or [None] * len(config["kinds"])
    for kind, url in zip(config["kinds"], urls, strict=True):
        print(f"{kind:8} {save(by_kind[kind], url)}")


def check_options(config: dict[str, Any]) -> None:
    """Raise UserError if an option of `conf/dashboard.yaml` has the wrong type or an invalid value."""
    kinds = config["kinds"]
    if not isinstance(kinds, list) or not kinds or not set(kinds) <= set(KINDS):
        raise UserError(
            f"kinds must be a list with at least one name from {list(KINDS)}, got {kinds!r}. Set kinds=[runs,sweeps]."
        )
    urls = config["urls"]
    if not isinstance(urls, list) or len(urls) not in (0, len(kinds)):
        raise UserError(
            f"urls must be an empty list or a list with one URL per workspace in kinds, got {urls!r}. Set "
            "urls=['<URL>'] to update a workspace."
        )
    for name in ("project", "name"):
        if not isinstance(config[name], str) or not config[name]:
            raise UserError(f"{name} must be a non-empty string, got {config[name]!r}. Set {name}=<name>.")


def to_dict(workspace: Workspace) -> dict[str, Any]:
    """Return a workspace as a JSON-compatible dictionary."""
    from pydantic import TypeAdapter

    return TypeAdapter(type(workspace)).dump_python(workspace, mode="json", exclude_none=True)


def default_entity() -> str:
    """Return the default entity (user or team) of the logged-in W&B user, or an empty string if there is none.

    Raises:
        UserError: if nobody is logged in, or the request fails.
    """
    import wandb

    return call_wandb(lambda: wandb.Api().default_entity) or ""


def save(workspace: Workspace, url: str | None = None) -> str:
    """Save a workspace in W&B and return the URL of the workspace.

    Args:
        workspace: the workspace.
        url: URL of an existing workspace, whose contents are replaced; None to create a workspace.

    Raises:
        UserError: if nobody is logged in, W&B cannot be reached, or W&B refuses the request.
    """
    if url is not None:
        existing = call_wandb(lambda: type(workspace).from_url(url))
        existing.name, existing.sections = workspace.name, workspace.sections
        existing.settings, existing.runset_settings = workspace.settings, workspace.runset_settings
        workspace = existing
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
    except (wandb.Error, OSError, ValueError) as error:
        raise UserError(
            f"The request to W&B failed: {error}. Try again later, or print the workspaces with dry_run=true."
        ) from error


if __name__ == "__main__":
    main()
