"""Names of classes and attributes are text in figures, and figures with many classes stay small."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from autoencoders.figures.accuracy import accuracy_over_labels
from autoencoders.figures.anomalies import error_maps, score_histograms
from autoencoders.figures.bars import kl_bars
from autoencoders.figures.code_heatmaps import code_heatmaps
from autoencoders.figures.comparison import MetricPanel, metric_panels
from autoencoders.figures.curves import loss_curves
from autoencoders.figures.dimension import spectra_and_errors
from autoencoders.figures.dose_response import dose_response
from autoencoders.figures.factor_matrices import factor_matrices
from autoencoders.figures.grids import image_grid
from autoencoders.figures.labelled_grid import labelled_grid
from autoencoders.figures.latents import plot_codes
from autoencoders.figures.line_plot import line_plot
from autoencoders.figures.moments import code_histograms, moment_panels
from autoencoders.figures.neighbors import neighbor_grid
from autoencoders.figures.rate_distortion import RatePoint, rate_distortion_plot
from autoencoders.figures.runs import metric_over_runs
from autoencoders.figures.style import series_styles
from autoencoders.utils.texts import list_names, shown_labels

NAMES = ("$$", "$x^2$ a\\b 50 %", "_two\nlines 日本語 😀", "x" * 300)
RNG = np.random.default_rng(0)
IMAGES = RNG.random((4, 1, 8, 8))


def curve(n=3):
    return np.column_stack([np.arange(1, n + 1), RNG.random(n), RNG.random(n) / 10])


def figures(name):
    """Return every kind of figure with a name of the user in every place for text."""
    title = f"VAE on {name}"
    accuracy = pd.DataFrame(
        {"method": [name] * 2, "labels": [10, 100], "accuracy": [0.1, 0.5], "accuracy +-": [0.1, 0]}
    )
    kept = pd.DataFrame({"components": [1, 2], **{f"mse, {k}{e}": [0.2, 0.1] for k in ("codes", "image PCA")
                                                  for e in ("", " +-")}})  # fmt: skip
    one = {name: (np.zeros(3), np.ones(3))}
    scores = (RNG.random(9), RNG.random(9), 0.5)
    return [
        accuracy_over_labels(accuracy, title, name),
        score_histograms({f"{name}; {name}": scores}, title, (name, name)),
        error_maps(IMAGES, IMAGES, title, (name,) * 4, name),
        kl_bars(np.arange(3), np.ones(3), np.ones(3), np.array([True, True, False]), title, name),
        code_heatmaps(IMAGES, RNG.random((4, 5)), IMAGES, title, name),
        loss_curves({"mse": {"val": curve()[:, :2]}}, title, {"mse": {name: 0.1}}),
        rate_distortion_plot({name: [RatePoint(name, i, 0.1, 3 - i, 0.1) for i in (1, 2)]}, title, name),
        metric_panels([MetricPanel(name, name, {name: [1, 2]}, {name: 0.5}, {name: 1.5})], [name],
                      series_styles([name], True), title, name),
        spectra_and_errors({name: np.ones(3), "pixels": np.ones(3)}, kept, name, title, name),
        dose_response(np.arange(3), one, one, name, title, name),
        factor_matrices({name: RNG.random((3, 4)), "b": RNG.random((3, 4))}, [name] * 3, [name] * 4, title, name),
        image_grid(IMAGES[None], title, [name], [name] * 4, name),
        labelled_grid(IMAGES, [name] * 4, title),
        plot_codes(RNG.random((6, 2)), title, (name, name), np.array([0, 1] * 3), (name, name), True, name),
        line_plot({name: curve()}, title, name, name, (1.0, name)),
        code_histograms(RNG.random((9, 2)), [name, name], title, False),
        moment_panels({name: (np.ones(3), 0.0, 1.0), "b": (np.ones(3), 0.0, 1.0)}, title),
        neighbor_grid(IMAGES[:1], IMAGES[None], np.ones((1, 4)), None, [name], title, name),
        metric_over_runs({name: curve()[:, :2]}, title, name, {name: 0.5}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(n, id=str(i), marks=pytest.mark.slow if i > 1 else ()) for i, n in enumerate(NAMES)]
)
def test_no_name_is_a_formula_or_makes_a_figure_wide(name, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        warnings.filterwarnings("ignore", message="Glyph", module=r"autoencoders\.|test_names")
        for figure in figures(name):
            figure.savefig(tmp_path / "figure.png", dpi=100)
            width, height = figure.get_size_inches() * 100
            assert width <= 4000
            assert height <= 4000
            texts = [text for text in figure.findobj(Text) if "$" in text.get_text()]
            assert not any(text.get_parse_math() for text in texts)


@pytest.mark.parametrize("name", ["_private", "$$"])
def test_every_class_has_a_legend_entry(name):
    figure = plot_codes(RNG.random((6, 2)), "t", ("x", "y"), np.array([0, 1] * 3), (name, "other"))
    (legend,) = (axes.get_legend() for axes in figure.axes)
    assert [text.get_text() for text in legend.get_texts()] == [name, "other"]


def test_a_map_of_1500_classes_shows_the_20_most_frequent_within_seconds():
    labels = np.concatenate([np.arange(1500), np.repeat(np.arange(700, 720), 5)])
    names = tuple(f"class {i}" for i in range(1500))
    start = time.perf_counter()
    figure = plot_codes(RNG.random((len(labels), 2)), "t", ("x", "y"), labels, names)
    assert time.perf_counter() - start < 5
    entries = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert entries == ["1,480 other classes", *names[700:720]]


def test_shown_labels_and_lists_of_names_are_short():
    assert shown_labels(3) == [0, 1, 2]
    assert shown_labels(1500)[0] == 0
    assert shown_labels(1500)[-1] == 1499
    assert len(set(shown_labels(1500))) == 20
    assert list_names("abc") == "a, b, c"
    assert list_names(range(1500)).endswith("18, 19, ... (1,500 in total)")
    assert list_names([]) == "none"


@pytest.mark.parametrize(
    ("name", "label"),
    [("12", "query 12"), ("cat1.png", "query cat1.png"), ("cat-12.png", "cat-12.png"),
     ("x" * 20 + "cat.png", "xxxxxxxcat.png")],
)  # fmt: skip
def test_query_label_keeps_the_name_and_drops_the_word_query_first(name, label):
    figure = neighbor_grid(IMAGES[:1], IMAGES[None], np.ones((1, 4)), None, [name], "title")
    assert figure.axes[0].get_title() == label
