"""Figures that compare runs: which runs they contain, and means and deviations over seeds."""

import numpy as np
import pytest

from autoencoders.reports import comparison_plots
from autoencoders.reports.comparison_plots import COMPARED, plot_comparison, plot_rate_distortion
from autoencoders.reports.discovery import find_runs
from autoencoders.reports.images import read_dpi


@pytest.fixture
def plotted(monkeypatch):
    """The arguments of the figures that are plotted."""
    from autoencoders.figures import comparison, rate_distortion

    calls = []
    for module, name in ((rate_distortion, "rate_distortion_plot"), (comparison, "metric_panels")):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, f=function: calls.append(a) or f(*a))
    return calls


def test_points_are_means_over_seeds_for_each_model_and_beta(make_run, plotted):
    values = {}
    for model in ("vae", "cvae"):
        for beta in (1, 4):
            for seed in (0, 1, 2):
                rate, distortion = 20 / beta + seed, 80 + beta - seed**2
                values.setdefault((model, beta), []).append((rate, distortion))
                make_run(f"{model}{beta}{seed}", {"test/rate": rate, "test/distortion": distortion},
                         {"model.name": model, "beta.value": beta, "seed": seed})  # fmt: skip
    folder = make_run("last", {}, {"model.name": "vae", "latent_dim.size": 2})  # a single beta has no curve
    (picture,) = plot_rate_distortion(find_runs([folder.parent])).pictures
    ((curves, title, _, styles),) = plotted
    assert list(curves) == ["CVAE", "VAE"]
    assert styles[0].color != styles[1].color
    assert picture.detail == "12 runs"
    assert "information in the code" in title
    for model in ("vae", "cvae"):
        for point, beta in zip(curves[model.upper()], (1, 4), strict=True):
            mean, deviation = np.mean(values[model, beta], axis=0), np.std(values[model, beta], axis=0, ddof=1)
            assert point.label == f"beta={beta}"
            assert (point.rate, point.distortion) == pytest.approx(tuple(mean))
            assert (point.rate_deviation, point.distortion_deviation) == pytest.approx(tuple(deviation))


def test_models_are_compared_in_the_metrics_that_differ(make_run, plotted):
    for seed in (0, 1):
        make_run(f"vae{seed}", {"test/mse": 0.01 + seed / 100}, {"seed": seed})
        make_run(f"cvae{seed}", {"test/mse": 0.03}, {"seed": seed, "model.name": "cvae"})
    (picture,) = plot_comparison(find_runs([make_run("x").parent])[:4]).pictures
    panels, names, *_ = plotted[0]
    assert names == ["CVAE", "VAE"]
    assert [panel.title for panel in panels] == [COMPARED["test/mse"]]  # all other metrics are equal
    assert panels[0].values == {"CVAE": [0.03, 0.03], "VAE": pytest.approx([0.01, 0.02])}
    assert panels[0].errors["VAE"] == pytest.approx(np.std([0.01, 0.02], ddof=1))
    assert read_dpi(picture.content) == pytest.approx(picture.dpi, rel=0.01)


def test_a_single_model_is_not_compared(make_run):
    make_run("a", {"test/mse": 0.01})
    folder = make_run("b", {"test/mse": 0.02}, {"beta.value": 4})
    assert plot_comparison(find_runs([folder.parent])).pictures == []
    assert comparison_plots.MAX_COMPARED >= 3
