"""Tables of results: best values, baselines, comparability, and means over seeds."""

import json
import math
import statistics

import pytest

from autoencoders.reports.content import build_result_tables
from autoencoders.reports.discovery import find_runs
from autoencoders.reports.metric_info import count_decimals, format_metric, get_metric_info
from autoencoders.reports.result_tables import results_table, seed_means_table
from autoencoders.types import UserError


def column(table, label):
    """Return the cells of a column."""
    i = [c.label for c in table.columns].index(label)
    return [row.cells[i] for row in table.rows]


def best(table, label):
    """Return the headers of the rows whose value is marked as the best."""
    return [row.header for row, cell in zip(table.rows, column(table, label), strict=True) if cell.best]


def make_runs(make_run, **metrics):
    """Write and read runs a, b, ... with different values of the metrics."""
    names = {key.replace("__", "/"): values for key, values in metrics.items()}
    count = len(next(iter(names.values())))
    return find_runs([make_run("abcdef"[i], {k: v[i] for k, v in names.items()}) for i in range(count)])


def test_lower_neg_elbo_and_errors_and_higher_psnr_are_best(make_run):
    table = results_table(
        make_runs(make_run, test__neg_elbo=(99, 98, 120), test__mse=(0.01, 0.02, 0.03), test__psnr=(20, 17, 22))
    )
    assert best(table, "neg elbo") == ["b"]
    assert best(table, "mse") == ["a"]
    assert best(table, "psnr") == ["c"]
    assert best(table, "distortion") == best(table, "rate") == []  # one can be traded for the other


def test_values_with_equal_text_are_all_best_and_nan_is_never_best(make_run):
    table = results_table(
        make_runs(make_run, test__mse=(math.nan, 0.0100001, 0.01, 0.02), test__neg_elbo=(math.inf, 90, 91, 92))
    )
    assert best(table, "mse") == ["b", "c"]
    assert column(table, "mse")[0].text == "n/a"
    assert best(table, "neg elbo") == ["b"]


def test_a_single_run_and_equal_runs_have_no_best(make_run):
    runs = make_runs(make_run, test__mse=(0.03, 0.03))
    assert not results_table(runs).has_best
    assert not results_table(runs[:1]).has_best


def test_baselines_follow_their_metric_and_are_marked_if_better(make_run):
    table = results_table(make_runs(make_run, test__mse=(0.012, 0.014), test__mse_pca=(0.013, 0.013)))
    assert [c.label for c in table.columns][3:6] == ["mse", "PCA", "mean image"]
    assert [cell.beats_run for cell in column(table, "PCA")] == [False, True]
    assert [cell.text for cell in column(table, "PCA")] == ["0.01300", "0.01300"]


def test_disentanglement_scores_are_next_to_rate_and_distortion(make_run):
    folders = [make_run(name) for name in "ab"]
    for folder, value in zip(folders, (0.1, 0.3), strict=True):
        (folder / "tables/factors").mkdir(parents=True)
        (folder / "tables/factors/metrics.json").write_text(json.dumps({"MIG/vae": value, "MIG_error/vae": 0.02}))
    table = results_table(find_runs(folders))
    labels = [column.label for column in table.columns]
    assert {"distortion", "rate", "MIG"} < set(labels)
    assert "disentanglement" not in labels
    assert best(table, "MIG") == ["b"]
    assert [cell.error for cell in column(table, "MIG")] == [0.02, 0.02]
    assert "MIG" not in [column.label for column in results_table(find_runs([make_run("c")])).columns]


def test_runs_on_different_images_are_not_compared(make_run):
    other = {"data": {"sha256": "other", "images": {"test": 11}}}
    runs = find_runs([make_run("a"), make_run("b", {"test/mse": 0.001}, **other), make_run("c", {"test/mse": 0.002})])
    table = results_table(runs)
    assert best(table, "mse") == ["c"]
    assert any("only among runs that were evaluated on the same images" in note for note in table.notes)


def test_neg_elbo_is_compared_for_one_likelihood_and_one_kind_of_conditioning(make_run):
    gaussian = {"likelihood._target_": "autoencoders.objectives.likelihoods.Gaussian"}
    conditional = {"model.name": "cvae", "model.join": "both"}
    runs = find_runs(
        [make_run("a"), make_run("b", {"test/neg_elbo": 99}), make_run("c", {"test/neg_elbo": -500}, gaussian),
         make_run("d", {"test/neg_elbo": 90, "test/mse": 0.001}, conditional)]
    )  # fmt: skip
    table = results_table(runs)
    assert best(table, "neg elbo") == ["b"]
    assert best(table, "mse") == ["d"]


def test_a_model_with_notes_is_not_compared(make_run):
    runs = find_runs(
        [
            make_run("a"),
            make_run("b", {"test/neg_elbo": 99}),
            make_run("c", {"test/neg_elbo": 5}, notes=["It is wrong."]),
        ]
    )
    table = results_table(runs)
    assert best(table, "neg elbo") == ["b"]
    assert "c: It is wrong." in table.notes


def test_the_accuracy_of_a_classifier_has_the_majority_as_baseline(make_run):
    folder = make_run("classifier")
    (folder / "metrics.json").write_text('{"test/loss": 0.1, "test/accuracy": 0.98, "test/majority": 0.1}')
    table = results_table(find_runs([folder]))
    assert [(c.label, c.baseline_of) for c in table.columns] == [("accuracy", None), ("majority", 0)]


def test_a_model_without_a_prior_has_no_neg_elbo(make_run):
    folder = make_run("a", {"test/rate": 0.0, "test/neg_elbo": 50.0})
    text = (folder / "metrics.json").read_text().replace("active_units", "something")
    (folder / "metrics.json").write_text(text)
    table = results_table(find_runs([folder, make_run("b"), make_run("c", {"test/neg_elbo": 99})]))
    assert column(table, "neg elbo")[0].value is None
    assert best(table, "neg elbo") == ["c"]


def test_columns_can_be_metrics_of_applications(make_run, tmp_path):
    for name, value in (("a", 0.8), ("b", 0.9)):
        folder = make_run(name)
        (folder / "tables/evaluate").mkdir(parents=True)
        metrics = f'{{"SSIM/vae": {value}, "SSIM_error/vae": 0.004, "SSIM/PCA-10": 0.85, "SSIM/whitened PCA-10": 0.8}}'
        (folder / "tables/evaluate/metrics.json").write_text(metrics)
    runs = find_runs([tmp_path / "runs"])
    columns = {"ours": "model", "PCA": "PCA", "whitened": "whitened PCA"}
    table = results_table(runs, {header: f"evaluate/SSIM/{name}" for header, name in columns.items()})
    assert [(cell.value, cell.error) for cell in column(table, "ours")] == [(0.8, 0.004), (0.9, 0.004)]
    assert [cell.value for cell in column(table, "PCA")] == [0.85, 0.85]
    assert [cell.value for cell in column(table, "whitened")] == [0.8, 0.8]
    assert best(table, "ours") == ["b"]
    with pytest.raises(UserError, match=r"no run has the metric test/fid\. Choose from: .*evaluate/SSIM/vae"):
        results_table(runs, {"fid": "test/fid"})


def test_means_and_standard_deviations_over_seeds(make_run):
    values = {(1, 0): 100, (1, 1): 102, (4, 0): 110, (4, 1): 113}
    runs = find_runs(
        [make_run(f"{b}-{s}", {"test/neg_elbo": v}, {"beta.value": b, "seed": s, "data.seed": s, "model.seed": s})
         for (b, s), v in values.items()]
    )  # fmt: skip
    table = seed_means_table(runs)
    assert [row.header for row in table.rows] == ["beta=1", "beta=4"]
    for cell, pair in zip(column(table, "neg elbo"), ((100, 102), (110, 113)), strict=True):
        assert cell.value == pytest.approx(statistics.fmean(pair))
        assert cell.error == pytest.approx(statistics.stdev(pair))
    assert [cell.text for cell in column(table, "seeds")] == ["2", "2"]
    assert best(table, "neg elbo") == ["beta=1"]
    assert column(table, "PCA")[0].error is None
    first, second = build_result_tables(runs, None)
    assert (first.title, first.has_best, second.has_best) == ("Mean over seeds", True, False)
    assert seed_means_table(runs[:1]) is seed_means_table([runs[0], runs[2]]) is None


@pytest.mark.parametrize(
    ("values", "errors", "texts"),
    [
        ((260.5246, 99.1), (), ("260.52", "99.10")),
        ((0.0131631, 0.007), (), ("0.01316", "0.00700")),
        ((0.0131631,), (0.00036,), ("0.01316",)),
        ((260.52,), (1.73,), ("260.5",)),
        ((1902116.0,), (), ("1,902,116",)),
        ((0.5, 1e-9), (), ("0.5000", "1e-09")),
        ((math.nan, 2.5), (), ("n/a", "2.50")),
    ],
)
def test_numbers_are_formatted(values, errors, texts):
    decimals = count_decimals(values, errors)
    assert tuple(format_metric(value, decimals) for value in values) == texts


@pytest.mark.parametrize(
    ("name", "direction"),
    [("test/neg_elbo", -1), ("-ELBO", -1), ("IW-NLL, K=100", -1), ("mse", -1), ("mse_pca", -1), ("psnr per image", 1),
     ("evaluate/SSIM/vae", 1), ("auroc", 1), ("precision at 5", 1), ("kid", -1), ("fpr at 95 % tpr", -1),
     ("rate", 0), ("val/objective", 0), ("images", 0), ("to nearest held-out", 0)],
)  # fmt: skip
def test_metrics_have_a_direction(name, direction):
    assert get_metric_info(name).direction == direction
