import copy

import pytest
import torch
from torchmetrics import MeanMetric

from autoencoders.metrics.running_means import RunningMeans


def batches(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, 3, generator=generator) for size in sizes]


def test_means_over_batches_of_any_size_equal_those_of_torchmetrics():
    metric, references = RunningMeans(), [MeanMetric() for _ in range(3)]
    for rows in batches(7, 1, 4):
        metric.update(rows.double().mean(0), len(rows))
        for reference, column in zip(references, rows.T, strict=True):
            reference.update(column)
    torch.testing.assert_close(metric.compute().float(), torch.stack([r.compute() for r in references]))


def test_a_restored_metric_continues_exactly():
    first, second, *rest = batches(7, 5, 3)
    metric, resumed = RunningMeans(), RunningMeans()
    for rows in (first, second):
        metric.update(rows.mean(0), len(rows))
    state = copy.deepcopy(metric.saved_state())
    resumed.restore(state, first=True)
    for rows in rest:
        metric.update(rows.mean(0), len(rows))
        resumed.update(rows.mean(0), len(rows))
    assert torch.equal(metric.compute(), resumed.compute())


def test_windows_do_not_change_the_means_and_are_restored():
    first, second, third = batches(7, 5, 3)
    metric, resumed = RunningMeans(), RunningMeans()
    metric.update(first.double().mean(0), 7)
    torch.testing.assert_close(metric.compute_window(), first.double().mean(0))
    metric.update(second.double().mean(0), 5)
    resumed.restore(metric.saved_state(), first=True)
    resumed.update(third.double().mean(0), 3)
    torch.testing.assert_close(resumed.compute_window(), torch.cat([second, third]).double().mean(0))
    torch.testing.assert_close(resumed.compute(), torch.cat([first, second, third]).double().mean(0))


def test_only_the_first_process_restores_the_sums():
    metric, other = RunningMeans(), RunningMeans()
    metric.update(torch.ones(2), 5)
    other.restore(metric.saved_state(), first=False)
    assert other.sums.tolist() == [0, 0]
    assert other.count == 0


@pytest.mark.filterwarnings("error")
def test_a_restored_metric_can_be_computed_before_an_update():
    metric, resumed = RunningMeans(), RunningMeans()
    metric.update(torch.ones(2), 5)
    resumed.restore(metric.saved_state(), first=True)
    assert resumed.compute().tolist() == [1, 1]


def test_the_state_is_not_in_the_weights_of_a_model():
    assert not RunningMeans().state_dict()
