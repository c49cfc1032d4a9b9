import numpy as np
import pytest
import torch

from autoencoders.data.cartoons import FACTORS, LIPS, MOUTH_BEND, CartoonsDataModule, draw, draw_factors
from autoencoders.types import UserError


def mouth_bend(face):
    """Measure the height of the corners of the mouth above its middle in an image, in pixels."""
    distance = (face - torch.tensor(LIPS)[:, None, None]).abs().sum(0)
    rows, columns = (distance < 0.2).nonzero().T.double()
    left, right = columns.min(), columns.max()
    corners = rows[(columns <= left + 1) | (columns >= right - 1)].mean()
    middle = rows[(columns - (left + right) / 2).abs() < 2].mean()
    return (middle - corners).item()


def test_the_mouth_bends_with_its_factor_for_all_other_factors():
    values = draw_factors(40, seed=1)
    curves = []
    for mouth in (-1.0, -0.5, 0.0, 0.5, 1.0):
        values[:, FACTORS.index("mouth")] = mouth
        curves.append(np.mean([mouth_bend(face) for face in draw(values, 96)]))
    expected = np.array([-1, -0.5, 0, 0.5, 1]) * MOUTH_BEND * 96 / 2
    # The line is thick and its corners are averaged over two columns, so the measured bend is smaller than MOUTH_BEND.
    np.testing.assert_allclose(curves, 0.79 * expected, atol=0.3)


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_changes_pixels_and_the_mouth_only_its_own(name):
    values = torch.zeros(2, len(FACTORS))
    values[:, FACTORS.index("glasses")] = -1
    values[0, FACTORS.index(name)], values[1, FACTORS.index(name)] = -0.8, 0.8
    first, second = draw(values, 64)
    changed = (first - second).abs().amax(0) > 0.02
    assert changed.sum() > 20
    if name == "mouth":
        rows = changed.nonzero()[:, 0]
        assert rows.min() > 35
        assert rows.max() < 52


def test_factors_are_uniform_and_independent_except_for_the_correlated_pair():
    values = draw_factors(20_000, 0, ("mouth", "hair_length"), 0.9).numpy()
    correlation = np.corrcoef(values.T) - np.eye(len(FACTORS))
    assert correlation[0, 2] > 0.85
    correlation[0, 2] = correlation[2, 0] = 0
    assert np.abs(correlation).max() < 0.04
    assert np.abs(np.quantile(values[:, 0], [0.25, 0.5, 0.75]) - [-0.5, 0, 0.5]).max() < 0.03
    assert set(np.unique(values[:, FACTORS.index("glasses")])) == {-1, 1}


def test_the_images_are_drawn_from_their_factors(tmp_path):
    data = CartoonsDataModule(
        name="cartoons", count=60, size=32, attributes=["mouth"], batch_size=4, cache=str(tmp_path)
    )
    data.setup()
    assert data.shape == (3, 32, 32)
    assert data.context.names == ("mouth",)
    drawn = (draw(draw_factors(60, 0), 32) * 255).round().byte()
    values = draw_factors(60, 0)[:, 0]
    row = (values == data.get_split("val").labels[0, 0]).nonzero().item()
    assert torch.equal(data.images("val")[0], drawn[row])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"attributes": ["Smiling"]},
            "must contain only names of factors, got 'Smiling'. Choose from: mouth, glasses",
        ),
        ({"correlated": ["mouth"]}, r"data.correlated must be two factors or an empty list, got \['mouth'\]"),
        ({"correlation": 2.0}, r"data.correlation must be a number in \[-1, 1\], got 2.0"),
        ({"count": 3}, "data.count must be a number of images between 10 and 10,000,000, got 3"),
        ({"size": 8}, "data.size must be a number of pixels between 16 and 1024, got 8"),
    ],
)
def test_invalid_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        CartoonsDataModule(name="cartoons", **options)


def test_factors_are_binned_attributes(tmp_path):
    data = CartoonsDataModule(count=60, size=16, batch_size=4, cache=str(tmp_path))
    data.setup()
    known = data.annotations("train")
    assert data.factors.names == known.factor_names == FACTORS
    assert data.factors.sizes == (10, 2, 10, 10, 10, 10, 10, 10)
    for i, values in enumerate(known.attributes.T):
        if FACTORS[i] == "glasses":
            assert torch.equal(known.factors[:, i], (values > 0).long())
            continue
        centers = torch.tensor(data.factors.values[i])[known.factors[:, i]]
        assert (values - centers).abs().max() <= 0.1 + 1e-6
