"""Usage: python -m autoencoders.apply run=<folder or checkpoint> application=<name> [key=value ...].

Asks a trained run: figures, tables and numbers beside their baselines, into the run's folder.

Examples:
  python -m autoencoders.apply run=runs/my-run application=reconstruct
  python -m autoencoders.apply run=runs/my-run application=[reconstruct,browse] split=val
  python -m autoencoders.apply run=runs/my-run/checkpoints/last.ckpt application=reconstruct images=my/photos
  python -m autoencoders.apply run=runs/my-run application=evaluate classifier=runs/my-classifier
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF, help_text, quote_option
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils import error_messages
from autoencoders.utils.startup import load_heavy_libraries

LINES = 60
"""Rows, at most, of a table that the terminal shows."""
PATHS = ("run", "classifier", "images", "root", "folder")
"""Options that are paths: taken as they stand, whatever characters they hold."""


def main() -> None:
    """What the command line runs."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text(__doc__, ("application",)))
        return
    sys.argv[1:] = [quote_option(word, PATHS) for word in sys.argv[1:]]
    run_entry_point(job)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="apply")
def job(config: DictConfig) -> None:
    """Open the run and answer every application asked for."""
    with translate_job_errors():
        plain = resolve_config(config)
        load_heavy_libraries()
        with error_messages.translate_errors(plain):
            ask(plain)


def ask(config: dict[str, Any]) -> dict[str, ApplicationResult]:
    """Answer the applications of a resolved configuration, and deliver what they find.

    Raises:
        UserError: where the run cannot be opened, or an application does not fit it.
    """
    import torch

    from autoencoders.applications.base import run_application
    from autoencoders.loggers.media import MediaWriter
    from autoencoders.runs import loading

    if config["split"] not in ("train", "val", "test"):
        raise UserError(f"split must be train, val or test, and is {config['split']}.")
    run = loading.open_run(config["run"])
    if config["root"]:
        run.data.move(config["root"])
    if config["device"] == "auto":
        config["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    run.model.to(config["device"])
    folder = Path(config["folder"] or (run.path if run.path.is_dir() else run.path.parent))
    writer, found = MediaWriter(folder, []), {}
    for name, node in config["application"].items():
        print(f"{name}: {run.title}", flush=True)
        found[name] = run_application(run, name, node)
        print(summary(found[name], writer.present(name, found[name], run.step)), flush=True)
    return found


def summary(result: ApplicationResult, files: list[Path]) -> str:
    """The lines that the terminal shows of what an application found."""
    lines = []
    for key, table in result.tables.items():
        if len(table.columns) == 1:  # text, line by line
            lines += [f"  {key}", *(f"    {line}" for line in table.iloc[:, 0].astype(str))]
        elif len(table) <= LINES:
            words = table.to_string(index=False, float_format=lambda v: f"{v:.5g}", na_rep="")
            lines += [f"  {key}", *(f"    {line}" for line in words.splitlines())]
    return "\n".join([*lines, *(f"  -> {file}" for file in files)])


if __name__ == "__main__":
    main()
