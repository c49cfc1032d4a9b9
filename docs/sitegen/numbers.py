"""Measured numbers from `experiments/`: rows of kept runs, and cells of claims."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping
from typing import Any

from sitegen import REPOSITORY
from sitegen.markdown import table

EXPERIMENTS = REPOSITORY / "experiments"
SEED = re.compile(r"-?seed\d+")
PAIRED = re.compile(r" \(paired difference [^)]*\)")
VALUE = re.compile(r": [\d.]+$")
METRICS = {
    "test MSE": "test/mse", "MSE of PCA": "test/mse_pca", "negative ELBO, nats": "test/neg_elbo",
    "rate, nats": "test/rate", "accuracy": "test/accuracy",
}  # fmt: skip
NOT_MEASURED = "Not measured: no kept run of [the experiments](../experiments/README.md) uses it."


def kept_runs() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return the kept results of all trainings: (study, run without its seed) -> one content per seed."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for file in sorted(EXPERIMENTS.glob("*/results/*.json")):
        content = json.loads(file.read_text())
        if content["record"]:  # not an application to a run of another study
            runs.setdefault((file.parent.parent.name, SEED.sub("", file.stem) or file.stem), []).append(content)
    return runs


def describe(content: Mapping[str, Any]) -> dict[str, str]:
    """Return the data, model, net, latents, beta and epochs of a kept run."""
    config, record = content["config"], content["record"]
    net = [word.partition("=")[2] for word in record["overrides"] if word.startswith("net=")]
    target = (config["model"].get("encoder") or {}).get("_target_", "")
    height, width = record["data"]["shape"][1:]
    return {
        "data": record["data"]["name"],
        "pixels": f"{height}\u00a0\u00d7\u00a0{width}",
        "model": config["model"]["name"],
        "net": net[-1] if net else target.split(".")[-2] if target else "none",
        "latents": str(record["code"] or ""),
        "beta": f"{config['beta']['value']:g}" if record["code"] else "",
        "epochs": str(record["epochs"]),
    }


def format_number(values: list[float]) -> str:
    """Return the mean of the values, with its standard error if there are several; empty without values."""
    if not values:
        return ""
    mean = f"{statistics.fmean(values):.4g}"
    return mean if len(set(values)) == 1 else f"{mean}\u00a0±\u00a0{statistics.stdev(values) / len(values) ** 0.5:.1g}"


def measured_table(conditions: Mapping[str, str]) -> str:
    """Return a table of the kept runs that fulfill conditions, such as `{"model": "vae"}`, with links from `docs/`.

    Args:
        conditions: keys and values of `describe`.
    """
    rows: list[list[str]] = []
    names: list[str] = []
    for (study, _), contents in kept_runs().items():
        facts = describe(contents[0])
        if any(facts[key] != value for key, value in conditions.items()):
            continue
        names = list(facts)
        metrics = [[c["metrics"][key] for c in contents if key in c["metrics"]] for key in METRICS.values()]
        link = f"[{study}](../experiments/{study}/README.md)"
        rows.append([link, *facts.values(), str(len(contents)), *map(format_number, metrics)])
    if not rows:
        return NOT_MEASURED
    header = ["experiment", *names, "seeds", *METRICS]
    filled = [i for i, name in enumerate(header) if name not in conditions and any(row[i] for row in rows)]
    return table([header[i] for i in filled], [[row[i] for i in filled] for row in rows])


def claim_cells(study: str, start: str) -> str:
    """Return three cells of a claim: the measured number, the baselines, and the result with a link from `docs/`.

    Args:
        study: name of a study in `experiments/`.
        start: beginning of the claim's text, which only one claim of the study has.

    Raises:
        ValueError: if there is not exactly one such claim.
    """
    claims = json.loads((EXPERIMENTS / study / "claims.json").read_text())
    found = [cells for cells in claims if cells[0].startswith(start)]
    if len(found) != 1:
        raise ValueError(f"One claim of {study} must start with '{start}', got {len(found)}.")
    _, source, target, baseline, _, measured, _, result = found[0]
    baseline = PAIRED.sub("", baseline)
    compared = [baseline, source if VALUE.search(source) else "", f"target {target}" if target else ""]
    cells = [measured, "; ".join(filter(None, compared)), f"{result} ([{study}](../experiments/{study}/README.md))"]
    return " | ".join(cell.replace("|", "\\|").replace(" ± ", "\u00a0±\u00a0") for cell in cells)
