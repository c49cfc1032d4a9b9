"""Formats of figures: valid options, equal bytes for equal figures, and figures without a title."""

import pytest
from PIL import Image

from autoencoders.figures.files import FigureOptions, render_figure, save_figure
from autoencoders.figures.style import add_axes_header, new_figure
from autoencoders.types import UserError

STARTS = {"png": b"\x89PNG", "pdf": b"%PDF-", "svg": b"<?xml"}


def figure():
    figure = new_figure(3, 2)
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.5))
    axes.plot([1, 2])
    add_axes_header(axes, "a title", "a caption")
    return figure


@pytest.mark.parametrize("name", STARTS)
def test_a_file_has_its_format_and_always_the_same_bytes(name, tmp_path):
    path = save_figure(figure(), tmp_path / "000001.png", FigureOptions(format=name))
    assert path.suffix == f".{name}"
    assert path.read_bytes().startswith(STARTS[name])
    assert path.read_bytes() == render_figure(figure(), name)
    assert (tmp_path / "000001.png").read_bytes().startswith(STARTS["png"])


def test_resolution_and_title(tmp_path):
    with Image.open(save_figure(figure(), tmp_path / "a.png", FigureOptions(dpi=50))) as image:
        assert image.size == (150, 100)
    assert b"figure-title" in render_figure(figure(), "svg")
    assert b"figure-title" not in render_figure(figure(), "svg", title=False)
    with Image.open(save_figure(figure(), tmp_path / "b.png", FigureOptions(dpi=50, title=False))) as image:
        assert image.height < 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "jpg"}, r"figures\.format must be png, pdf or svg, got 'jpg'\."),
        ({"dpi": 0}, r"figures\.dpi must be an integer between 1 and 1200, got 0\."),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        FigureOptions(**options)
