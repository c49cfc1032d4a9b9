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
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF, help_text, quote_option
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils import error_messages
from autoencoders.utils.console import format_number, format_with_error, print_table, quiet_broken_pipe
from autoencoders.utils.startup import load_heavy_libraries

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 60
"""Maximum number of rows of a printed table."""
ERROR_SUFFIX = " +-"
"""End of the name of a column with the standard errors of the column of the same name."""
PATHS = ("run", "classifier", "images", "root", "folder")
"""Options that are paths and are taken literally."""


def main() -> None:
    """Run the command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        with quiet_broken_pipe():
            print(help_text(__doc__ or "", ("application",)))
        return
    sys.argv[1:] = [quote_option(argument, PATHS) for argument in sys.argv[1:]]
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
    writer, results = MediaWriter(folder, []), {}
    for name, node in config["application"].items():
        print(f"{name}: {run.title}", flush=True)
        results[name] = run_application(run, name, node)
        print_result(results[name], writer.present(name, results[name], run.step))
    return results


def print_result(result: ApplicationResult, files: list[Path]) -> None:
    """Print the tables of a result, as far as they fit the terminal, and the names of its files."""
    for key, table in result.tables.items():
        if len(table.columns) == 1:  # lines of text
            print("\n".join([key, *(f"  {line}" for line in table.iloc[:, 0].astype(str))]))
        elif len(table) <= MAX_ROWS:
            dropped = print_table(*format_table(table), title=key)
            if dropped:
                csv_files = [file for file in files if file.name == f"{key}.csv"]
                print(f"  {dropped} more columns in {csv_files[0] if csv_files else f'{key}.csv'}")
    print("\n".join(f"  -> {file}" for file in files), flush=True)


def format_table(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the cells of a table. A column `x` and its errors `x +-` become one column."""
    names = [str(name) for name in table.columns]
    headers = [
        name for name in names if name.removesuffix(ERROR_SUFFIX) not in names or not name.endswith(ERROR_SUFFIX)
    ]
    rows = []
    for values in table.itertuples(index=False, name=None):
        cells = dict(zip(names, values, strict=True))
        rows.append([format_cell(cells[name], cells.get(f"{name}{ERROR_SUFFIX}")) for name in headers])
    return headers, rows


def format_cell(value: Any, error: Any = None) -> str:
    """Return the text of a cell, with the standard error if there is one. A missing value is empty."""
    import pandas as pd

    if pd.isna(value):
        return ""
    if not isinstance(value, Real) or isinstance(value, Integral):
        return str(value)
    return (
        format_number(float(value))
        if error is None or pd.isna(error)
        else format_with_error(float(value), float(error))
    )


if __name__ == "__main__":
    main()
