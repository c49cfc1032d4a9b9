"""Usage: python -m autoencoders.dashboard [key=value ...].

Creates, or brings up to date, two workspaces of a W&B project: one to look at runs, one to compare those of sweeps.

Examples:
  python -m autoencoders.dashboard                            in the project that runs are logged to by default
  python -m autoencoders.dashboard entity=my-team project=faces
  python -m autoencoders.dashboard dry_run=true               print what would be saved, as JSON; no network is needed

Needs pip install 'autoencoders[dashboard]', and wandb login. Every option has its comment in conf/dashboard.yaml.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF
from autoencoders.types import UserError

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

KINDS = ("runs", "sweeps")


def main() -> None:
    """What the command line runs."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__.strip())
        return
    run_entry_point(job)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="dashboard")
def job(config: DictConfig) -> None:
    """Build the workspaces, and save or print them."""
    with translate_job_errors():
        draw(resolve_config(config))


def draw(config: dict[str, Any]) -> None:
    """Save the workspaces of a resolved configuration, as `conf/dashboard.yaml`, or print them.

    Raises:
        UserError: where an option is not what it should be, the extra is not installed, or W&B does not do it.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    kinds = config["kinds"]
    if not isinstance(kinds, list) or not kinds or not set(kinds) <= set(KINDS):
        raise UserError(f"kinds must be a list of some of {list(KINDS)}, such as kinds=[runs], and is {kinds!r}.")
    for name in ("project", "name"):
        if not isinstance(config[name], str) or not config[name]:
            raise UserError(f"{name} must be a name, and is {config[name]!r}.")
    try:
        from autoencoders.loggers.wandb_workspaces import workspaces
    except ModuleNotFoundError as error:
        raise UserError(
            f"The dashboard needs wandb-workspaces, and there is no {error.name}. Install it with: pip install "
            "'autoencoders[dashboard]'."
        ) from error
    entity = config["entity"] or ("" if config["dry_run"] else default_entity())
    built = workspaces(entity, config["project"], config["name"])
    if config["dry_run"]:
        print(json.dumps({kind: specification(built[kind]) for kind in kinds}, indent=2))
        return
    for kind in kinds:
        print(f"{kind:8} {save(built[kind])}")


def specification(workspace: Workspace) -> dict[str, Any]:
    """What W&B is sent of a workspace."""
    return json.loads(workspace._to_model().model_dump_json(by_alias=True, exclude_none=True))


def default_entity() -> str:
    """The logged-in user's own."""
    import wandb

    return asked(lambda: wandb.Api().default_entity)


def save(workspace: Workspace) -> str:
    """Save a workspace over what an earlier call has saved in the project, if anything; returns its address.

    Raises:
        UserError: where nobody is logged in, W&B cannot be reached, or refuses.
    """
    from wandb_workspaces.workspaces import internal

    # A name in W&B's form that is always the same: what is there under it is brought up to date.
    digest = hashlib.sha256(f"{workspace.project}/{workspace.name}".encode()).hexdigest()[:11]
    workspace._internal_name = f"nw-{digest}-v"
    try:
        existing = asked(lambda: internal.get_view_dict(workspace.entity, workspace.project, digest))
    except ValueError as error:
        if error.args and str(error).startswith("Project"):
            place = f"{workspace.entity}/{workspace.project}"
            message = f"W&B has no project {place}, or shows it to nobody like you. Choose project=<one that has runs>."
            raise UserError(message) from error
        existing = {}  # no such workspace yet
    workspace._internal_id = existing.get("id", "")
    asked(workspace.save)
    return workspace.url


def asked(question: Callable[[], Any]) -> Any:
    """W&B's answer; what is no answer becomes a UserError."""
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise UserError(
            "Nobody is logged in to W&B on this machine, or WANDB_MODE is offline, and workspaces are kept there. Log "
            "in with: wandb login; or see what would be saved with dry_run=true."
        )
    try:
        return question()
    except (wandb.Error, OSError) as error:
        raise UserError(f"W&B did not do it: {error}. See what would be saved with dry_run=true.") from error


if __name__ == "__main__":
    main()
