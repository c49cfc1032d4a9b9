import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from autoencoders.data import statistics
from autoencoders.data.duplicates import find_duplicates
from autoencoders.data.loader import Batches, BinarizedView, RowView, Split
from autoencoders.metrics.neighbors import pixel_distances
from autoencoders.utils.pca import principal_components
from autoencoders.utils.pixels import to_stored, to_unit


def stored(count=40, shape=(1, 5, 3), dtype=np.uint16):
    high = np.iinfo(dtype).max
    return torch.from_numpy(np.random.default_rng(0).integers(0, high, (count, *shape), dtype=dtype, endpoint=True))


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_stored_images_are_converted_without_loss(dtype, white):
    images = stored(dtype=dtype)
    np.testing.assert_allclose(to_unit(images), images.numpy() / white, rtol=1e-6)
    assert torch.equal(to_stored(to_unit(images), images.dtype), images)


@pytest.mark.parametrize("view", [False, True])
def test_images_of_16_bits_keep_their_values_in_batches_and_statistics(view):
    images = stored()
    values = images.double().numpy() / 65535
    split = Split(RowView(images, torch.arange(40)) if view else images, None)
    (batch,) = Batches(split, "val", batch_size=40)
    np.testing.assert_allclose(batch.x, values, rtol=1e-6)
    mean = statistics.mean_image(split.images)
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-12)
    assert statistics.mse_of_constant(mean, [batch]) == pytest.approx(((values - values.mean(0)) ** 2).mean())
    assert split.images.nbytes == images.numpy().nbytes
    if view:
        assert torch.equal(split.images.to(torch.device("cpu")), images)


@pytest.mark.parametrize("shape", [(1, 5, 3), (3, 40, 40)], ids=["dense", "krylov"])
def test_components_of_16_bit_images_equal_those_of_scikit_learn(shape):
    images = stored(60, shape)
    values = images.double().flatten(1).numpy() / 65535
    expected = PCA(4, svd_solver="full").fit(values)
    mean, components, variances = principal_components(images, 4)
    np.testing.assert_allclose(mean, expected.mean_, rtol=1e-9)
    np.testing.assert_allclose(variances, expected.explained_variance_, rtol=1e-3)
    assert components.shape == (4, values.shape[1])


def test_duplicates_and_distances_use_all_16_bits():
    images = stored()
    near = images.clone().numpy()
    near[:, 0, 0, 0] ^= 1  # differs only in the low byte
    assert not find_duplicates(images, [torch.from_numpy(near)]).any()
    assert find_duplicates(images, [images[5:10]]).nonzero().flatten().tolist() == [5, 6, 7, 8, 9]
    values = images.flatten(1).double().numpy() / 65535
    expected = np.sqrt(((values[:3, None] - values[None]) ** 2).mean(2))
    np.testing.assert_allclose(pixel_distances(to_unit(images[:3]), images), expected, atol=2e-4)


def test_binary_images_of_16_bit_gray_levels():
    gray = torch.full((500, 1, 4, 4), 16384, dtype=torch.int32).to(torch.uint16)
    binary = BinarizedView(gray, 0)[:]
    assert binary.dtype == torch.uint8
    assert binary.unique().tolist() == [0, 255]
    assert (binary.float() / 255).mean().item() == pytest.approx(0.25, abs=0.02)
