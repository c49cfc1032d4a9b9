"""W&B keys for figures and tables, and arguments for `define_metric` for each metric."""

from __future__ import annotations

from typing import Any

STEP = "trainer/global_step"
"""Key of the x-axis for all metrics: the optimizer step. W&B's own step counts calls, and drops late values."""
SECTIONS = {"latents": "latent", "latents_tsne": "latent", "health": "latent", "codes": "latent", "kl": "latent"}
"""Name of a figure or table -> section, the first component of the W&B key. Other names are in section `media`."""
HIDDEN: dict[str, Any] = {"hidden": True}
NONE: dict[str, Any] = {"summary": "none"}
DEFINED: dict[str, dict[str, Any]] = {
    "epoch": HIDDEN,
    "step": NONE,
    "val_kl": HIDDEN | NONE,  # otherwise one panel and column per latent dimension; `latent/kl` shows the values
    "test_kl": HIDDEN | NONE,
    "rate_distortion/rate": HIDDEN | NONE,
    "rate_distortion/distortion": {"step_metric": "rate_distortion/rate"} | NONE,
}
"""Name or section of a metric -> arguments for `define_metric`.

Each metric is defined by its full name when it is first logged. A pattern is not used, because Lightning defines the
pattern `*`, and W&B does not choose reliably between two patterns that match.
"""


def media_key(name: str) -> str:
    """Return the W&B key `<section>/<name>` for a figure, table or histogram. W&B groups panels by section."""
    return name if "/" in name else f"{SECTIONS.get(name, 'media')}/{name}"


def definition(name: str) -> dict[str, Any]:
    """Return the arguments for `define_metric` for a metric, except the x-axis."""
    if "_error/" in name:  # standard error of an application metric; the application's table contains it
        return HIDDEN | NONE
    return DEFINED.get(name) or DEFINED.get(name.partition("/")[0], {})
