"""Checks of option values. All checks raise UserError with a message of the same form."""

from __future__ import annotations

import math

from autoencoders.types import UserError


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Raise UserError if a condition is false.

    Args:
        condition: whether the value is valid.
        name: name of the option.
        value: value of the option.
        expected: description of valid values, such as `a finite number > 0`. A hint may follow after a semicolon.

    Raises:
        UserError: `{name} must be {expected}, got {value!r}.`
    """
    if not condition:
        raise UserError(f"{name} must be {expected}, got {value!r}.")


def check_at_least(name: str, value: int, minimum: int) -> None:
    """Raise UserError if the value of an option is not an integer >= `minimum`. A bool is not an integer."""
    valid = isinstance(value, int) and not isinstance(value, bool) and value >= minimum
    require(valid, name, value, f"an integer >= {minimum}")


def check_positive(name: str, value: float) -> None:
    """Raise UserError if the value of an option is not a finite number > 0."""
    require(math.isfinite(value) and value > 0, name, value, "a finite number > 0")


def check_not_negative(name: str, value: float) -> None:
    """Raise UserError if the value of an option is not a finite number >= 0."""
    require(math.isfinite(value) and value >= 0, name, value, "a finite number >= 0")
