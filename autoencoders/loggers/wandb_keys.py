"""The keys under which W&B gets what a run makes, and what it is told of them."""

from __future__ import annotations

from typing import Any

STEP = "trainer/global_step"
"""The axis of everything; W&B's own step counts calls, and would drop what is late."""
SECTIONS = {"latents": "latent", "latents_tsne": "latent", "health": "latent", "codes": "latent", "kl": "latent"}
"""Sections, W&B's first part of a key, of what has none in its name; `media` for all else."""
HIDDEN, NONE = {"hidden": True}, {"summary": "none"}
DEFINED = {
    "epoch": HIDDEN,
    "step": NONE,
    "val_kl": HIDDEN | NONE,  # of 200 latents 200 panels, and columns of the table of runs: `latent/kl` shows them
    "test_kl": HIDDEN | NONE,
    "rate_distortion/rate": HIDDEN | NONE,
    "rate_distortion/distortion": {"step_metric": "rate_distortion/rate"} | NONE,
}
"""Arguments of `define_metric` by a metric's name or section. Each name is defined when it is first logged: beside
Lightning's `*`, which puts everything against STEP, W&B takes of two patterns that fit now one, now the other."""


def media_key(name: str) -> str:
    """The key of a figure, table or histogram: with the section that W&B's workspace groups it under."""
    return name if "/" in name else f"{SECTIONS.get(name, 'media')}/{name}"


def definition(name: str) -> dict[str, Any]:
    """What W&B must be told of a metric beside its axis; empty where nothing."""
    if "_error/" in name:  # of an application's number, whose table has both
        return HIDDEN | NONE
    return DEFINED.get(name) or DEFINED.get(name.partition("/")[0], {})
