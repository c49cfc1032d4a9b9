"""Model card of an exported model: a Markdown text with data, metrics, baselines, intended use and limitations."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

import autoencoders
from autoencoders.applications.reconstruct import reconstruction_errors
from autoencoders.config.data_paths import PATH_OPTIONS
from autoencoders.data.description import describe_data
from autoencoders.models.classifier import Classifier
from autoencoders.runs.exports import EXPLORER
from autoencoders.runs.hub_client import PLACEHOLDER
from autoencoders.runs.overview import BASELINES, MAIN, NAMES
from autoencoders.runs.run import Run
from autoencoders.utils.json_files import read_json
from autoencoders.utils.texts import list_names

UNITS = {"neg_elbo": "nats per image", "distortion": "nats per image", "rate": "nats per image",
         "mse": "per pixel, for pixels in [0, 1]", "accuracy": "fraction"}  # fmt: skip
"""Main metric -> unit of its value."""
TASKS = {True: "image-classification", False: "unconditional-image-generation"}
"""Whether the model is a classifier -> name of the task on the hub."""


class CardOptions(NamedTuple):
    """Options of the model card.

    Attributes:
        license: license of the model, such as `mit`, or `unknown`.
        description: text at the top; None for a text about model and data.
        limitations: text that is added to the limitations, or None.
        dtype: type of the exported weights.
        nats: change of the mean loss by a type of lower precision, in nats per image; None for float32.
    """

    license: str
    description: str | None
    limitations: str | None
    dtype: str
    nats: float | None


def card_metrics(run: Run, split: str) -> dict[str, float]:
    """Return the metrics of the run, and those of the card that are missing, computed on a split.

    Args:
        run: run whose data are loaded.
        split: split of the metrics that are added.
    """
    metrics = dict(run.metrics)
    if isinstance(run.model, Classifier):
        return metrics
    if f"{split}/distortion" not in metrics:
        codes = run.codes(split)
        metrics[f"{split}/distortion"] = float(codes.distortion.double().mean())
        if run.model.has_prior:
            metrics[f"{split}/rate"] = float(codes.rate.double().mean())
            metrics[f"{split}/neg_elbo"] = metrics[f"{split}/distortion"] + metrics[f"{split}/rate"]
    if not {f"{split}/mse", f"{split}/mse_pca", f"{split}/mse_mean_image"} <= metrics.keys():
        names = ("mse", "mse_pca", "mse_mean_image")
        for name, value in zip(names, reconstruction_errors(run, split)["mse"], strict=True):
            metrics.setdefault(f"{split}/{name}", float(value))
    return metrics


def render_card(run: Run, metrics: Mapping[str, float], files: Sequence[Path], options: CardOptions) -> str:
    """Return the model card of an exported run as Markdown. It contains no path of this machine.

    Args:
        run: exported run, with its data.
        metrics: metrics of the run; see `card_metrics`.
        files: other files of the export, whose sizes and digests are listed.
        options: license and texts.
    """
    record = read_json(run.folder / "run.json")
    data = describe_data(run.data)
    splits = [split for split in ("test", "val") if any(key.startswith(f"{split}/") for key in metrics)]
    split = splits[0] if splits else "test"
    title = str(run.config.get("name") or run.model.name)
    parts = [
        f"---\n{yaml.safe_dump(metadata(run, title, metrics, split, options.license), sort_keys=False)}---",
        f"# {title}",
        options.description or f"{run.title}, trained with `lightning-autoencoders` {autoencoders.__version__}.",
        f"## Load\n\n```python\n{loading_code(run)}\n```\n\nLoading executes no code from these files.",
        f"## Data\n\n{data_text(data, run, any(file.name == EXPLORER for file in files))}",
        f"## Metrics\n\n{metrics_text(metrics, split, data, options)}",
        f"## Intended use\n\n{intended_use(run)}",
        f"## Limitations\n\n{limitations_text(run, data, options.limitations)}",
        f"## Training\n\n{training_text(run, record)}",
        f"## Files\n\n{files_text(files)}",
        f"## License\n\n{license_text(options.license)}",
    ]
    return "\n\n".join(parts) + "\n"


def metadata(run: Run, title: str, metrics: Mapping[str, float], split: str, license: str) -> dict[str, Any]:
    """Return the metadata at the top of the card, with the keys that the hub defines for model cards."""
    task = TASKS[isinstance(run.model, Classifier)]
    values = [
        {"type": name, "name": f"{split}/{name}", "value": float(f"{metrics[f'{split}/{name}']:.6g}")}
        for name in MAIN
        if f"{split}/{name}" in metrics
    ]
    result = {
        "task": {"type": task},
        "dataset": {"type": run.data.name, "name": run.data.name, "split": split},
        "metrics": values,
    }
    content: dict[str, Any] = {
        "license": license,
        "library_name": "lightning-autoencoders",
        "pipeline_tag": task,
        "tags": ["autoencoders", "pytorch-lightning", run.model.name],
    }
    return {**content, "model-index": [{"name": title, "results": [result]}]} if values else content


def loading_code(run: Run) -> str:
    """Return three lines of Python that load the model and use it. Labels in the code are those of a test image."""
    if isinstance(run.model, Classifier):
        use = "probabilities = run.model.probabilities(images)"
    elif run.model.labels is not None and run.model.labels.kind == "attributes":
        values = run.batch("test", 1).y
        label = [] if values is None else [round(float(value), 2) for value in values[0]]
        use = f"images = run.model.sample(16, y={label})"
    elif run.model.labels is not None:
        use = f"images = run.model.sample(16, y={json.dumps(run.model.labels.names[0])})"
    elif run.model.has_prior:
        use = "images = run.model.sample(16)"
    else:
        use = "codes = run.model.encode(images)"
    images = f"images: ({', '.join(('N', *map(str, run.model.shape)))}) in [0, 1]"
    return f'import autoencoders\n\nrun = autoencoders.load("{PLACEHOLDER}")\n{use}  # {images}'


def data_text(data: Mapping[str, Any], run: Run, has_explorer: bool) -> str:
    """Return the section about the data: name, shape, splits, labels, and the images in the files."""
    counts = ", ".join(f"{count:,} {split}" for split, count in data["images"].items())
    channels, height, width = data["shape"]
    color = {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")
    lines = [f"`{data['name']}`: images of {height} x {width} pixels ({color}), {counts}."]
    if run.model.labels is not None:
        lines.append(f"The model uses {run.model.labels.size} {run.model.labels.kind}: "
                     f"{list_names(run.model.labels.names)}.")  # fmt: skip
    else:
        lines.append("The model uses no labels.")
    if has_explorer:
        lines.append(f"`{EXPLORER}` contains validation images; the other files contain no images.")
    else:
        lines.append("No image is part of these files.")
    lines.append("The digests of the images and labels are in `config.yaml`.")
    return " ".join(lines)


def metrics_text(metrics: Mapping[str, float], split: str, data: Mapping[str, Any], options: CardOptions) -> str:
    """Return the section with a table of metrics and their baselines, on the split of the metrics."""
    lines = ["| metric | value | unit | baselines |", "|---|---|---|---|"]
    for name in (name for name in MAIN if f"{split}/{name}" in metrics):
        known = [key for key in BASELINES.get(name, ()) if f"{split}/{key}" in metrics]
        baselines = ", ".join(f"{NAMES[key]} {metrics[f'{split}/{key}']:.5g}" for key in known) or "-"
        lines.append(f"| {split}/{name} | {metrics[f'{split}/{name}']:.5g} | {UNITS[name]} | {baselines} |")
    if len(lines) == 2:
        return "Not measured."
    text = "\n".join(lines)
    text += f"\n\nMeasured on all {data['images'][split]:,} {split} images, with float32 weights."
    if options.nats is not None:
        text += f" Weights as {options.dtype} change the loss by {options.nats:+.1g} nats per image."
    return text


def intended_use(run: Run) -> str:
    """Return the section about the intended use."""
    if isinstance(run.model, Classifier):
        return (
            "Evaluate generated images of the same kind of data: predicted labels, and features for FID, KID, density "
            "and coverage. The values are comparable only with those of the same classifier."
        )
    use = "Teaching, experiments, and a baseline for other models on the same data: reconstruct and encode images"
    if run.model.has_prior:
        use += ", and sample new ones"
    return f"{use}."


def limitations_text(run: Run, data: Mapping[str, Any], more: str | None) -> str:
    """Return the section about limitations, with the text of the user at its end."""
    lines = [
        f"The model has seen {data['images']['train']:,} images of `{data['name']}` and no others. Images of another "
        "kind, size or preparation are not represented.",
        "The numbers are those of one seed. Nobody has examined the model for use in decisions about persons.",
    ]
    if not isinstance(run.model, Classifier):
        lines.insert(1, "Reconstructions and samples are mean images, which are blurred where the code is not certain.")
    return " ".join([*lines, *([more] if more else [])])


def training_text(run: Run, record: Mapping[str, Any]) -> str:
    """Return the section about training: the command, the number of parameters, and versions."""
    count = sum(parameter.numel() for parameter in run.model.parameters())
    facts = f"{count:,} parameters, optimizer step {run.step:,}, seed {run.config.get('seed')}."
    versions = record.get("versions") or {}
    known = [f"{name} {versions[name]}" for name in ("torch", "lightning") if versions.get(name)]
    text = f"{facts}{f' Trained with {list_names(known)}.' if known else ''}"
    if "overrides" not in record:
        return text
    words = [shlex.quote(word) for word in shareable_overrides(record["overrides"])]
    return f"{text}\n\n```bash\n{' '.join(['python -m autoencoders.train', *words])}\n```"


def shareable_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of a command without loggers and paths, which describe the machine of the training."""
    words = []
    for word in overrides:
        key, sign, _ = word.partition("=")
        key = key.lstrip("+")
        if key.startswith(("logger", "callbacks", "hydra", "runs", "folder", "resume", "init_from")):
            continue
        is_path = key.removeprefix("data.") in PATH_OPTIONS and key.startswith("data.")
        if key in ("data.root", "data.cache"):
            continue
        words.append(f"{key}{sign}<your path>" if is_path else word)
    return words


def files_text(files: Sequence[Path]) -> str:
    """Return a table of the files with their sizes and digests."""
    lines = ["| file | bytes | sha256 |", "|---|---|---|"]
    for file in files:
        lines.append(f"| `{file.name}` | {file.stat().st_size:,} | `{hashlib.sha256(file.read_bytes()).hexdigest()}` |")
    return "\n".join(lines)


def license_text(license: str) -> str:
    """Return the section about the license."""
    if license == "unknown":
        return "The author has not named a license. Ask the author before you use the model."
    return f"{license}. The license of the training data is separate."
