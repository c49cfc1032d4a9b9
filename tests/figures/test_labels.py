"""Labels do not overlap, and contours contain the stated share of the codes."""

import itertools

import numpy as np
import pytest

from autoencoders.figures.labels import place_labels
from autoencoders.figures.latents import plot_codes
from autoencoders.figures.rate_distortion import RatePoint, rate_distortion_plot
from autoencoders.figures.style import new_figure

RNG = np.random.default_rng(0)


def test_labels_of_close_points_do_not_overlap():
    axes = new_figure(6, 4).add_axes((0.1, 0.1, 0.8, 0.8))
    points = 0.5 + 0.02 * RNG.standard_normal((8, 2))
    labels = place_labels(axes, points, [f"beta={i}" for i in range(8)])
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.contains(*point) for box in boxes for point in axes.transData.transform(points))


def test_names_of_classes_are_at_the_median_of_their_codes():
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    labels = np.arange(900) % 3
    points = centers[labels] + RNG.standard_normal((900, 2))
    (axes,) = plot_codes(points, "t", ("x", "y"), labels, ("a", "b", "c")).axes
    names = {text.get_text(): text.xy for text in axes.texts if text.get_text() in "abc"}
    for i, name in enumerate("abc"):
        np.testing.assert_allclose(names[name], np.median(points[labels == i], axis=0))


def test_contours_contain_half_and_nine_tenths_of_a_class():
    labels = np.zeros(3000, dtype=int)
    points = RNG.standard_normal((3000, 2))
    (axes,) = plot_codes(points, "t", ("x", "y"), labels, ("a",)).axes
    (lines,) = [c for c in axes.collections if len(getattr(c, "levels", ())) == 2 and not c.filled]
    for path, share in zip(lines.get_paths(), (0.9, 0.5), strict=True):
        radius = np.linalg.norm(path.vertices, axis=1).mean()
        assert radius == pytest.approx(np.sqrt(-2 * np.log(1 - share)), rel=0.12)  # standard normal distribution


def test_many_codes_without_classes_have_a_color_bar():
    figure = plot_codes(RNG.standard_normal((2000, 2)), "t", ("x", "y"))
    (bar,) = figure.axes[0].child_axes
    assert bar.get_ylabel() == "codes per hexagon"


def test_a_rate_distortion_curve_has_error_bars_in_both_directions():
    points = [RatePoint(f"beta={i}", 10 / i, 0.5, 80 + i, 1.0) for i in (1, 2, 4)]
    (axes,) = rate_distortion_plot({"VAE": points}, "t", "").axes
    (bars,) = axes.containers
    (horizontal, vertical) = bars.lines[2]
    assert [np.ptp(segment[:, 0]) for segment in horizontal.get_segments()] == pytest.approx([1, 1, 1])
    assert [np.ptp(segment[:, 1]) for segment in vertical.get_segments()] == pytest.approx([2, 2, 2])
