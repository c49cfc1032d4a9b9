"""Terminal output of a run before and after training."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
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
"""Maximum number of attributes whose accuracies are printed. metrics.json has all of them."""
SHARED = 12
"""Maximum number of classes or attributes whose frequencies are printed."""
RESULTS = {"neg_elbo": ".2f", "distortion": ".2f", "rate": ".2f", "mse": ".4g"}
"""Metrics of the table of results, and their formats."""


# Before ---------------------------------------------------------------------------------------------------


@rank_zero_only
def opening(record: Record, model: Autoencoder, data: ImageDataModule, changes: Callable[[], list] = list) -> None:
    """Print what is going to be trained: one line, or on a terminal the changed settings, the data and the layers.

    Args:
        record: record of the run.
        model: the untrained model.
        data: the prepared data module.
        changes: returns the changed settings, see `config.diff.describe_changes`; called on a terminal only.
    """
    metadata, name = record.metadata, record.config["name"]
    if console.is_interactive():
        chosen = [Block("changed", rows)] if (rows := changes()) else []
        notes = [Block("note", [[note]]) for note in metadata["notes"]]
        console.print_blocks([*chosen, data_card(metadata, data), structure(metadata, model), *notes], title=name)
        return
    counts, shape = " + ".join(f"{n:,}" for n in metadata["data"]["images"].values()), _sides(metadata["data"]["shape"])
    print(
        f"{name}: {metadata['parameters']:,} parameters, {_code(metadata)}, "
        f"{metadata['data']['name']} {counts} images of {shape}"
    )
    for note in metadata["notes"]:
        print(f"note     {note}")


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _code(metadata: Mapping) -> str:
    size = metadata["code"]  # None for a classifier
    return f"code of {size:,} numbers for {math.prod(metadata['data']['shape']):,}" if size else metadata["labels"]


def data_card(metadata: Mapping, data: ImageDataModule) -> Block:
    """Return the block about the data: source, number of images, shape and labels."""
    images, source = metadata["data"]["images"], (type(data).__doc__ or "").strip().partition("\n")[0]
    rows = [["name", metadata["data"]["name"]]]
    rows.append(["images", ", ".join(f"{split} {count:,}" for split, count in images.items())])
    rows.append(["shape", f"{_sides(metadata['data']['shape'])}, {math.prod(metadata['data']['shape']):,} numbers"])
    if data.context is not None:
        rows.append([f"{data.context.size} {data.context.kind}", _shares(data)])
    rows.append(["source", source])
    return Block("data", rows)


def _shares(data: ImageDataModule) -> str:
    """Return the names of classes or attributes and, if there are few, their frequencies in the training images."""
    names, known = data.context.names, data.annotations("train")
    if len(names) > SHARED:
        return f"{', '.join(names[:SHARED])}, ..."
    if data.context.kind == "classes":
        shares = torch.bincount(known.classes, minlength=len(names)) / len(known.classes)
    else:
        values = torch.stack([known.attribute(name) for name in names], 1)
        shares = (values > 0).float().mean(0)
    return ", ".join(f"{name} {share:.0%}" for name, share in zip(names, shares.tolist(), strict=True))


def structure(metadata: Mapping, model: Autoencoder) -> Block:
    """Return the block about the model: layers, output shapes and parameters."""
    found, rows, part = [], [], ""
    with contextlib.suppress(Exception), evaluation_mode(model):  # a user's own model may have another name
        found = summarize_layers(model)
    for layer in found:
        kinds = f"{layer.count} x " * (layer.count > 1) + ", ".join(layer.kinds)
        rows.append([layer.part if layer.part != part else "", kinds, _sides(layer.shape), f"{layer.parameters:,}"])
        part = layer.part
    rows.append(["total", _code(metadata), "", f"{metadata['parameters']:,}"])
    return Block("model", rows, head=["", "layer", "output", "parameters"], right=[3])


# After ----------------------------------------------------------------------------------------------------


@rank_zero_only
def closing(record: Record, where: str | None) -> None:
    """Print the results with their baselines, and the paths of all files.

    Args:
        record: record of the finished run.
        where: location of the W&B run; None if there is none.
    """
    metadata, results, speed = record.metadata, record.results, record.metadata["images_per_second"]
    took = f"{metadata['epochs']} epoch{'s' * (metadata['epochs'] != 1)} in {metadata['seconds']:.0f} s"
    lines = {"done": f"{took}, {speed:,.0f} images/s" if speed else took}
    splits = [split for split in ("val", "test") if f"{split}/objective" in results]
    lines |= {split: split_line(metadata, results, split) for split in splits}
    relative = os.path.relpath(record.folder)
    place = str(record.folder) if relative.startswith("..") else relative
    lines |= {"folder": place, "metrics": f"{place}/metrics.json, metrics.csv"}
    if kinds := sorted(p.name for p in (record.folder / "figures").glob("*")):
        lines["figures"] = f"{place}/figures: {', '.join(kinds)}"
    if where:
        lines["wandb"] = where
    if not console.is_interactive():
        said = [("warning", sentence) for sentence in record.warnings]
        print("\n".join(f"{name:8} {words}" for name, words in [*said, *lines.items()]))
        return
    blocks = {"warning": Block("warning", [[sentence] for sentence in record.warnings])} if record.warnings else {}
    blocks |= {name: Block(name, [[words]]) for name, words in lines.items()}
    tables = {split: results_table(record, split) for split in splits if f"{split}/distortion" in results}
    console.print_blocks((blocks | tables).values(), title=record.config["name"])


def results_table(record: Record, split: str) -> Block:
    """Return the block of the metrics of a split, with the baselines in the rows below."""
    found = {k.removeprefix(f"{split}/"): v for k, v in record.results.items() if k.startswith(f"{split}/")}
    names = [name for name in RESULTS if found.get(name)]  # the rate of an AE is 0
    rows = [[record.config["model"]["name"], *(f"{found[name]:{RESULTS[name]}}" for name in names)]]
    for key, word in (("mse_pca", f"PCA-{record.metadata['code']}"), ("mse_mean_image", "mean image")):
        if key in found:
            rows.append([word, *(f"{found[key]:{RESULTS['mse']}}" if name == "mse" else "" for name in names)])
    return Block(split, rows, ["", *names], right=range(1, len(names) + 1), faint=range(1, len(rows)))


def split_line(metadata: Mapping, results: Mapping[str, float], split: str) -> str:
    """Return the metrics of a split with their baselines, on one line."""
    m = {k.removeprefix(f"{split}/"): v for k, v in results.items() if k.startswith(f"{split}/")}
    if "accuracy" in m:
        return _verdict(metadata, results, split, m)
    names = {"mse_pca": f"PCA-{metadata['code']}", "mse_mean_image": "mean image"}
    baselines = ", ".join(f"{name} {m[key]:.4g}" for key, name in names.items() if key in m)
    terms = f"distortion {m['distortion']:.2f}"
    if "neg_elbo" in m:
        terms = f"neg_elbo {m['neg_elbo']:.2f} = {terms} + rate {m['rate']:.2f}"
    return f"{terms}, mse {m['mse']:.4g}{f' ({baselines})' if baselines else ''}"


def _verdict(metadata: Mapping, results: Mapping[str, float], split: str, m: Mapping[str, float]) -> str:
    """Return the accuracy of a classifier with that of the most frequent label, for each attribute if there are few."""

    def error(share: float) -> float:
        return math.sqrt(share * (1 - share) / metadata["data"]["images"][split])

    names = [key.partition("/")[2] for key in results if key.startswith(f"{split}_accuracy/")]
    kind, auroc = (f"mean of {len(names)} attributes", f", AUROC {m['auroc']:.3f}") if names else ("class", "")
    spread = "" if names else f" +- {error(m['accuracy']):.4f}"
    words = [f"accuracy {m['accuracy']:.4f}{spread} ({kind}; majority {m['majority']:.4f}){auroc}"]
    for name in names if len(names) <= LISTED else ():
        right, often, area = (results[f"{split}_{k}/{name}"] for k in ("accuracy", "majority", "auroc"))
        words.append(f"{name} {right:.3f} +- {error(right):.3f} (majority {often:.3f}), AUROC {area:.3f}")
    return "; ".join([*words, f"loss {m['loss']:.4f} nats"])
