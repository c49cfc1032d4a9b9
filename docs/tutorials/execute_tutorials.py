"""Execute the tutorials in temporary folders and keep their outputs.

Usage: python docs/tutorials/execute_tutorials.py [names of notebooks]

Without names, all notebooks of this folder are executed.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
TIMEOUT = 600
"""Maximum time of one cell, in seconds."""


def execute(file: Path, folder: Path) -> nbformat.NotebookNode:
    """Execute a notebook.

    Args:
        file: notebook.
        folder: working directory of the notebook, in which it creates its files.

    Returns:
        The notebook with its outputs, without times and versions of the kernel.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell raises an error.
    """
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    client.execute()
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main(names: list[str]) -> None:
    """Execute the named notebooks, or all, write them back, and print their CPU times."""
    for file in [FOLDER / name for name in names] or sorted(FOLDER.glob("*.ipynb")):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(file, Path(folder))
        nbformat.write(notebook, file)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{file.name}: {after.ru_utime - before.ru_utime:.0f} s of CPU time", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
