"""Usage: python -m autoencoders.explore run=<run> [run=<run> ...] [key=value ...].

Write one HTML file in which the trained decoder runs in the browser, without a server and without a network. The page
shows a map of the latent space with the codes of validation images, and decodes the point under the pointer. It also
has sliders for the latents, buttons for the classes or sliders for the attributes of a CVAE, samples, paths between two
points, and reconstructions of your own pictures.

Examples:
  python -m autoencoders.explore run=runs/my-run
  python -m autoencoders.explore run=runs/my-vae run=runs/my-cvae out=compare.html
  python -m autoencoders.explore run=runs/my-run images=200 megabytes=10

The command needs the package extra `export`. conf/explore.yaml describes all options.
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

from autoencoders.config.arguments import merge_list_option, quote_option
from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF
from autoencoders.types import SPLITS, UserError
from autoencoders.utils import error_messages, launchers
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.startup import load_heavy_libraries, run_command
from autoencoders.utils.streams import check_output

TEXT_OPTIONS = ("title", "out", "root", "data.path", "data.labels")
"""Options whose values are plain text. Special characters in these values have no meaning for Hydra."""


def main() -> None:
    """Parse the command line and write the page, or print the help text."""
    with run_command():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(str(__doc__).strip())
            check_output()
            return
        arguments = merge_list_option(sys.argv[1:], "run")
        sys.argv[1:] = [quote_option(argument, TEXT_OPTIONS) for argument in arguments]
        run_entry_point(job, "explore")


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="explore")
def job(config: DictConfig) -> None:
    """Load the trained runs and write the page."""
    with translate_job_errors():
        resolved = resolve_config(config)
        launchers.check_single_process("explore")
        launchers.ignore_leftovers()
        validate_options(resolved)
        load_heavy_libraries()
        with error_messages.translate_errors(resolved):
            write_explorer(resolved)


def write_explorer(config: dict[str, Any]) -> Path:
    """Write the page to a file, print the path of the file, and return the path.

    Args:
        config: resolved config with the options of `conf/explore.yaml`.

    Raises:
        UserError: if a run cannot be loaded or exported, an option is invalid, or the file cannot be written.
    """
    from autoencoders.config.instantiate import trusted_prefixes
    from autoencoders.explorer.loading import LoadOptions, build_title, load_run
    from autoencoders.explorer.page import fit_page

    out = output_path(config["out"])
    names = ("split", "images", "root", "data", "changed_data")
    options = LoadOptions(trust=trusted_prefixes(config["trust"]), **{name: config[name] for name in names})
    runs = [load_run(path, options) for path in run_paths(config)]
    content = fit_page(runs, config["title"] or build_title(runs), config["megabytes"]).encode("utf-8", "replace")
    try:
        with atomic_write(out) as partial:
            partial.write_bytes(content)
    except OSError as error:
        reason = error.strerror
        raise UserError(f"The page cannot be written to {out}: {reason}. Choose another out=<file>.") from error
    count = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    difference = max(run.difference for run in runs)
    print(f"explorer {out} ({count}, {len(content) / 1e6:.1f} MB, largest difference from PyTorch {difference:.1e})")
    for run in runs:
        if not run.has_encoder:
            print(f"note     {run.title}: without the encoder, because megabytes={config['megabytes']:g}")
    return out


def run_paths(config: dict[str, Any]) -> list[str]:
    """Return the option `run` as a list of paths.

    Raises:
        UserError: if the option is neither a path nor a list of paths.
    """
    paths = [config["run"]] if isinstance(config["run"], str) else config["run"]
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise UserError(f"run must be a run folder or a list of run folders, got {config['run']!r}. Set run=runs/mine.")
    return paths


def validate_options(config: dict[str, Any]) -> None:
    """Raise UserError if an option of `conf/explore.yaml` has the wrong type or an invalid value."""
    run_paths(config)
    if config["split"] not in SPLITS:
        raise UserError(f"split must be train, val or test, got {config['split']}.")
    if type(config["images"]) is not int or config["images"] < 2:
        raise UserError(f"images must be an integer >= 2, got {config['images']!r}.")
    if not isinstance(config["megabytes"], (int, float)) or config["megabytes"] <= 0:
        raise UserError(f"megabytes must be a number > 0, got {config['megabytes']!r}.")


def output_path(out: str | None) -> Path:
    """Return the path of the page: the file `out`, or `explorer.html` in the folder `out` or in the current folder.

    Raises:
        UserError: if the file name does not end in `.html`.
    """
    path = Path(out or "explorer.html").expanduser()
    if path.is_dir():
        path = path / "explorer.html"
    if path.suffix != ".html":
        raise UserError(f"out must end in .html, got {out}. Choose out=<name>.html.")
    return path


if __name__ == "__main__":
    main()
