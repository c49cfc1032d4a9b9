"""W&B keys for figures, tables and results of applications, and arguments for `define_metric` for each metric."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

STEP = "trainer/global_step"
"""Key of the x-axis for all metrics: the optimizer step. W&B's own step counts calls, and drops late values."""
SECTIONS = {"latents": "latent", "latents_tsne": "latent", "health": "latent", "codes": "latent", "kl": "latent"}
"""Name of a figure or table -> section, the first component of the W&B key. Other names are in section `media`."""
STANDARD_ERROR = "_se"
"""End of the key of a standard error."""
ONCE = ("test", "val/mse_")
"""Start of the names of metrics that have one value per run: test metrics, and baselines of the validation MSE."""
HIDDEN: dict[str, Any] = {"hidden": True}
NONE: dict[str, Any] = {"summary": "none"}
DEFINED: dict[str, dict[str, Any]] = {
    "epoch": HIDDEN,
    "step": NONE,
    "val_kl": HIDDEN | NONE,  # otherwise one panel and column per latent dimension; `latent/kl` shows the values
    "test_kl": NONE,
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
    if name.endswith(STANDARD_ERROR):
        return HIDDEN
    return DEFINED.get(name) or DEFINED.get(name.partition("/")[0], {})


def summary_values(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that the summary of a W&B run contains."""
    return {name: value for name, value in metrics.items() if "summary" not in definition(name)}


def result_keys(names: Iterable[str], model: str) -> dict[str, str]:
    """Map the names of an application's results to keys that are equal for all models.

    The row of the model drops its name, other rows become a suffix in snake_case, and the number of components of PCA
    is removed. A standard error ends in `_se`. Examples for `model="vae"`: `evaluate/MSE/vae` -> `evaluate/mse`,
    `evaluate/MSE_error/vae` -> `evaluate/mse_se`, `evaluate/MSE/PCA-20` -> `evaluate/mse_pca`. If several names would
    get the same key, their keys contain the number of components.

    Args:
        names: names `<application>/<column>/<row>` or `<application>/<column>_error/<row>`. More components are
            possible.
        model: name of the model, such as `vae`.

    Returns:
        Name -> key. All keys are different.
    """
    keys = {name: _result_key(name, model) for name in names}
    count = Counter(keys.values())
    keys = {name: key if count[key] == 1 else _result_key(name, model, sizes=True) for name, key in keys.items()}
    count = Counter(keys.values())
    return {name: key if count[key] == 1 else name for name, key in keys.items()}


def _result_key(name: str, model: str, sizes: bool = False) -> str:
    """Return the key of one result; see `result_keys`. If `sizes` is True, the number of components is kept."""
    application, *parts = name.split("/")
    is_error = any(part.endswith("_error") for part in parts)
    words = []
    for part in parts:
        text = re.sub(rf"(?<![\w-]){re.escape(model)}(?![\w-])", "", part.removesuffix("_error"))
        text = re.sub(r"^-(?=[A-Za-z])", "neg ", re.sub(r"(?<=\d)\.0$", "", text))
        text = text if sizes else re.sub(r"\bPCA-\d+\b", "PCA", text)
        words += re.findall(r"\w+", text.lower())
    return f"{application}/{'_'.join(words)}{STANDARD_ERROR if is_error else ''}" if words else name
