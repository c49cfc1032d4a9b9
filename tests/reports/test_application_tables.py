"""Tables of applications, combined over several runs."""

import json

import pytest

from autoencoders.reports.application_tables import collect_tables
from autoencoders.reports.discovery import find_runs


def rows_of(table):
    return {(row.header, row.detail): [cell.value for cell in row.cells] for row in table.rows}


def test_runs_come_first_and_equal_baselines_appear_once(make_run, add_table):
    folders = [make_run("a", config={"seed": 1}), make_run("b")]
    for folder, mse, pca in ((folders[0], 0.01, 0.013), (folders[1], 0.02, 0.013)):
        own_row = {"method": "vae", "mse": mse, "mse +-": 0.001, "note": "x"}
        baselines = [{"method": name, "mse": v, "mse +-": "", "note": ""} for name, v in (("PCA-10", pca), ("mean", 1))]
        add_table(folder, "reconstruct/errors", [own_row, *baselines])
    runs = find_runs(folders)
    runs[0].setting = "seed=1"
    [result] = collect_tables(runs, "reconstruct")
    assert rows_of(result.table) == {
        ("a", "seed=1"): [0.01, None],
        ("b", ""): [0.02, None],
        ("PCA-10", "all runs"): [0.013, None],
        ("mean", "all runs"): [1.0, None],
    }
    assert [row.baseline for row in result.table.rows] == [False, False, True, True]
    assert [row.cells[0].best for row in result.table.rows] == [True, False, False, False]
    assert result.table.rows[0].cells[0].error_text == "0.0010"
    assert result.table.rows[0].cells[1].text == "x"


def test_the_best_baseline_is_marked(make_run, add_table):
    rows = [{"method": "vae", "auroc": 0.7}, {"method": "pixels", "auroc": 0.9}, {"method": "chance", "auroc": ""}]
    folder = make_run("a")
    add_table(folder, "detect/detection", rows)
    [result] = collect_tables(find_runs([folder]), "detect")
    assert [row.cells[0].best for row in result.table.rows] == [False, True, False]
    assert result.table.rows[2].cells[0].text == "n/a"


def test_the_true_factors_are_not_marked_as_the_best(make_run, add_table):
    rows = [{"method": name, "MIG": value} for name, value in (("vae", 0.3), ("true factors", 0.9), ("PCA-10", 0.1))]
    folder = make_run("a")
    add_table(folder, "factors/gaps", rows)
    [result] = collect_tables(find_runs([folder]), "factors")
    assert {row.header: row.cells[0].best for row in result.table.rows} == {
        "a": True, "true factors": False, "PCA-10": False
    }  # fmt: skip


def test_rows_of_single_numbers_become_one_row_per_metric(make_run, add_table):
    columns = ("measure", "unit", "method", "value", "+-", "images", "note")
    rows = [("-ELBO", "neg_elbo", "vae", 100, 2, 11, "bounds"), ("MSE", "", "vae", 0.02, 0.001, 11, ""),
            ("MSE", "", "PCA-10", 0.03, 0.001, 11, ""), ("bits", "bits", "vae", "", "", 11, "n/a: no")]  # fmt: skip
    folder = make_run("a")
    add_table(folder, "evaluate/evaluation", [dict(zip(columns, row, strict=True)) for row in rows])
    [result] = collect_tables(find_runs([folder]), "evaluate")
    assert [c.label for c in result.table.columns] == ["a", "baselines and references", "note"]
    assert [[row.header, row.detail, *(cell.text for cell in row.cells)] for row in result.table.rows] == [
        ["-ELBO", "neg_elbo", "100.0", "", "bounds"],
        ["MSE", "pixels in [0, 1]", "0.0200", "PCA-10 0.0300 ± 0.0010", ""],
    ]


def add_evaluation(folder, add_table, fid, floor):
    rows = [("FID, samples", "vae", fid), ("FID, samples", "PCA-10", 5), ("FID, samples", "real val images", floor)]
    columns = ("measure", "method", "value")
    add_table(folder, "evaluate/evaluation", [dict(zip(columns, row, strict=True)) | {"unit": ""} for row in rows])
    metrics = {f"{measure}/{method}": value for measure, method, value in rows}
    (folder / "tables/evaluate/metrics.json").write_text(json.dumps(metrics))


def test_fid_is_compared_for_one_classifier_and_the_same_images_but_not_with_real_images(make_run, add_table):
    folders = [make_run(name) for name in "abc"]
    for folder, fid, floor in zip(folders, (14.0, 9.0, 2.0), (1.5, 1.5, 1.25), strict=True):
        add_evaluation(folder, add_table, fid, floor)
    [result] = collect_tables(find_runs(folders), "evaluate")
    [row] = result.table.rows
    assert [cell.best for cell in row.cells[:3]] == [False, True, False]
    assert row.cells[3].text == "PCA-10 5.00; real val images 1.50 (a, b); real val images 1.25 (c)"
    [result] = collect_tables(find_runs(folders[:2]), "evaluate")
    assert result.table.rows[0].cells[2].text.startswith("◂ PCA-10 5.00; real")
    assert result.table.has_better_baseline


def test_text_is_shown_and_long_tables_are_named(make_run, add_table, add_text):
    folder = make_run("a")
    add_text(folder, "evaluate/protocol", "in one line\n")
    add_text(folder, "evaluate/markdown", "| a |\n")
    add_table(folder, "evaluate/codes", [{"row": i, "z0": 0.5} for i in range(41)])
    results = {result.name: result for result in collect_tables(find_runs([folder]), "evaluate")}
    assert results["evaluate/protocol"].texts == {"a": ["in one line"]}
    assert results["evaluate/codes"].omitted == ["The table of a has 41 rows and is saved in tables/evaluate/codes.csv"]
    assert "evaluate/markdown" not in results


@pytest.mark.parametrize("content", ["", "method\n", "method,mse\n", "method,mse\nvae", "\x00\x01,\n,,,\n"])
def test_a_broken_table_does_not_fail(make_run, content):
    folder = make_run("a")
    (folder / "tables/x").mkdir(parents=True)
    (folder / "tables/x/y.csv").write_text(content)
    collect_tables(find_runs([folder]), "x")
