"""Usage: python -m autoencoders.apply run=<folder or checkpoint> application=<name> [key=value ...].

Apply a trained run: reconstruct, sample, edit or evaluate images. The figures, tables and metrics are saved in the run
folder.

Examples:
  python -m autoencoders.apply run=runs/my-run application=reconstruct
  python -m autoencoders.apply run=runs/my-run application=[reconstruct,browse] split=val
  python -m autoencoders.apply run=runs/my-run/checkpoints/last.ckpt application=reconstruct images=my/photos
  python -m autoencoders.apply run=runs/my-run application=evaluate classifier=runs/my-classifier
  python -m autoencoders.apply run=pretrained:mnist-cvae application=sample
"""

from __future__ import annotations

if __name__ == "__main__":  # before the slow imports, so that a signal during them ends the command with one sentence
    from autoencoders.utils.startup import prepare_process

    prepare_process()

import numbers
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from autoencoders.config.arguments import quote_option, quote_unparsable
from autoencoders.config.cli_errors import (
    exit_with_message,
    resolve_config,
    run_entry_point,
    translate_job_errors,
)
from autoencoders.config.compose import CONF, config_groups, help_text
from autoencoders.config.data_paths import make_paths_absolute
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils import error_messages, launchers
from autoencoders.utils.console import format_number, format_with_error, line_width, print_table
from autoencoders.utils.startup import load_heavy_libraries, run_command
from autoencoders.utils.streams import check_output

if TYPE_CHECKING:
    import pandas as pd


MAX_ROWS = 60
"""Maximum number of rows in a printed table. Longer tables are only saved."""
PATHS = (
    "run", "classifier", "features", "images", "root", "folder", "data.path", "data.labels", "application.decode.codes",
    "application.detect.masks",
)  # fmt: skip
"""Options whose values are paths. Special characters in these values have no meaning for Hydra."""
_refused: list[str] = []
"""Messages of the jobs that have failed, if several jobs are run with `-m`."""


def main() -> None:
    """Parse the command line and run the selected applications, or print the help text."""
    with run_command():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(help_text(__doc__, ("application",)))
            check_output()
            return
        if (message := suggest_options(sys.argv[1:])) is not None:
            exit_with_message(UserError(message))
        sys.argv[1:] = [re.sub("^ckpt_path=", "run=", argument) for argument in sys.argv[1:]]  # name in other projects
        is_sweep = bool({"-m", "--multirun"} & set(sys.argv[1:]))
        quote_path = quote_unparsable if is_sweep else quote_option  # run=a,b are two runs in a sweep only
        sys.argv[1:] = [quote_path(argument, PATHS) for argument in sys.argv[1:]]
        _refused.clear()
        run_entry_point(job, "apply")
        if _refused:
            sys.exit(2)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="apply")
def job(config: DictConfig) -> None:
    """Load the trained run and apply the selected applications to it."""
    with translate_job_errors():
        resolved = resolve_config(config)
        launchers.check_single_process("apply")
        launchers.ignore_leftovers()
        load_heavy_libraries()
        try:
            with error_messages.translate_errors(resolved):
                run_applications(resolved)
        except UserError as error:
            if HydraConfig.get().mode != RunMode.MULTIRUN or resolved["traceback"]:
                raise
            print(f"autoencoders: {error}", file=sys.stderr, flush=True)
            _refused.append(str(error))  # the other jobs are run


def run_applications(config: dict[str, Any]) -> dict[str, ApplicationResult]:
    """Run the applications that a configuration selects, save their results and print their tables.

    If some of several applications fail, the others are run before the error is raised.

    Args:
        config: resolved configuration with the options of `conf/apply.yaml`.

    Returns:
        Name of the application -> its result.

    Raises:
        UserError: if the run cannot be loaded, or an application fails.
    """
    import torch

    from autoencoders.applications.base import run_application
    from autoencoders.config.instantiate import instantiate, trusted_prefixes
    from autoencoders.loggers.media import MediaWriter
    from autoencoders.runs import references

    if config["split"] not in ("train", "val", "test"):
        raise UserError(f"split must be train, val or test, got {config['split']}.")
    options = instantiate("figures", config["figures"])
    data_options = make_paths_absolute({name: value for name, value in config["data"].items() if value is not None})
    run = references.load(config["run"], trusted_prefixes(config["trust"]), data_options, config["changed_data"])
    if config["root"]:
        run.data.set_root(config["root"])
    if config["device"] == "auto":
        config["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    run.model.to(config["device"])
    folder = Path(config["folder"] or run.results_folder)
    writer = MediaWriter(folder, [], options=options)
    results: dict[str, ApplicationResult] = {}
    nodes = config["application"]
    for name, node in nodes.items():
        print(f"{name}: {run.title}", flush=True)
        with continue_on_error(name, config):
            result = run_application(run, name, node)
            print_result(result, writer.save_result(name, result, run.step))
            results[name] = result
    if failed := [name for name in nodes if name not in results]:
        raise UserError(f"{len(failed)} of {len(nodes)} applications failed: {', '.join(failed)}.")
    return results


@contextmanager
def continue_on_error(name: str, config: dict[str, Any]) -> Iterator[None]:
    """Report an error of one of several applications in one sentence on stderr, so that the others are applied.

    The error of a single application, and every error with traceback=true, is raised.

    Args:
        name: name of the application.
        config: resolved configuration with the options of `conf/apply.yaml`.
    """
    try:
        yield
    except Exception as error:
        if len(config["application"]) == 1 or config["traceback"]:
            raise
        unknown = f"It failed ({error_messages.short_reason(error)}). Set traceback=true to show the traceback."
        message = error_messages.explain_error(error, config) or unknown
        print(f"autoencoders: {name}: {message}", file=sys.stderr, flush=True)


def suggest_options(arguments: Sequence[str]) -> str | None:
    """Return a message for arguments that are neither flags nor `key=value`, such as `runs/x sample`; else None."""
    bare = [argument for argument in arguments if "=" not in argument and not argument.startswith(("-", "~"))]
    if not bare:
        return None
    names = config_groups()["application"]
    applications = [name for name in bare if name in names]
    paths = [name for name in bare if name not in names]
    options = [f"run={path}" for path in paths[:1]]
    if applications:
        selected = ",".join(applications)
        options.append(f"application={selected if len(applications) == 1 else f'[{selected}]'}")
    return f"Arguments must be key=value, got {' '.join(bare)}. Did you mean {' '.join(options)}?"


def print_result(result: ApplicationResult, files: list[Path]) -> None:
    """Print the tables of an application's result, and the paths of the files that were written."""
    for name, table in result.tables.items():
        if len(table.columns) == 1:
            print_text(name, [str(line) for line in table.iloc[:, 0]])
            continue
        headers, rows = format_table(table)
        if not 0 < len(rows) <= MAX_ROWS:
            continue
        print()
        dropped = print_table(headers, rows, title=name)
        if dropped:
            columns = "1 more column" if dropped == 1 else f"{dropped} more columns"
            file = next((file for file in files if file.name == f"{name}.csv"), f"{name}.csv")
            print(f"{columns} in {file}")
    print()
    for file in files:
        print(f"  -> {file}")
    sys.stdout.flush()


def print_text(name: str, lines: list[str]) -> None:
    """Print a name and the lines of a text below it, wrapped to the width of the terminal.

    A text that is a Markdown table is not printed, because a CSV table with the same content is printed.
    """
    if any(line.startswith("|") for line in lines):
        return
    print(f"\n{name}")
    for line in lines:
        print(textwrap.fill(line, line_width() - 1) or "")


def format_table(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the formatted rows of a table.

    A column of values and the column of their standard errors become one column. These two columns are named `x` and
    `x +-`, or `value` and `+-`. Rows with the value 0 in the column `images` are omitted.
    """
    names = [str(name) for name in table.columns]
    error_names = {name: "+-" if name == "value" else f"{name} +-" for name in names}
    headers = [name for name in names if name not in error_names.values()]
    rows = []
    for values in table.itertuples(index=False, name=None):
        row = dict(zip(names, values, strict=True))
        if row.get("images") == 0:  # the metric of this row could not be computed
            continue
        rows.append([format_cell(row[name], row.get(error_names[name])) for name in headers])
    return headers, rows


def format_cell(value: Any, error: Any = None) -> str:
    """Format one value of a table, followed by its standard error if there is one.

    A missing value (None or NaN) becomes `n/a`.
    """
    if value is None or value != value:  # NaN
        return "n/a"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}"
    if isinstance(error, numbers.Real):
        return format_with_error(float(value), float(error))
    return format_number(float(value))


if __name__ == "__main__":
    main()
