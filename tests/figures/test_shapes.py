"""Every figure of images accepts any number of channels, and rectangles."""

import numpy as np
import pytest

from autoencoders.applications.anomaly_scores import convert_images
from autoencoders.figures.anomalies import error_maps
from autoencoders.figures.code_heatmaps import code_heatmaps
from autoencoders.figures.grids import image_grid, tile_images
from autoencoders.figures.labelled_grid import labelled_grid
from autoencoders.figures.neighbors import neighbor_grid
from autoencoders.figures.pixels import to_rgb

SHAPES = [(1, 28, 20), (2, 17, 9), (3, 96, 128), (3, 61, 37), (4, 8, 8), (5, 8, 200)]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_figures_of_images_with_any_shape(shape, tmp_path):
    images = RNG.random((6, *shape))
    pictures = [
        image_grid(images.reshape(2, 3, *shape), "title", rows=["a", "b"]),
        labelled_grid(images, ["label"] * 6, "title"),
        code_heatmaps(images, RNG.standard_normal((6, 5)), images, "title"),
        error_maps(images, images + 0.1, "title"),
        neighbor_grid(images[:2], images.reshape(2, 3, *shape), np.ones((2, 3)), None, ["x", "y"], "title"),
    ]
    for i, figure in enumerate(pictures):
        figure.savefig(tmp_path / f"{i}.png")
        for axes in figure.axes:
            for image in axes.get_images():
                height, width = image.get_array().shape[:2]
                extent = axes.get_window_extent()
                if (height, width) == shape[1:]:  # an image is not distorted
                    assert extent.width / extent.height == pytest.approx(width / height, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_are_shown_in_the_colors_of_their_channels(shape):
    image = RNG.random(shape)
    expected = image[:3] if shape[0] in (3, 4) else np.stack([image.mean(0)] * 3)
    np.testing.assert_allclose(to_rgb(image).transpose(2, 0, 1), expected)
    tiled = tile_images(image[None, None])
    factor = tiled.shape[0] // shape[1]
    np.testing.assert_allclose(tiled[::factor, ::factor].transpose(2, 0, 1), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_another_dataset_are_converted_to_any_shape(shape, channels):
    import torch

    images = torch.full((5, channels, 30, 30), 100, dtype=torch.uint8)
    converted = convert_images(images, shape, 3)
    assert converted.shape == (3, *shape)
    assert converted.unique().tolist() == [100]
