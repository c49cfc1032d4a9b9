"""The door: what it writes where, what it refuses; what is in the page is tested in tests/reports."""

import json

import pytest
import yaml

from autoencoders import report
from autoencoders.types import UserError

ODD = "a run, with [brackets] = 'quotes' ${x} (1)"


@pytest.fixture
def folder(tmp_path):
    """Two runs, one of an unlucky name."""
    for name, mse in (("a", 0.01), (ODD, 0.02)):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        model = {"_target_": "autoencoders.models.vae.VAE", "name": "vae"}
        (run / "config.yaml").write_text(yaml.safe_dump({"model": model, "data": {"name": "digits"}}))
        (run / "run.json").write_text(json.dumps({"format": 2, "status": "done", "overrides": [f"name='{name}'"]}))
        (run / "metrics.json").write_text(json.dumps({"test/neg_elbo": 9.5, "test/mse": mse, "test/active_units": 2}))
    return tmp_path


@pytest.fixture
def asked(monkeypatch, folder):
    """`asked(runs=..., ...)`: write a report as the door does, in a folder that holds runs/."""
    monkeypatch.chdir(folder)

    def ask(**options):
        nothing = ("out", "format", "title", "question", "verdict", "metrics", "figures", "parts")
        config = {**dict.fromkeys(nothing), "runs": "runs/*", "megabytes": 10, "copy": False, "debug": False}
        return report.write(config | options)

    return ask


def test_it_writes_a_page_into_the_current_folder_and_says_so(run_command, folder):
    done = run_command(report, "runs=runs/a", f"runs=runs/{ODD}", "title=Which, [a] or ${b}?", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("report   report.html (2 runs, 0 figures, 0.0 MB)\n")
    text = (folder / "report.html").read_text()
    assert "<h1>Which, [a] or ${b}?</h1>" in text
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "runs"]


def test_a_mistake_is_one_sentence_and_writes_nothing(run_command, folder):
    done = run_command(report, "runs=elsewhere/*", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "autoencoders: runs=elsewhere/* matches nothing" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["runs"]


def test_help_says_how(run_command, folder):
    done = run_command(report, "--help", cwd=folder)
    assert done.returncode == 0
    assert "runs='runs/*'" in done.stdout


@pytest.mark.parametrize(
    ("options", "file"),
    [
        ({}, "report.html"),
        ({"format": "md"}, "report.md"),
        ({"out": "docs/study.md"}, "docs/study.md"),
        ({"out": "runs"}, "runs/report.html"),
        ({"out": "page.htm"}, "page.htm"),
    ],
)
def test_where_it_writes(asked, folder, options, file):
    assert asked(**options).as_posix() == file
    text = (folder / file).read_text()
    assert text.startswith("# " if file.endswith(".md") else "<!doctype html>")
    assert "0.02" in text


def test_a_run_that_did_not_end_is_told_on_the_terminal_too(asked, folder, capsys):
    (folder / "runs/a/metrics.json").unlink()
    asked()
    assert "not all  a: metrics.json is missing\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "pdf"}, "format must be html or md, and is pdf"),
        ({"format": "md", "out": "a.html"}, r"format=md makes a \.md file, and out is a\.html"),
        ({"megabytes": "many"}, "megabytes must be a number from 0 up, and is 'many'"),
        ({"copy": "yes"}, "copy must be true or false, and is 'yes'"),
        ({"figures": "samples"}, r"figures must be a list, such as figures=\[a,b\], and is 'samples'"),
        ({"parts": ["resluts"]}, "There is no part resluts in this report"),
        ({"metrics": ["test/fid"]}, "No run has the metric test/fid"),
        ({"out": "runs/a/run.json/x.html"}, "The report cannot be written to"),
        ({"runs": []}, "runs is empty"),
    ],
)
def test_what_it_refuses(asked, options, sentence):
    with pytest.raises(UserError, match=sentence):
        asked(**options)
