import numpy as np
import pytest
import torch
from scipy import stats

from autoencoders.utils import counter_rng


def test_splitmix_matches_the_published_reference():
    # First outputs of the authors' splitmix64.c for the state 0.
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    states = torch.tensor(
        [0, counter_rng._signed(counter_rng._GAMMA), counter_rng._signed(2 * counter_rng._GAMMA % 2**64)]
    )
    assert [int(v) % 2**64 for v in counter_rng._splitmix(states)] == expected


def test_numbers_depend_only_on_the_row():
    index = torch.randperm(1000, generator=torch.Generator().manual_seed(1))
    whole = counter_rng.normal(7, index, 11)
    parts = torch.cat([counter_rng.normal(7, chunk, 11) for chunk in index.split(33)])
    assert torch.equal(whole, parts)
    assert torch.equal(whole[index.argsort()], counter_rng.normal(7, torch.arange(1000), 11))
    assert not torch.equal(whole, counter_rng.normal(8, index, 11))


def test_wider_rows_are_still_normal_and_uncorrelated():
    z = counter_rng.normal(3, torch.arange(20_000), 6).double().numpy()
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(np.column_stack([z, np.roll(z[:, :1], 1)]).T) - np.eye(7)
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_the_largest_and_smallest_numbers_are_in_the_open_interval(monkeypatch):
    for bits in (-1, 0):
        monkeypatch.setattr(counter_rng, "_splitmix", lambda x, bits=bits: torch.full_like(x, bits))
        assert 0 < counter_rng.uniform(0, torch.arange(1), 1).item() < 1


def test_uniform_numbers_are_in_the_open_interval():
    u = counter_rng.uniform(0, torch.arange(100_000), 10)
    assert 0 < u.min()
    assert u.max() < 1
    assert stats.kstest(u.double().numpy().ravel()[:200_000], "uniform").pvalue > 1e-3


@pytest.mark.parametrize("other", [(1, "val", 0), (0, "test", 0), (0, "val", 1), (0, "val")])
def test_seeds_differ_if_any_argument_differs(other):
    assert counter_rng.derive_seed(0, "val", 0) != counter_rng.derive_seed(*other)
    assert 0 <= counter_rng.derive_seed(*other) < 2**63


def test_the_global_generator_is_not_used():
    before = torch.get_rng_state()
    counter_rng.normal(0, torch.arange(10), 3)
    assert torch.equal(before, torch.get_rng_state())
