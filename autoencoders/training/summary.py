"""Terminal output of a run before and after training."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.callbacks.base import evaluation_mode
from autoencoders.models.layer_summary import summarize_layers
from autoencoders.utils import console
from autoencoders.utils.console import Block

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.runs.record import Record

LISTED = 6
"""Maximum number of attributes for which accuracies are printed. `metrics.json` contains all accuracies."""
SHARED = 12
"""Maximum number of classes or attributes for which frequencies in the training images are printed."""
RESULTS = {"neg_elbo": ".2f", "distortion": ".2f", "rate": ".2f", "mse": ".4g"}
"""Metrics in the results table -> format."""


# Before ---------------------------------------------------------------------------------------------------


@rank_zero_only
def print_start(record: Record, model: Autoencoder, data: ImageDataModule, changes: Callable[[], list] = list) -> None:
    """Print a summary of the run before training: one line or, on a terminal, changed settings, data and layers.

    Args:
        record: record of the run, which contains the metadata and the configuration.
        model: untrained model whose layers are printed.
        data: data module, prepared and set up.
        changes: function that returns the changed settings (see `config.diff.describe_changes`). It is called only on
            a terminal.
    """
    metadata, name = record.metadata, record.config["name"]
    if console.is_interactive():
        rows = changes()
        changed = [Block("changed", rows)] if rows else []
        notes = [Block("note", [[note]]) for note in metadata["notes"]]
        console.print_blocks([*changed, data_block(metadata, data), model_block(metadata, model), *notes], title=name)
        return
    counts, shape = " + ".join(f"{n:,}" for n in metadata["data"]["images"].values()), _sides(metadata["data"]["shape"])
    print(
        f"{name}: {metadata['parameters']:,} parameters, {_describe_code(metadata)}, "
        f"{metadata['data']['name']} {counts} images with shape {shape}"
    )
    for note in metadata["notes"]:
        print(f"note     {note}")


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _describe_code(metadata: Mapping) -> str:
    size, pixels = metadata["code"], math.prod(metadata["data"]["shape"])  # size: None for a classifier
    return f"code with {size:,} values for {pixels:,} pixel values" if size else metadata["labels"]


def data_block(metadata: Mapping, data: ImageDataModule) -> Block:
    """Return the terminal block that describes the data: name, number of images, shape, labels and source."""
    images, source = metadata["data"]["images"], (type(data).__doc__ or "").strip().partition("\n")[0]
    rows = [["name", metadata["data"]["name"]]]
    rows.append(["images", ", ".join(f"{split} {count:,}" for split, count in images.items())])
    rows.append(["shape", f"{_sides(metadata['data']['shape'])}, {math.prod(metadata['data']['shape']):,} values"])
    if data.context is not None:
        rows.append([f"{data.context.size} {data.context.kind}", _label_frequencies(data)])
    rows.append(["source", source])
    return Block("data", rows)


def _label_frequencies(data: ImageDataModule) -> str:
    """Return the names of classes or attributes and, if there are few, their frequencies in the training images."""
    context, known = data.context, data.annotations("train")
    names = () if context is None else context.names
    if len(names) > SHARED:
        return f"{', '.join(names[:SHARED])}, ..."
    if known.classes is not None and context is not None and context.kind == "classes":
        frequencies = torch.bincount(known.classes, minlength=len(names)) / len(known.classes)
    else:
        values = torch.stack([known.attribute(name) for name in names], 1)
        frequencies = (values > 0).float().mean(0)
    return ", ".join(f"{name} {frequency:.0%}" for name, frequency in zip(names, frequencies.tolist(), strict=True))


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
    """Return a text with the number of epochs, the duration and the training speed."""
    epochs, speed = metadata["epochs"], metadata["images_per_second"]
    duration = f"{epochs} epoch{'' if epochs == 1 else 's'} in {metadata['seconds']:.0f} s"
    return f"{duration}, {speed:,.0f} images/s" if speed else duration


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
