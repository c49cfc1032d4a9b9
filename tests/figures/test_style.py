"""Colors that readers with a color vision deficiency can tell apart, and the size of text."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text
from skimage.color import rgb2lab
from test_names import figures

from autoencoders.figures.curves import loss_curves
from autoencoders.figures.style import (
    FEW_COLORS,
    MANY_COLORS,
    MODEL_COLORS,
    class_colors,
    series_styles,
)
from autoencoders.reports.images import MIN_DPI

# Machado, Oliveira and Fernandes (2009), severity 1.0, for linear RGB.
SIMULATIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
README_WIDTH = 838
"""Width in pixels to which GitHub reduces figures in a README."""
MIN_DISTANCE = 15
"""CIELAB distance. A distance of about 2.3 is just noticeable for areas next to each other."""


def lab(colors, simulation):
    rgb = np.array([[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ SIMULATIONS[simulation].T, 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)[None])[0]


@pytest.mark.parametrize("simulation", SIMULATIONS)
@pytest.mark.parametrize("palette", [FEW_COLORS, MANY_COLORS, tuple(MODEL_COLORS.values())], ids=["8", "10", "models"])
def test_colors_differ_for_readers_with_a_color_vision_deficiency(palette, simulation):
    values = lab(palette, simulation)
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(values, 2)) > MIN_DISTANCE


def test_a_model_has_one_color_and_its_series_differ():
    styles = series_styles(["vae", "ae", "vae", "mine"], by_model=True)
    assert styles[0].color == styles[2].color == MODEL_COLORS["vae"]
    assert len({style.color for style in styles}) == 3
    assert len({(style.color, style.line, style.marker) for style in series_styles(["vae"] * 40, True)}) == 40
    assert len(set(class_colors(8))) == 8
    assert len(set(class_colors(10))) == 10


def test_no_text_is_smaller_than_8_pixels_on_a_page():
    curves = {name: {"val": np.ones((3, 2))} for name in ("objective", "distortion", "rate", "mse")}
    for figure in [*figures("name"), loss_curves(curves, "title", {})]:
        assert figure.get_figwidth() * MIN_DPI <= README_WIDTH
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()]
        assert min(sizes) * MIN_DPI / 72 >= 8
