"""Usage: python -m autoencoders.apply run=<folder or checkpoint> application=<name> [key=value ...].

Apply a trained run: save figures, tables and numbers with baselines in its folder.

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
"""Maximum number of rows of a printed table."""
PATHS = ("run", "classifier", "images", "root", "folder")
"""Options that are paths and are taken literally."""


def main() -> None:
    """Run the command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text(__doc__, ("application",)))
        return
    sys.argv[1:] = [quote_option(word, PATHS) for word in sys.argv[1:]]
    run_entry_point(job)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="apply")
def job(config: DictConfig) -> None:
    """Load the run and run the requested applications."""
    with translate_job_errors():
        plain = resolve_config(config)
        load_heavy_libraries()
        with error_messages.translate_errors(plain):
            ask(plain)


def ask(config: dict[str, Any]) -> dict[str, ApplicationResult]:
    """Run the applications of a resolved configuration and save their results.

    Raises:
        UserError: if the run cannot be loaded, or an application does not fit it.
    """
    import torch

    from autoencoders.applications.base import run_application
    from autoencoders.loggers.media import MediaWriter
    from autoencoders.runs import loading

    if config["split"] not in ("train", "val", "test"):
        raise UserError(f"split must be train, val or test, got {config['split']}.")
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
        print(summary(found[name], writer.save_result(name, found[name], run.step)), flush=True)
    return found


def summary(result: ApplicationResult, files: list[Path]) -> str:
    """Return the printed lines of an application's result."""
    lines = []
    for key, table in result.tables.items():
        if len(table.columns) == 1:  # lines of text
            lines += [f"  {key}", *(f"    {line}" for line in table.iloc[:, 0].astype(str))]
        elif len(table) <= LINES:
            words = table.to_string(index=False, float_format=lambda v: f"{v:.5g}", na_rep="")
            lines += [f"  {key}", *(f"    {line}" for line in words.splitlines())]
    return "\n".join([*lines, *(f"  -> {file}" for file in files)])


if __name__ == "__main__":
    main()
