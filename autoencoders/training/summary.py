"""Terminal output of a run before and after training."""

from __future__ import annotations

import contextlib
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning.pytorch.utilities import rank_zero_only

from autoencoders.data.description import description_rows
from autoencoders.models.layer_summary import summarize_layers
from autoencoders.utils import console
from autoencoders.utils.console import Block
from autoencoders.utils.modes import evaluation_mode

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.runs.record import Record

LISTED = 6
"""Maximum number of attributes for which accuracies are printed. `metrics.json` contains all accuracies."""
LABEL_WIDTH = 11
"""Width of the labels on the left of the printed description of the data, in characters."""
RESULTS = {"neg_elbo": ".2f", "distortion": ".2f", "rate": ".2f", "mse": ".4g"}
"""Metrics in the results table -> format."""


# Before ---------------------------------------------------------------------------------------------------


@rank_zero_only
def print_start(record: Record, model: Autoencoder, changes: Callable[[], list] = list) -> None:
    """Print a summary of the run before training: model and data or, on a terminal, also changed settings and layers.

    Args:
        record: record of the run, which contains the metadata and the configuration.
        model: untrained model whose layers are printed.
        changes: function that returns the changed settings (see `config.diff.describe_changes`). It is called only on
            a terminal.
    """
    metadata, name = record.metadata, record.config["name"]
    if console.is_interactive():
        rows = changes()
        changed = [Block("changed", rows)] if rows else []
        notes = [Block("note", [[note]]) for note in metadata["notes"]]
        data_rows = [list(row) for row in description_rows(metadata["data"])]
        console.print_blocks([*changed, Block("data", data_rows), model_block(metadata, model), *notes], title=name)
        return
    print(f"{name}: {metadata['parameters']:,} parameters, {_describe_code(metadata)}")
    lines = description_rows(metadata["data"]) + [("note", note) for note in metadata["notes"]]
    for label, text in lines:
        print_wrapped(label, text)


def print_wrapped(label: str, text: str) -> None:
    """Print a label and a text next to it, wrapped to the width of the terminal, or to 80 characters without one."""
    lines = textwrap.wrap(text, max(console.line_width() - LABEL_WIDTH, 20), break_on_hyphens=False) or [""]
    for i, line in enumerate(lines):
        print(f"{'' if i else label:{LABEL_WIDTH}}{line}")


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _describe_code(metadata: Mapping) -> str:
    size, pixels = metadata["code"], math.prod(metadata["data"]["shape"])  # size: None for a classifier
    return f"code with {size:,} values for {pixels:,} pixel values" if size else metadata["labels"]


def model_block(metadata: Mapping, model: Autoencoder) -> Block:
    """Return the terminal block that describes the model: layers, output shapes and numbers of parameters."""
    layers, rows, submodule = [], [], ""
    with contextlib.suppress(Exception), evaluation_mode(model):  # the summary may fail for a model class of the user
        layers = summarize_layers(model)
    for layer in layers:
        kinds = ", ".join(layer.kinds)
        if layer.count > 1:
            kinds = f"{layer.count} x {kinds}"
        label = layer.part if layer.part != submodule else ""
        rows.append([label, kinds, _sides(layer.shape), f"{layer.parameters:,}"])
        submodule = layer.part
    rows.append(["total", _describe_code(metadata), "", f"{metadata['parameters']:,}"])
    return Block("model", rows, head=["", "layer", "output", "parameters"], right=[3])


# After ----------------------------------------------------------------------------------------------------


@rank_zero_only
def print_end(record: Record, location: str | None) -> None:
    """Print the results of the run, with baselines, and the paths of the written files.

    Args:
        record: record of the finished run.
        location: address or path of the W&B run; None without W&B.
    """
    results, warnings = record.results, record.warnings
    splits = [split for split in ("val", "test") if f"{split}/objective" in results]
    lines = {"done": duration_line(record.metadata)}
    lines |= {split: split_line(record.metadata, results, split) for split in splits}
    lines |= file_lines(record.folder)
    if location:
        lines["wandb"] = location
    if not console.is_interactive():
        rows = [*(("warning", message) for message in warnings), *lines.items()]
        print("\n".join(f"{name:8} {text}" for name, text in rows))
        return
    blocks = {"warning": Block("warning", [[message] for message in warnings])} if warnings else {}
    blocks |= {name: Block(name, [[text]]) for name, text in lines.items()}
    tables = {split: results_table(record, split) for split in splits if f"{split}/distortion" in results}
    console.print_blocks((blocks | tables).values(), title=record.config["name"])


def duration_line(metadata: Mapping) -> str:
    """Return a text with the number of epochs, the duration, the training speed and the duration of training alone."""
    epochs, speed = metadata["epochs"], metadata["images_per_second"]
    total, training = (
        f"{seconds:.{int(seconds < 10)}f} s" for seconds in (metadata["seconds"], metadata["training_seconds"])
    )
    duration = f"{epochs} epoch{'' if epochs == 1 else 's'} in {total}"
    return f"{duration}, {speed:,.0f} images/s in {training} of training" if speed else duration


def file_lines(folder: Path) -> dict[str, str]:
    """Return the paths of the run folder, the metrics and the figures: label -> text."""
    relative = os.path.relpath(folder)
    path = str(folder) if relative.startswith("..") else relative
    lines = {"folder": path, "metrics": f"{path}/metrics.json, metrics.csv"}
    if figures := sorted(p.name for p in (folder / "figures").glob("*")):
        lines["figures"] = f"{path}/figures: {', '.join(figures)}"
    return lines


def results_table(record: Record, split: str) -> Block:
    """Return the table with the metrics of the model on a split, and one row per baseline below."""
    metrics = _split_metrics(record.results, split)
    names = [name for name in RESULTS if metrics.get(name)]  # the rate of an AE is 0
    rows = [[record.config["model"]["name"], *(f"{metrics[name]:{RESULTS[name]}}" for name in names)]]
    for key, label in (("mse_pca", f"PCA-{record.metadata['code']}"), ("mse_mean_image", "mean image")):
        if key in metrics:
            cells = [f"{metrics[key]:{RESULTS['mse']}}" if name == "mse" else "" for name in names]
            rows.append([label, *cells])
    return Block(split, rows, ["", *names], right=range(1, len(names) + 1), faint=range(1, len(rows)))


def split_line(metadata: Mapping, results: Mapping[str, float], split: str) -> str:
    """Return one line with the metrics of a split and the baselines."""
    m = _split_metrics(results, split)
    if "accuracy" in m:
        return _accuracy_line(metadata, results, split)
    names = {"mse_pca": f"PCA-{metadata['code']}", "mse_mean_image": "mean image"}
    baselines = ", ".join(f"{name} {m[key]:.4g}" for key, name in names.items() if key in m)
    terms = f"distortion {m['distortion']:.2f}"
    if "neg_elbo" in m:
        terms = f"neg_elbo {m['neg_elbo']:.2f} = {terms} + rate {m['rate']:.2f}"
    return f"{terms}, mse {m['mse']:.4g}{f' ({baselines})' if baselines else ''}"


def _split_metrics(results: Mapping[str, float], split: str) -> dict[str, float]:
    """Return the metrics of a split, without the prefix `<split>/` in their names."""
    return {key.removeprefix(f"{split}/"): value for key, value in results.items() if key.startswith(f"{split}/")}


def _accuracy_line(metadata: Mapping, results: Mapping[str, float], split: str) -> str:
    """Return one line with the metrics of a classifier on a split, and the baseline that predicts the majority label.

    If there are at most LISTED attributes, the line also contains the accuracy of each attribute.
    """
    m, images = _split_metrics(results, split), metadata["data"]["images"][split]
    names = [key.partition("/")[2] for key in results if key.startswith(f"{split}_accuracy/")]
    if names:
        kind, error, auroc = f"mean over {len(names)} attributes", "", f", AUROC {m['auroc']:.3f}"
    else:
        kind, error, auroc = "classes", f" +- {_standard_error(m['accuracy'], images):.4f}", ""
    texts = [f"accuracy {m['accuracy']:.4f}{error} ({kind}; baseline: majority {m['majority']:.4f}){auroc}"]
    for name in names if len(names) <= LISTED else ():
        accuracy, majority, area = (results[f"{split}_{key}/{name}"] for key in ("accuracy", "majority", "auroc"))
        spread = _standard_error(accuracy, images)
        texts.append(f"{name} {accuracy:.3f} +- {spread:.3f} (majority {majority:.3f}), AUROC {area:.3f}")
    return "; ".join([*texts, f"loss {m['loss']:.4f} nats"])


def _standard_error(fraction: float, count: int) -> float:
    """Return the standard error of a fraction measured on `count` images."""
    return math.sqrt(fraction * (1 - fraction) / count)
