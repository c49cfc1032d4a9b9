"""Discovery of run folders, and the contents of broken ones."""

import json

import pytest

from autoencoders.reports.discovery import find_runs
from autoencoders.runs.status import INTERRUPTED_TEXT
from autoencoders.types import UserError


def find_labels(*patterns):
    """Return the labels of the runs that match the patterns."""
    return [run.label for run in find_runs(patterns)]


def test_folders_patterns_and_sweeps_give_runs_once_and_in_natural_order(make_run, tmp_path):
    for number in (10, 9, 0):
        make_run(f"sweep/{number}_vae")
    make_run("single")
    (tmp_path / "runs/notes").mkdir()
    assert find_labels(tmp_path / "runs/single") == ["single"]
    assert find_labels(tmp_path / "runs/sweep") == ["0_vae", "9_vae", "10_vae"]
    assert find_labels(tmp_path / "runs/*") == ["single", "0_vae", "9_vae", "10_vae"]
    assert find_labels(tmp_path / "runs") == ["single", "0_vae", "9_vae", "10_vae"]
    assert find_labels(tmp_path / "runs/sweep/9_vae", tmp_path / "runs/sweep") == ["9_vae", "0_vae", "10_vae"]


def test_equal_names_are_distinguished_by_their_parents(make_run, tmp_path):
    make_run("a/0_vae")
    make_run("b/0_vae")
    assert find_labels(tmp_path / "runs") == ["a/0_vae", "b/0_vae"]


def test_an_existing_folder_is_not_used_as_a_pattern(make_run, tmp_path):
    make_run("a [folder] name*")
    assert find_labels(tmp_path / "runs/a [folder] name*") == ["a [folder] name*"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none*", "matches nothing"),
        ("empty", "but .*empty contains no run"),
        ("file.txt", r"but .*file\.txt contains no run"),
    ],
)
def test_a_missing_run_is_refused(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(UserError, match=message):
        find_runs([tmp_path / name])


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("metrics.json", None, "metrics.json is missing"),
        ("metrics.json", "{half", "metrics.json cannot be read"),
        ("metrics.json", "[1, 2]", "metrics.json cannot be read"),
        ("config.yaml", None, "config.yaml is missing"),
        ("config.yaml", "a: [", "config.yaml cannot be read"),
        ("run.json", "\xff\x00", "run.json cannot be read"),
        ("run.json", json.dumps({"format": 2, "status": "running"}), f"interrupted: {INTERRUPTED_TEXT}"),
        ("run.json", json.dumps({"format": 2, "status": "failed", "error": "CUDA"}), "failed: CUDA"),
        (
            "run.json",
            json.dumps({"format": 2, "status": "stopped", "error": "stopped in epoch 3"}),
            "stopped in epoch 3",
        ),
    ],
)
def test_broken_files_are_reported(make_run, file, content, problem):
    folder = make_run("a")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    [run] = find_runs([folder])
    assert run.problems == [problem]


def test_an_incomplete_last_line_is_skipped(make_run, add_curves):
    folder = make_run("a")
    add_curves(folder)
    with (folder / "metrics.csv").open("a") as file:
        file.write("2,19,9")
    [run] = find_runs([folder])
    assert run.curves["val/neg_elbo"] == [(5, 150), (12, 101)]


def test_a_run_of_another_format_is_refused(make_run):
    folder = make_run("old", format=None)
    (folder / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"run\.json must have format 2, got .*an earlier version"):
        find_runs([folder])


def test_a_run_of_another_format_is_listed_among_other_runs(make_run):
    old, new = find_runs([make_run("old", format=1), make_run("new")])
    assert (old.refused, new.refused) == (True, False)
    assert (old.config, old.record, old.metrics) == ({}, {}, {})
    assert len(old.problems) == 1
