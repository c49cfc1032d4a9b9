import pytest
import torch

from autoencoders.objectives.beta_schedules import Capacity, Constant, Cyclical, Warmup
from autoencoders.types import UserError

RATE = torch.tensor(20.0)


def test_constant_is_independent_of_the_progress():
    assert Constant(4)(RATE, 0.0) == Constant(4)(RATE, 0.7) == 80


def test_warmup_increases_linearly_then_stays_constant():
    beta_schedule = Warmup(2, share=0.5)
    assert [beta_schedule.weight(p) for p in (0, 0.125, 0.25, 0.5, 0.9, 1)] == [0, 0.5, 1, 2, 2, 2]


def test_cyclical_repeats_and_ends_at_its_value():
    beta_schedule = Cyclical(1, cycles=4, share=0.5)
    assert [beta_schedule.weight(p) for p in (0, 0.0625, 0.125, 0.2, 0.25, 0.3125, 1)] == [0, 0.5, 1, 1, 0, 0.5, 1]


def test_capacity_is_the_distance_of_the_rate_from_a_growing_target():
    beta_schedule = Capacity(10, capacity=30, share=0.5)
    assert beta_schedule(RATE, 0.0) == 200
    assert beta_schedule(RATE, 1 / 3) == pytest.approx(0, abs=1e-3)
    assert beta_schedule(RATE, 1.0) == beta_schedule(torch.tensor(40.0), 1.0) == 100


def test_beta_schedules_are_stateless():
    beta_schedule = Warmup(1)
    forwards = [beta_schedule.weight(p / 10) for p in range(11)]
    assert [beta_schedule.weight(p / 10) for p in reversed(range(11))][::-1] == forwards


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(-1),
        lambda: Constant(float("inf")),
        lambda: Constant("abc"),
        lambda: Cyclical(1, cycles=1.5),
        lambda: Warmup(1, share=0),
        lambda: Cyclical(1, cycles=0),
        lambda: Capacity(1, capacity=-1),
        lambda: Capacity(1, share=1.5),
    ],
)
def test_values_out_of_range_raise_a_user_error(make):
    with pytest.raises(UserError, match=r"beta\.\w+ must be .*, got"):
        make()
