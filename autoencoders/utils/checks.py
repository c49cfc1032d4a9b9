"""Checks of options, which raise UserError in one form of words."""

from __future__ import annotations

from typing import Any

from autoencoders.types import UserError


def require(condition: bool, name: str, value: Any, expected: str) -> None:
    """Check a condition on the value of an option.

    Args:
        condition: the condition.
        name: name of the option.
        value: value of the option.
        expected: description of the accepted values.

    Raises:
        UserError: if the condition is false.
    """
    if not condition:
        raise UserError(f"{name} must be {expected}, got {value!r}.")


def check_at_least(name: str, value: int, minimum: int) -> None:
    """Check that the value of an option is an integer of at least `minimum`.

    Raises:
        UserError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise UserError(f"{name} must be an integer of at least {minimum}, got {value}.")
