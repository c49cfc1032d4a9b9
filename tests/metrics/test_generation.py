"""Compare FID, KID, density and coverage with SciPy, torchmetrics, their definitions and closed forms."""

import warnings

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from autoencoders.metrics.generation import density_and_coverage, frechet_distance, kernel_distance


class Same(torch.nn.Module):
    """Feature network for torchmetrics that returns its flattened input, because the test inputs are features."""

    num_features = 6

    def forward(self, x):
        return x.flatten(1)


def gaussians(count=300, size=6):
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(2, size, size, generator=generator)
    x, y = torch.randn(2, count, size, generator=generator)
    return (x @ mix[0]).double(), (y @ mix[1] + 0.5).double()


def test_fid_is_the_closed_form_of_scipy():
    a, b = gaussians()
    s, t = np.cov(a.T), np.cov(b.T)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum().item() + np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_fid_of_diagonal_gaussians_is_known():
    x = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a, b = x[:100_000] * torch.tensor([1.0, 2.0]), x[100_000:] * torch.tensor([3.0, 0.5]) + 1
    assert frechet_distance(a, b) == pytest.approx(2 + 2**2 + 1.5**2, rel=0.02)  # |m|^2 + sum (s_a - s_b)^2


def test_fid_of_images_that_are_all_alike_is_their_distance_and_the_others_variance():
    a, _ = gaussians()
    one = torch.ones_like(a)
    assert frechet_distance(a, one) == pytest.approx(float((a.mean(0) - 1).square().sum() + a.var(0).sum()))


def images(x):
    return x[:, :, None, None]


def test_fid_is_torchmetrics():
    a, b = gaussians()
    metric = FrechetInceptionDistance(feature=Same(), normalize=True).set_dtype(torch.float64)
    metric.update(images(a), real=True)
    metric.update(images(b), real=False)
    assert frechet_distance(a, b) == pytest.approx(metric.compute().item(), rel=1e-6)


def test_kid_is_torchmetrics_over_all_pairs():
    a, b = gaussians()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns that it stores all features
        metric = KernelInceptionDistance(feature=Same(), subsets=1, subset_size=len(a), normalize=True)
    metric.update(images(a).float(), real=True)
    metric.update(images(b).float(), real=False)
    assert kernel_distance(a, b)[0] == pytest.approx(metric.compute()[0].item(), rel=1e-4)


def test_kids_error_is_the_jackknife_and_the_spread_over_new_draws():
    a, b = (x[:12] for x in gaussians())

    def without(x):
        return [torch.cat([x[:i], x[i + 1 :]]) for i in range(len(x))]

    parts = [np.array([kernel_distance(x, b)[0] for x in without(a)])]
    parts.append(np.array([kernel_distance(a, x)[0] for x in without(b)]))
    expected = sum((len(v) - 1) / len(v) * ((v - v.mean()) ** 2).sum() for v in parts) ** 0.5
    assert kernel_distance(a, b)[1] == pytest.approx(expected, rel=1e-6)
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(2, 100, 3, generator=generator) + torch.tensor([[[0.0]], [[1.0]]]) for _ in range(60)]
    found = np.array([kernel_distance(*draw) for draw in draws])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(ddof=1), rel=0.25)


def test_kid_has_no_bias_where_both_are_alike():
    generator = torch.Generator().manual_seed(0)
    values = np.array([kernel_distance(*torch.randn(2, 20, 4, generator=generator))[0] for _ in range(200)])
    assert abs(values.mean()) < 3 * values.std() / 200**0.5


def by_definition(real, drawn, k):
    distance = np.linalg.norm(real[:, None] - real[None], axis=2)
    radius = np.sort(distance, axis=1)[:, k]  # index 0 is the image itself
    inside = np.linalg.norm(real[:, None] - drawn[None], axis=2) < radius[:, None]
    return inside.sum() / (k * len(drawn)), inside.any(1).mean()


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_are_their_definition(k, monkeypatch):
    monkeypatch.setattr("autoencoders.utils.chunks.CHUNK_BYTES", 8 * 300 * 70)
    a, b = gaussians()
    b = b[:200]
    density, coverage = density_and_coverage(a, b, k)
    assert (len(density), len(coverage)) == (200, 300)
    assert (density.mean(), coverage.mean()) == pytest.approx(by_definition(a.numpy(), b.numpy(), k))


def test_density_and_coverage_of_two_sets_that_are_alike_are_as_published():
    x = torch.randn(2, 2000, 8, generator=torch.Generator().manual_seed(0))
    density, coverage = density_and_coverage(*x, 5)
    assert density.mean() == pytest.approx(1, abs=0.05)
    assert coverage.mean() == pytest.approx(1 - 2**-5, abs=0.015)
    few = density_and_coverage(x[0], x[1][:1].expand(2000, -1), 5)[1]
    assert few.mean() < 0.02
