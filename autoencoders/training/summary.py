"""What a run says on the terminal before it trains, and when it has ended."""

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
"""Attributes, at most, whose accuracies the last lines spell out; metrics.json has all."""
SHARED = 12
"""Classes or attributes, at most, whose shares of the training images are told."""
RESULTS = {"neg_elbo": ".2f", "distortion": ".2f", "rate": ".2f", "mse": ".4g"}
"""Metrics in the table of results, and how they are written."""


# Before ---------------------------------------------------------------------------------------------------


@rank_zero_only
def opening(record: Record, model: Autoencoder, data: ImageDataModule, changes: Callable[[], list] = list) -> None:
    """What is about to be trained, on what: one line, or on a terminal what was chosen, the data and the layers.

    Args:
        record: of the run.
        model: not yet trained.
        data: prepared.
        changes: gives what was chosen, see `choices.changed`; asked on a terminal alone.
    """
    metadata, name = record.metadata, record.config["name"]
    if console.is_interactive():
        chosen = [Block("changed", rows)] if (rows := changes()) else []
        notes = [Block("note", [[note]]) for note in metadata["notes"]]
        console.print_blocks([*chosen, data_card(metadata, data), structure(metadata, model), *notes], title=name)
        return
    counts, shape = " + ".join(f"{n:,}" for n in metadata["data"]["images"].values()), _sides(metadata["data"]["shape"])
    print(
        f"{name}: {metadata['parameters']:,} parameters, {_code(metadata)}, {metadata['data']['name']} {counts} images of {shape}"
    )
    for note in metadata["notes"]:
        print(f"note     {note}")


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _code(metadata: Mapping) -> str:
    size = metadata["code"]  # a classifier has none
    return f"code of {size:,} numbers for {math.prod(metadata['data']['shape']):,}" if size else metadata["labels"]


def data_card(metadata: Mapping, data: ImageDataModule) -> Block:
    """Where the images come from, how many there are, and of what."""
    images, source = metadata["data"]["images"], (type(data).__doc__ or "").strip().partition("\n")[0]
    rows = [["name", metadata["data"]["name"]]]
    rows.append(["images", ", ".join(f"{split} {count:,}" for split, count in images.items())])
    rows.append(["shape", f"{_sides(metadata['data']['shape'])}, {math.prod(metadata['data']['shape']):,} numbers"])
    if data.context is not None:
        rows.append([f"{data.context.size} {data.context.kind}", _shares(data)])
    rows.append(["source", source])
    return Block("data", rows)


def _shares(data: ImageDataModule) -> str:
    """Names and, where they are few, how many of the training images have each."""
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
    """The layers, what leaves each, and their parameters."""
    found, rows, part = [], [], ""
    with contextlib.suppress(Exception), evaluation_mode(model):  # a model of somebody's own may be called otherwise
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
    """The numbers with their baselines, and where everything is.

    Args:
        record: of the finished run.
        where: W&B's run, None where there is none.
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
    """A split's numbers in a row, those of its baselines below."""
    found = {k.removeprefix(f"{split}/"): v for k, v in record.results.items() if k.startswith(f"{split}/")}
    names = [name for name in RESULTS if found.get(name)]  # an autoencoder without a prior has a rate of 0
    rows = [[record.config["model"]["name"], *(f"{found[name]:{RESULTS[name]}}" for name in names)]]
    for key, word in (("mse_pca", f"PCA-{record.metadata['code']}"), ("mse_mean_image", "mean image")):
        if key in found:
            rows.append([word, *(f"{found[key]:{RESULTS['mse']}}" if name == "mse" else "" for name in names)])
    return Block(split, rows, ["", *names], right=range(1, len(names) + 1), faint=range(1, len(rows)))


def split_line(metadata: Mapping, results: Mapping[str, float], split: str) -> str:
    """A split's numbers, with their baselines beside them."""
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
    """A classifier's numbers beside those of always saying what is most frequent; each attribute's where few."""

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
