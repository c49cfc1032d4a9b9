"""Checks of option values that raise UserError with a uniform message."""

from __future__ import annotations

import math

from autoencoders.types import UserError


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Raise UserError if a condition is false.

    Args:
        condition: whether the value is valid.
        name: name of the option.
        value: its value.
        expected: description of valid values, such as `a number above 0`. A hint may follow after a semicolon.

    Raises:
        UserError: `{name} must be {expected}, got {value!r}.`
    """
    if not condition:
        raise UserError(f"{name} must be {expected}, got {value!r}.")


def check_at_least(name: str, value: int, minimum: int) -> None:
    """Raise UserError unless a value is an integer of at least `minimum`."""
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= minimum
    require(valid, name, value, f"an integer of at least {minimum}")


def check_positive(name: str, value: float) -> None:
    """Raise UserError unless a number is finite and above 0."""
    require(math.isfinite(value) and value > 0, name, value, "a number above 0")


def check_not_negative(name: str, value: float) -> None:
    """Raise UserError unless a number is finite and at least 0."""
    require(math.isfinite(value) and value >= 0, name, value, "a number of at least 0")
