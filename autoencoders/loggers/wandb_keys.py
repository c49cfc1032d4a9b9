"""W&B keys of metrics and media, and their definitions."""

from __future__ import annotations

from typing import Any

STEP = "trainer/global_step"
"""The x-axis of all metrics. W&B's own step counts calls, and would drop late values."""
SECTIONS = {"latents": "latent", "latents_tsne": "latent", "health": "latent", "codes": "latent", "kl": "latent"}
"""Section, the first component of a W&B key, of names without one; `media` for all others."""
HIDDEN: dict[str, Any] = {"hidden": True}
NONE: dict[str, Any] = {"summary": "none"}
DEFINED: dict[str, dict[str, Any]] = {
    "epoch": HIDDEN,
    "step": NONE,
    "val_kl": HIDDEN | NONE,  # 200 latents would be 200 panels and columns; `latent/kl` shows them
    "test_kl": HIDDEN | NONE,
    "rate_distortion/rate": HIDDEN | NONE,
    "rate_distortion/distortion": {"step_metric": "rate_distortion/rate"} | NONE,
}
"""Arguments of `define_metric` by the name or section of a metric. Each name is defined when it is first logged: if two
patterns match, such as Lightning's `*`, W&B does not choose reliably between them."""


def media_key(name: str) -> str:
    """Return the key of a figure, table or histogram, with the section by which W&B groups it."""
    return name if "/" in name else f"{SECTIONS.get(name, 'media')}/{name}"


def definition(name: str) -> dict[str, Any]:
    """Return the arguments of `define_metric` for a metric, besides its axis."""
    if "_error/" in name:  # the standard error of an application's metric, which its table contains
        return HIDDEN | NONE
    return DEFINED.get(name) or DEFINED.get(name.partition("/")[0], {})
