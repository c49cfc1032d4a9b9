"""Send exports to the Hugging Face hub, and fetch them. Only data files are fetched, and no code is executed.

The server is that of the environment variable HF_ENDPOINT, or https://huggingface.co. The access token is that of
`hf auth login` or of the environment variable HF_TOKEN.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from autoencoders.runs.exports import CARD, CONFIG, FILES, WEIGHTS, is_export, read_config
from autoencoders.types import UserError
from autoencoders.utils.extras import import_extra

T = TypeVar("T")

PREFIX = "hub:"
"""Prefix of a reference to a repository, as in `hub:user/name` or `hub:user/name@revision`."""
NAME = re.compile(r"(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
"""Pattern of a repository name, with an optional branch, tag or commit."""
PLACEHOLDER = "path/to/this/folder"
"""Path in a model card that is replaced by the name of the repository when the export is sent."""


def parse_repository(text: str) -> tuple[str, str | None]:
    """Return the repository and the revision (or None) in a text such as `user/name` or `user/name@main`.

    Raises:
        UserError: if the text is not the name of a repository.
    """
    match = NAME.fullmatch(text.removeprefix(PREFIX))
    if match is None:
        raise UserError(f"The repository must be user/name or user/name@revision, got {text!r}. Correct the name.")
    return match["repo"], match["revision"]


def push_export(folder: Path, repository: str, private: bool = False, message: str | None = None) -> str:
    """Send an export to the hub. The repository is created if it does not exist.

    Args:
        folder: folder that `application=export` has written.
        repository: name of the repository, `user/name`, or `user/name@branch` for an existing branch.
        private: whether a new repository is private.
        message: message of the commit; None for a default message.

    Returns:
        Address of the repository.

    Raises:
        UserError: if the folder contains no export, or the server cannot be reached or refuses the files.
    """
    repo, revision = parse_repository(repository)
    check_export(folder)
    hub = _import_client()
    with tempfile.TemporaryDirectory() as copy:
        for file in (file for pattern in FILES for file in sorted(folder.glob(pattern))):
            shutil.copyfile(file, Path(copy, file.name))
        card = Path(copy, CARD)
        if card.is_file():
            text = card.read_text(encoding="utf-8").replace(PLACEHOLDER, f"{PREFIX}{repo}")
            card.write_text(text, encoding="utf-8")

        def send() -> str:
            url = hub.create_repo(repo, private=private, exist_ok=True)
            text = message or "Upload a model of autoencoders"
            hub.upload_folder(repo_id=repo, folder_path=copy, revision=revision, commit_message=text)
            return str(url)

        return _call_hub(send, f"{folder} cannot be sent to {repo}", "Log in with `hf auth login`, or try again later.")


def pull_export(repository: str, folder: Path | None = None) -> Path:
    """Fetch an export from the hub. Only the files of an export are fetched.

    Args:
        repository: name of the repository, `user/name` or `user/name@revision`.
        folder: folder to write; None for the cache of the client, which is also used without a network.

    Returns:
        Folder with the files.

    Raises:
        UserError: if the server cannot be reached, or the repository does not exist or contains no export.
    """
    repo, revision = parse_repository(repository)
    hub = _import_client()

    def fetch() -> str:
        return hub.snapshot_download(repo, revision=revision, local_dir=folder, allow_patterns=list(FILES))

    hint = "Check the name, the network and the login (`hf auth login`)."
    path = Path(_call_hub(fetch, f"{repository} cannot be fetched from the hub", hint))
    if not is_export(path):
        raise UserError(
            f"{repository} must contain an export of this package, but {CONFIG} or {WEIGHTS} is missing. Choose a "
            "repository that `python -m autoencoders.hub push` has written."
        )
    return path


def check_export(folder: Path) -> None:
    """Raise UserError if a folder contains no export. Classes are not checked, so that own models can be sent."""
    if not is_export(folder):
        raise UserError(
            f"folder must be a folder that application=export has written, but {folder} does not contain {CONFIG} and "
            f"{WEIGHTS}. Export a run: python -m autoencoders.apply run=<run> application=export."
        )
    read_config(folder / CONFIG, trust=("",))


def _import_client() -> ModuleType:
    return import_extra("huggingface_hub", "hub", "The hub")


def _call_hub(request: Callable[[], T], failure: str, hint: str) -> T:
    """Send requests to the hub and return the result. An error becomes a UserError of one sentence and a hint."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)  # the client logs every request
    try:
        return request()
    except Exception as error:  # the types of network errors depend on the version of the client
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = (lines[0] if lines else type(error).__name__).rstrip(".")
        raise UserError(f"{failure}: {reason}. {hint}") from error
    finally:
        logging.disable(before)
