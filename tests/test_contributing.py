"""The examples of CONTRIBUTING.md run, and the version is the same in all places."""

import re
import shlex
import sys
from pathlib import Path

import pytest

import autoencoders
from autoencoders import apply, train

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text()
FILES = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", TEXT, re.DOTALL))
COMMANDS = [c.removeprefix("python -m autoencoders.") for c in re.findall(r"^python -m autoencoders\..*", TEXT, re.M)]
QUICK = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "logger=none"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with all files of the examples, on the import path."""
    for name, content in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (tmp_path / "mine/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "mine"]:
        del sys.modules[name]


def test_there_is_an_example_of_each_kind():
    groups = {Path(name).parent.name for name in FILES if name.startswith("conf/")}
    assert groups == {"model", "net", "data", "callbacks", "application"}
    assert len(COMMANDS) == len(groups)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("train")])
def test_training_examples_run(command, project, run_command):
    args = shlex.split(command.replace("/path/to/conf", f"{project}/conf"))[1:]
    quick = QUICK if any("callbacks=" in arg for arg in args) else [*QUICK, "callbacks=none"]
    done = run_command(train, *args, *quick, "hydra.run.dir=out", cwd=project)
    assert done.returncode == 0, done.stderr
    if "code_histogram" in command:
        assert list((project / "out/figures/code_histogram").glob("*.png"))


def test_the_application_example_runs(project, run_command):
    [command] = [c for c in COMMANDS if c.startswith("apply")]
    words = ["model=vae", *QUICK, "callbacks=checkpoint", "hydra.run.dir=runs/digits"]
    assert run_command(train, *words, cwd=project).returncode == 0
    args = shlex.split(command.replace("/path/to/conf", f"{project}/conf"))[1:]
    done = run_command(apply, *args, cwd=project)
    assert done.returncode == 0, done.stderr
    table = (project / "runs/digits/tables/brightness/brightness.csv").read_text()
    assert table.startswith("method,brightness\nmodel,")


def test_the_version_is_the_same_everywhere():
    newest = re.search(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)
    citation = re.search(r"^version: (\S+)$", (REPOSITORY / "CITATION.cff").read_text(), re.M)
    assert newest[1] == citation[1] == autoencoders.__version__
    assert not re.search(r"^version *=", (REPOSITORY / "pyproject.toml").read_text(), re.M)
