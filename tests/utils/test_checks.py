import math

import pytest

from autoencoders.types import UserError
from autoencoders.utils.checks import check_at_least, check_not_negative, check_positive, require


def test_a_true_condition_passes():
    require(True, "count", 3, "anything")


def test_the_message_names_option_expectation_and_value():
    with pytest.raises(UserError, match=r"^split must be train, val or test, got 'all'\.$"):
        require(False, "split", "all", "train, val or test")


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_integers_below_the_minimum_and_other_types_are_rejected(value):
    with pytest.raises(UserError, match=r"count must be an integer >= 1, got "):
        check_at_least("count", value, 1)


def test_the_minimum_itself_is_valid():
    check_at_least("count", 1, 1)
    check_not_negative("weight", 0)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
def test_positive_numbers_are_finite_and_above_zero(value):
    with pytest.raises(UserError, match="lr must be a finite number > 0"):
        check_positive("lr", value)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_numbers_that_are_not_negative_are_finite(value):
    with pytest.raises(UserError, match="weight must be a finite number >= 0"):
        check_not_negative("weight", value)
