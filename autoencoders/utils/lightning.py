"""Typed access to attributes of Lightning's Trainer that type checkers do not know."""

from __future__ import annotations

import lightning.pytorch as pl


def get_callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    """Return the callbacks of a trainer."""
    return trainer.callbacks  # type: ignore[attr-defined]  # set outside of the class body


def get_log_interval(trainer: pl.Trainer) -> int:
    """Return the number of optimizer steps between two writes of training metrics by a trainer."""
    return trainer.log_every_n_steps  # type: ignore[attr-defined]  # set outside of the class body
