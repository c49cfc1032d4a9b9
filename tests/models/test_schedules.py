import pytest
import torch

from autoencoders.models.schedules import Ladder
from autoencoders.types import UserError


def rates(total, **options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    ladder, result = Ladder(optimizer, total, **options), []
    for _ in range(total):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        ladder.step()
    return result


def test_the_default_ladder_is_that_of_burda():
    """github.com/yburda/iwae, experiments.py: 1e-4 round(10^(1 - i / 7), 1) for 3^i epochs, i = 0..7."""
    expected = [1e-4 * round(10 ** (1 - i / 7), 1) for i in range(8) for _ in range(3**i)]
    assert len(expected) == 3280
    assert rates(3280) == pytest.approx(expected, rel=0.04)  # the source rounds the rates


def test_fewer_rungs_are_the_beginning_and_rungs_scale_with_the_run():
    assert rates(40, rungs=4) == rates(3280)[:40]
    twice = rates(80, rungs=4)
    assert twice[::2] == twice[1::2] == rates(40, rungs=4)
    assert rates(6, rungs=3, growth=1, decay=0.5) == pytest.approx([1e-3] * 2 + [5e-4] * 2 + [2.5e-4] * 2)


@pytest.mark.parametrize("options", [{"rungs": 0}, {"growth": 1.5}, {"decay": 2}])
def test_options_out_of_range_raise_a_user_error(options):
    with pytest.raises(UserError, match=f"schedule.{next(iter(options))} must be"):
        rates(10, **options)
