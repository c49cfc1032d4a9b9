"""Load trained runs for the page, and choose those that fit on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoencoders.config.data_paths import make_paths_absolute
from autoencoders.explorer.content import ExplorerRun, collect_run
from autoencoders.explorer.page import fit_page
from autoencoders.runs import references
from autoencoders.types import UserError
from autoencoders.utils.extras import import_extra


@dataclass(frozen=True)
class LoadOptions:
    """Options with which runs are loaded for the page. The defaults are those of `conf/explore.yaml`.

    Attributes:
        split: split of the codes and images on the page.
        images: maximum number of codes and images per run.
        root: folder with the downloaded data; None for the folder that was used in training.
        data: options of the data that replace those of the training.
        changed_data: `refuse` to raise UserError if the data differ from those of the training, `accept` for a warning.
        trust: prefixes of additional classes that the runs may contain.
        purpose: command or option that needs the extra `export`, for error messages.
    """

    split: str = "val"
    images: int = 500
    root: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    changed_data: str = "refuse"
    trust: tuple[str, ...] = ()
    purpose: str = "autoencoders.explore"


def load_run(path: str | Path, options: LoadOptions, save_codes: bool = True) -> ExplorerRun:
    """Load a trained run and collect its content for the page.

    Args:
        path: run folder, checkpoint, export, `hub:user/name` or `pretrained:name`.
        options: options of the page.
        save_codes: whether to save the codes in the run folder for later commands.

    Raises:
        UserError: if the run cannot be loaded or exported.
    """
    data_options = make_paths_absolute({name: value for name, value in options.data.items() if value is not None})
    run = references.load(path, options.trust, data_options, options.changed_data)
    import_extra("onnxscript", "export", options.purpose)  # before the images are loaded
    if not save_codes:
        run.checkpoint = None
    if options.root:
        run.data.set_root(options.root)
    return collect_run(run, options.split, options.images, options.purpose)


def build_title(runs: Sequence[ExplorerRun]) -> str:
    """Return a heading with the titles of the runs."""
    return "; ".join(dict.fromkeys(run.title for run in runs))


def build_page(
    paths: Mapping[str, Path], options: LoadOptions, title: str, megabytes: float
) -> tuple[str | None, list[str]]:
    """Build a page of several runs. Runs that cannot be loaded, and the last runs that do not fit, are left out.

    Args:
        paths: label of each run -> run folder or checkpoint.
        options: options of the page.
        title: heading of the page.
        megabytes: maximum size of the page, in MB.

    Returns:
        The HTML text, or None if all runs are left out, and one sentence per run that is left out.
    """
    runs: dict[str, ExplorerRun] = {}
    notes = []
    for label, path in paths.items():
        try:
            runs[label] = load_run(path, options)
        except UserError as error:
            notes.append(f"{label}: {error}")
    while runs:
        try:
            return fit_page(list(runs.values()), title, megabytes), notes
        except UserError:
            label, _ = runs.popitem()
            notes.append(f"{label}: left out, because the page would be larger than {megabytes:g} MB.")
    return None, notes
