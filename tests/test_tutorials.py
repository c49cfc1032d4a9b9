"""The tutorials are valid notebooks with outputs, and they run."""

import re
from pathlib import Path

import nbformat
import pytest
from execute_tutorials import execute
from IPython.core.inputtransformer2 import TransformerManager

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = sorted((REPOSITORY / "docs/tutorials").glob("*.ipynb"))
COLAB = "https://colab.research.google.com"
ADDRESS = "OWNER/lightning-autoencoders"
"""Owner and name of the repository in all badges."""
DISTRIBUTION = re.search(r'^name = "(.*)"', (REPOSITORY / "pyproject.toml").read_text(), re.M)[1]
notebooks = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def read(file):
    return nbformat.read(file, as_version=4)


def cells(file, kind):
    return [cell for cell in read(file).cells if cell.cell_type == kind]


def outputs(file):
    return [output for cell in cells(file, "code") for output in cell.outputs]


def texts(file):
    """Return all text of the outputs: streams and text, HTML and other representations, without encoded images."""
    parts = [output.get("text", "") for output in outputs(file)]
    for output in outputs(file):
        parts += [str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(parts)


def test_there_are_five_tutorials_in_a_small_folder():
    assert [file.stem[:2] for file in FILES] == ["01", "02", "03", "04", "05"]
    assert sum(file.stat().st_size for file in FILES) < 1.5e6


@notebooks
def test_notebook_is_executed_without_errors(file):
    nbformat.validate(read(file))
    code = cells(file, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = [output.output_type for output in outputs(file)]
    assert "error" not in kinds
    assert sum("image/png" in output.get("data", {}) for output in outputs(file)) >= 1


@notebooks
def test_outputs_have_no_warnings_and_no_traces_of_a_machine(file):
    text = texts(file)
    assert not [output for output in outputs(file) if output.get("name") == "stderr"]
    assert not re.search(r"warning|traceback|images/s|\d+%\|", text, re.I)
    assert not re.search(r"(?<![\w.<])/(home|root|tmp|work|usr|opt|mnt|Users|content|private|var)/|[A-Z]:\\\\", text)
    assert set(read(file).metadata) == {"kernelspec", "language_info"}
    assert not [cell for cell in read(file).cells if cell.metadata]


@notebooks
def test_badge_and_install_cell(file):
    first, code = read(file).cells[0].source, cells(file, "code")[0].source
    assert first.startswith("# ")
    assert f"{COLAB}/github/{ADDRESS}/blob/main/docs/tutorials/{file.name})" in first
    assert "import autoencoders\nexcept ImportError:" in code
    assert f"%pip install --quiet {DISTRIBUTION}\n" in code


@notebooks
def test_code_cells_compile(file):
    for cell in cells(file, "code"):
        source = re.sub(r"^%%(capture|writefile).*\n", "", cell.source)
        compile(TransformerManager().transform_cell(source), file.name, "exec")


@notebooks
def test_links_exist(file):
    for cell in cells(file, "markdown"):
        for target in re.findall(r"\]\(([^)]+)\)", cell.source):
            path = target.partition("#")[0]
            assert "://" in target or (file.parent / path).is_file(), target
    assert "## What to do next" in read(file).cells[-1].source


@pytest.mark.slow
@notebooks
def test_notebook_runs(file, tmp_path):
    executed = execute(file, tmp_path)
    kinds = [[output.output_type for output in cell.get("outputs", [])] for cell in executed.cells]
    assert kinds == [[output.output_type for output in cell.get("outputs", [])] for cell in read(file).cells]
