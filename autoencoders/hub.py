"""Usage: python -m autoencoders.hub push|pull repo=<user/name> [key=value ...].

Send a folder that application=export has written to the Hugging Face hub, or fetch such a folder.

Examples:
  python -m autoencoders.hub push folder=runs/my-run/export repo=my-name/my-model
  python -m autoencoders.hub push folder=runs/my-run/export repo=my-name/my-model private=true
  python -m autoencoders.hub pull repo=my-name/my-model folder=models/my-model
  python -m autoencoders.hub pull repo=my-name/my-model@v1

In Python, `autoencoders.load("hub:my-name/my-model")` fetches and loads a model. Only data files are fetched, and no
code is executed. The command needs the package extra `hub`, and a login with `hf auth login` to send files. The
environment variable HF_ENDPOINT selects another server. conf/hub.yaml describes all options.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the slow imports, so that a signal during them ends the command with one sentence
    from autoencoders.utils.startup import prepare_process

    prepare_process()

import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from autoencoders.config.arguments import quote_option
from autoencoders.config.cli_errors import exit_with_message, resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF
from autoencoders.types import UserError
from autoencoders.utils.startup import run_command
from autoencoders.utils.streams import check_output

ACTIONS = ("push", "pull")
"""Accepted first words of the command."""
TEXT_OPTIONS = ("repo", "folder", "message")
"""Options whose values are plain text. Special characters in these values have no meaning for Hydra."""


def main() -> None:
    """Parse the command line and send or fetch a model, or print the help text."""
    with run_command():
        words = sys.argv[1:]
        if {"-h", "--help"} & set(words):
            print((__doc__ or "").strip())
            check_output()
            return
        if words and "=" not in words[0] and not words[0].startswith("-"):
            if words[0] not in ACTIONS:
                exit_with_message(UserError(f"The first word must be push or pull, got {words[0]!r}."))
            words[0] = f"action={words[0]}"
        sys.argv[1:] = [quote_option(word, TEXT_OPTIONS) for word in words]
        run_entry_point(job, "hub")
        check_output()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="hub")
def job(config: DictConfig) -> None:
    """Send a model to the hub, or fetch it."""
    with translate_job_errors():
        transfer(resolve_config(config))


def transfer(config: dict[str, Any]) -> None:
    """Send or fetch a model as a configuration says, and print where it is.

    Args:
        config: resolved configuration with the options of `conf/hub.yaml`.

    Raises:
        UserError: if an option is invalid, the package extra `hub` is not installed, or the hub reports an error.
    """
    from autoencoders.runs import hub_client

    action, repo, folder = config["action"], str(config["repo"]), config["folder"]
    if action not in ACTIONS:
        raise UserError(f"action must be push or pull, got {action!r}. Write push or pull as the first word.")
    if not isinstance(config["private"], bool):
        raise UserError(f"private must be true or false, got {config['private']!r}.")
    if action == "pull":
        name, _ = hub_client.parse_repository(repo)
        target = Path(folder or name.rpartition("/")[2])
        hub_client.pull_export(repo, target)
        print(f"pulled   {target}")
        print(f"load     autoencoders.load({str(target)!r})")
        return
    if not folder:
        raise UserError("folder must be a folder that application=export has written, got null. Set folder=<folder>.")
    url = hub_client.push_export(Path(folder), repo, config["private"], config["message"])
    print(f"pushed   {url}")
    print(f"load     autoencoders.load({hub_client.PREFIX + hub_client.parse_repository(repo)[0]!r})")


if __name__ == "__main__":
    main()
