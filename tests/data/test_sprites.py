"""data=sprites: the drawn shapes, the grid of factors and the options."""

import json
import math

import numpy as np
import pytest
import torch

from autoencoders.data.description import describe_data, description_rows
from autoencoders.data.factor_images import choose_rows, grid_indices
from autoencoders.data.sprite_shapes import HEART_CENTER, RADIUS, SHAPES, draw_sprites
from autoencoders.data.sprites import SpritesDataModule
from autoencoders.types import UserError

AREAS = {
    "square": 2 * RADIUS**2,
    "ellipse": math.pi * RADIUS**2 / 2,
    # a square with side sqrt(1/2) and two half discs with diameter sqrt(1/2), scaled so that the radius is RADIUS
    "heart": (0.5 + math.pi / 8) * (RADIUS / HEART_CENTER) ** 2,
}


def draw(shape, scale=1.0, angle=0.0, x=0.5, y=0.5, size=64):
    return draw_sprites(shape, *(torch.tensor([float(v)]) for v in (scale, angle, x, y)), size)[0, 0].double() / 255


def prepared(folder, **options):
    data = SpritesDataModule(**{"cache": str(folder), "batch_size": 4, "validation": 0.1, "test": 0.2} | options)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.5, 1.0])
@pytest.mark.parametrize("angle", [0.0, 0.3, 2.0])
def test_the_area_is_that_of_the_shape(shape, scale, angle):
    area = draw(shape, scale, angle).sum().item() * (2 / 64) ** 2
    assert area == pytest.approx(AREAS[shape] * scale**2, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_extreme_positions_keep_the_shape_inside_the_image(shape):
    center = draw(shape, angle=0.4).sum().item()
    for x, y in ((0, 0), (0, 1), (1, 0), (1, 1)):
        assert draw(shape, angle=0.4, x=x, y=y).sum().item() == pytest.approx(center, rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_x_moves_to_the_right_and_y_upwards(shape):
    axis = (torch.arange(64).double() + 0.5) / 32 - 1
    first = []
    for x, y in ((0.25, 0.5), (0.75, 0.5), (0.5, 0.75)):
        image = draw(shape, 0.5, x=x, y=y)
        first.append((float(image.sum(0) @ axis / image.sum()), -float(image.sum(1) @ axis / image.sum())))
    (x0, y0), (x1, y1), (x2, y2) = first
    step = (1 - RADIUS) * 2 * 0.25
    assert x1 - x0 == pytest.approx(2 * step, abs=0.005)
    assert y1 == pytest.approx(y0, abs=0.005)
    assert (x2 - x0, y2 - y0) == pytest.approx((step, step), abs=0.005)


@pytest.mark.parametrize(("shape", "period"), [("square", 90), ("ellipse", 180), ("heart", 360)])
def test_shapes_repeat_after_their_period_and_not_before(shape, period):
    images = [draw(shape, angle=math.radians(a)) for a in (20, 20 + period / 2, 20 + period)]
    assert (images[0] - images[2]).abs().max() < 0.01
    assert (images[0] - images[1]).abs().max() > 0.5


def test_the_heart_points_down_at_angle_0():
    image = draw("heart")
    widths = (image > 0.5).sum(1)
    rows = widths.nonzero().flatten()
    assert widths[rows[-1]] <= 2
    assert widths[rows[0]] > 4


def test_edges_are_antialiased():
    image = draw("square", angle=0.3)
    gray = ((image > 0.05) & (image < 0.95)).sum().item()
    assert 0.5 * 4 * 2 * RADIUS * math.sqrt(0.5) * 32 < gray < 4 * 4 * RADIUS * math.sqrt(0.5) * 32


def test_the_grid_has_all_combinations_in_order():
    indices = grid_indices((2, 1, 3))
    assert indices.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [1, 0, 0], [1, 0, 1], [1, 0, 2]]
    rows = choose_rows(100, 30, 0)
    assert len(rows.unique()) == 30
    assert torch.equal(rows, rows.sort().values)
    assert not torch.equal(rows, choose_rows(100, 30, 1))
    assert len(choose_rows(5, 9, 0)) == len(choose_rows(5, None, 0)) == 5


def test_a_small_grid_is_complete_and_its_images_are_drawn_from_the_factors(tmp_path):
    data = prepared(tmp_path, size=32, scales=2, orientations=3, positions=4, turn=90)
    assert data.factors.names == ("shape", "scale", "orientation", "x", "y")
    assert data.factors.sizes == (3, 2, 3, 4, 4)
    assert data.factors.ordered == (False, True, True, True, True)
    assert data.factors.values[2] == pytest.approx([0, math.pi / 6, math.pi / 3])
    known = torch.cat([data.annotations(split).factors for split in ("train", "val", "test")])
    assert len(known.unique(dim=0)) == len(known) == 288
    factors, images = data.annotations("test").factors, data.images("test")
    for row in (0, 20, 56):
        shape, *rest = factors[row].tolist()
        numbers = [data.factors.values[i + 1][value] for i, value in enumerate(rest)]
        expected = draw(data.factors.values[0][shape], *numbers, size=32)
        assert torch.equal((expected * 255).round().byte(), images[row, 0])
    assert torch.equal(data.annotations("test").classes, factors[:, 0])
    assert data.context.names == ("square", "ellipse", "heart")
    assert data.duplicate_counts() == {"train": 0, "val": 0}  # with turn=90, all images differ


def test_the_share_is_seeded_and_uniform(tmp_path):
    data, again = (prepared(tmp_path / str(i), size=16, count=3000) for i in range(2))
    other = prepared(tmp_path / "other", size=16, count=3000, split_seed=1)
    assert data.fingerprint() == again.fingerprint() != other.fingerprint()
    known = torch.cat([data.annotations(split).factors for split in ("train", "val", "test")]).numpy()
    for column, size in zip(known.T, (3, 6, 40, 32, 32), strict=True):
        counts, expected = np.bincount(column, minlength=size), 3000 / size
        assert ((counts - expected) ** 2 / expected).sum() < size - 1 + 5 * math.sqrt(2 * (size - 1))  # chi-squared


def test_a_large_share_is_memory_mapped(tmp_path):
    data = prepared(tmp_path, size=16, count=500, memory=1000)
    assert type(data.images("train")).__name__ == "RowView"
    assert data.images("train")[:3].shape == (3, 1, 16, 16)


def test_a_factor_can_be_the_label(tmp_path):
    data = prepared(tmp_path, size=16, count=500, label="scale", scales=3)
    assert data.context.names == ("0.5", "0.75", "1")
    unlabeled = SpritesDataModule(label=None)
    assert not unlabeled.has_labels


def test_the_description_lists_the_factors(tmp_path):
    described = describe_data(prepared(tmp_path, size=16, scales=2, orientations=3, positions=4))
    assert described["factors"][1] == {"name": "scale", "size": 2, "values": [0.5, 1.0]}
    json.dumps(described)
    rows = dict(description_rows(described))
    assert rows["factors"] == ("shape (3 values), scale (2 values), orientation (3 values), x (4 values), y (4 values)")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": ["star"]}, "data.shapes must contain only square, ellipse, heart, got 'star'"),
        ({"shapes": []}, "data.shapes must be a list of different shapes"),
        ({"scales": 0}, "data.scales must be an integer >= 1, got 0"),
        ({"size": 8}, "data.size must be a number of pixels between 16 and 1024, got 8"),
        ({"turn": 0}, "data.turn must be a number of degrees above 0 and at most 360, got 0"),
        ({"count": 3}, "data.count must be a number of images >= 10, or null for all images, got 3"),
        ({"label": "color"}, "data.label must be the name of a factor, or null for no labels, got 'color'"),
    ],
)
def test_invalid_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        SpritesDataModule(**options)
