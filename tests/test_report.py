"""The entry point: output files and error messages. The content of pages is tested in tests/reports."""

import json
import re

import pytest
import yaml

from autoencoders import report
from autoencoders.types import UserError

ODD = "a run, with [brackets] = 'quotes' ${x} (1)"


@pytest.fixture
def folder(tmp_path):
    """Write two run folders, one with special characters in its name."""
    for name, mse in (("a", 0.01), (ODD, 0.02)):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        model = {"_target_": "autoencoders.models.vae.VAE", "name": "vae"}
        (run / "config.yaml").write_text(yaml.safe_dump({"model": model, "data": {"name": "digits"}}))
        (run / "run.json").write_text(json.dumps({"format": 2, "status": "done", "overrides": [f"name='{name}'"]}))
        (run / "metrics.json").write_text(json.dumps({"test/neg_elbo": 9.5, "test/mse": mse, "test/active_units": 2}))
    return tmp_path


@pytest.fixture
def write_report(monkeypatch, folder):
    """Return `write_report(runs=..., ...)`, which writes a report in a folder that contains `runs`."""
    monkeypatch.chdir(folder)

    def write(**options):
        unset = ("out", "format", "title", "question", "verdict", "metrics", "figures", "sections")
        config = {
            **dict.fromkeys(unset),
            "runs": "runs/*",
            "megabytes": 10,
            "copy": False,
            "explorer": False,
            "traceback": False,
        }
        return report.write_report(config | options)

    return write


def test_the_report_is_written_to_the_current_folder(run_command, folder):
    done = run_command(report, "runs=runs/a", f"runs=runs/{ODD}", "title=Which, [a] or ${b}?", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("report   report.html (2 runs, 0 figures, 0.0 MB)\n")
    text = (folder / "report.html").read_text()
    assert "<h1>Which, [a] or ${b}?</h1>" in text
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "runs"]


def test_a_user_error_is_one_line_and_writes_no_file(run_command, folder):
    done = run_command(report, "runs=elsewhere/*", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "autoencoders: runs must match existing folders, but elsewhere/* matches nothing" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["runs"]


def test_a_single_run_of_another_format_is_refused_in_one_line(run_command, folder):
    (folder / "runs/a/run.json").write_text(json.dumps({"status": "done"}))
    done = run_command(report, "runs=runs/a", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "run.json must have format 2" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["runs"]


def test_a_run_of_another_format_among_others_is_listed_as_not_read(run_command, folder):
    (folder / "runs/a/run.json").write_text(json.dumps({"status": "done"}))
    done = run_command(report, "runs=runs/*", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == "autoencoders: 1 of 2 runs could not be read: a. report.html contains the others.\n"
    assert re.search(r"^not read a: runs/a/run\.json must have format 2", done.stdout, re.MULTILINE)
    assert "run.json must have format 2" in (folder / "report.html").read_text()


def test_each_run_that_cannot_be_read_is_named_and_the_others_are_in_the_report(run_command, folder):
    for name in ("config.yaml", "run.json"):
        (folder / "runs/a" / name).write_text("{")
    done = run_command(report, f"runs=runs/{ODD}", "runs=runs/a", "runs=elsewhere", cwd=folder)
    assert done.returncode == 2
    assert (
        done.stderr == "autoencoders: 2 of 3 runs could not be read: a, elsewhere. report.html contains the others.\n"
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("not read")]
    assert lines[0].startswith("not read a: runs/a must contain a readable config.yaml or run.json, but")
    assert lines[1].startswith("not read elsewhere: runs must match existing folders, but elsewhere matches nothing")
    assert "0.02" in (folder / "report.html").read_text()


def test_help_shows_examples(run_command, folder):
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
def test_the_output_path(write_report, folder, options, file):
    assert write_report(**options).as_posix() == file
    text = (folder / file).read_text()
    assert text.startswith("# " if file.endswith(".md") else "<!doctype html>")
    assert "0.02" in text


def test_an_incomplete_run_is_reported_on_the_terminal(write_report, folder, capsys):
    (folder / "runs/a/metrics.json").unlink()
    write_report()
    assert "problem  a: metrics.json is missing\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "pdf"}, "format must be html, md or latex, got pdf"),
        ({"format": "md", "out": "a.html"}, r"out must end in \.md for format=md, got a\.html"),
        ({"megabytes": "many"}, "megabytes must be a number >= 0, got 'many'"),
        ({"copy": "yes"}, "copy must be true or false, got 'yes'"),
        ({"explorer": "yes"}, "explorer must be true or false, got 'yes'"),
        ({"explorer": True, "format": "md"}, "explorer must be false for a report that is not an HTML file, got true"),
        ({"figures": "samples"}, r"figures must be a list, got 'samples'\. Write it as figures=\[a,b\]"),
        ({"sections": ["resluts"]}, "sections must be a list of sections in this report, got resluts"),
        ({"metrics": ["test/fid"]}, "no run has the metric test/fid"),
        ({"out": "runs/a/run.json/x.html"}, "The report cannot be written to"),
        ({"runs": []}, "runs must contain at least one path or pattern, got an empty list"),
    ],
)
def test_invalid_options_are_refused(write_report, options, message):
    with pytest.raises(UserError, match=message):
        write_report(**options)
