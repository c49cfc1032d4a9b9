"""Groups of batches: they end at validations and at the last step, and Lightning's counts of groups find both."""

import itertools

import pytest
import torch

from autoencoders.data.groups import BatchGroup, GroupedBatches, GroupPlan
from autoencoders.data.loader import Batches, Split


def valid_plans():
    for size, batches in itertools.product((2, 3, 7, 16), (1, 2, 5, 10, 16, 17, 40)):
        for interval in range(1, batches + 1):
            for stop in range(batches):
                yield GroupPlan(size, batches, interval, stop)


def test_groups_end_at_every_validation_and_at_the_last_step():
    for plan in valid_plans():
        ends = plan.ends()
        assert ends == sorted(set(ends)), plan
        assert ends[-1] == plan.batches, plan
        # Lightning validates after group j if (j + 1) is a multiple of the groups per interval.
        counted = [end for j, end in enumerate(ends, 1) if j % plan.groups_per_interval == 0]
        assert counted == [end for end in range(plan.interval, plan.batches + 1, plan.interval)], plan
        assert not plan.stop or plan.stop in ends[:-1], plan


def test_groups_have_at_most_their_size_where_all_intervals_are_equal():
    for plan in valid_plans():
        if plan.batches % plan.interval == 0:
            ends = plan.ends()
            assert max(b - a for a, b in itertools.pairwise([0, *ends])) <= plan.size


@pytest.fixture
def batches():
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1)
    return lambda: Batches(Split(images, None), "train", batch_size=3, train=True)


@pytest.mark.parametrize("start", range(7))
def test_groups_have_the_batches_of_an_iteration_without_groups(batches, start):
    plain, source = batches(), batches()
    for loader in (plain, source):
        loader.go_to({"done": start, "epoch": 3})
    grouped, expected, done = GroupedBatches(source, GroupPlan(4, 6, 6)), list(plain), []
    for group in grouped:
        assert isinstance(group, BatchGroup)
        for number, batch in group:
            assert number == start + len(done)
            assert source.position() == {"done": number + 1, "epoch": 3}
            done.append(batch)
    assert len(grouped) == 2
    assert len(done) == len(expected) == 6 - start
    assert all(torch.equal(a.index, b.index) and torch.equal(a.x, b.x) for a, b in zip(done, expected, strict=True))
