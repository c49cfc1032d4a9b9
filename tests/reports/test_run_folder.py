"""Which runs are found, and what of a broken one is read."""

import json

import pytest

from autoencoders.reports.discovery import find_runs
from autoencoders.types import UserError


def found(*patterns):
    return [run.label for run in find_runs(patterns)]


def test_a_folder_a_pattern_and_a_sweep_name_runs_in_natural_order_and_once(make_run, tmp_path):
    for number in (10, 9, 0):
        make_run(f"sweep/{number}_vae")
    make_run("single")
    (tmp_path / "runs/notes").mkdir()
    assert found(tmp_path / "runs/single") == ["single"]
    assert found(tmp_path / "runs/sweep") == ["0_vae", "9_vae", "10_vae"]
    assert found(tmp_path / "runs/*") == ["single", "0_vae", "9_vae", "10_vae"]
    assert found(tmp_path / "runs") == ["single", "0_vae", "9_vae", "10_vae"]
    assert found(tmp_path / "runs/sweep/9_vae", tmp_path / "runs/sweep") == ["9_vae", "0_vae", "10_vae"]


def test_equal_names_are_told_apart_by_their_parents(make_run, tmp_path):
    make_run("a/0_vae")
    make_run("b/0_vae")
    assert found(tmp_path / "runs") == ["a/0_vae", "b/0_vae"]


def test_a_folder_of_an_unlucky_name_is_no_pattern(make_run, tmp_path):
    make_run("what [is] this*")
    assert found(tmp_path / "runs/what [is] this*") == ["what [is] this*"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("none*", "matches nothing"), ("empty", "is no run and holds none"), ("file.txt", "is no run and holds none")],
)
def test_no_run_is_one_sentence(tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("no run")
    with pytest.raises(UserError, match=sentence):
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
        ("run.json", json.dumps({"format": 2, "status": "running"}), "unfinished: it still runs, or was killed"),
        ("run.json", json.dumps({"format": 2, "status": "failed", "error": "CUDA"}), "failed: CUDA"),
        (
            "run.json",
            json.dumps({"format": 2, "status": "stopped", "error": "stopped in epoch 3"}),
            "stopped in epoch 3",
        ),
    ],
)
def test_what_is_broken_is_said(make_run, file, content, problem):
    folder = make_run("a")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    [run] = find_runs([folder])
    assert run.problems == [problem]


def test_a_last_line_cut_short_leaves_the_curve_before_it(make_run, add_curves):
    folder = make_run("a")
    add_curves(folder)
    with (folder / "metrics.csv").open("a") as file:
        file.write("2,19,9")
    [run] = find_runs([folder])
    assert run.curves["val/neg_elbo"] == [(5, 150), (12, 101)]
