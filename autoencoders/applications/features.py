"""Codes as features: accuracy of a linear classifier trained on few and on many labels, and a table of the codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import check_count, comparison_table, flatten_table, mean_and_error
from autoencoders.applications.representations import Labels, labeled_features, labels
from autoencoders.metrics.probes import tune_probe
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, ApplicationResult


def features(
    run: Run,
    *,
    split: str = "test",
    attribute: str | None = None,
    sizes: Sequence[int] = (100, 1000, 10_000),
    draws: int = 3,
    seed: int = 0,
) -> ApplicationResult:
    """Compare logistic regression on codes, on principal components and on pixels, over the number of labels.

    The strength of its L2 regularization is chosen on validation images. If the data have no labels, only the table
    of codes is returned.

    Args:
        run: the run.
        split: the split whose codes are exported and whose labels are predicted.
        attribute: the attribute or class to predict; None selects all classes, or else the last attribute.
        sizes: numbers of training labels; each is limited to the number of labeled training images.
        draws: random subsets of training labels per size, over which the accuracy is averaged.
        seed: seed of the subsets.

    Returns:
        Figure and table `accuracy`: the mean over subsets, with the larger of the standard errors over images and
        over subsets, next to the accuracy of always predicting the commonest label. Table `codes`: row, file name,
        labels and latents of every image.
    """
    for size in sizes:
        check_count(size, "sizes", 10)
    check_count(draws, "draws")
    codes = code_table(run, split)
    targets = labels(run, ("train", "val", split), attribute)
    if targets is None:
        return ApplicationResult({"images": float(len(codes))}, {}, {"codes": codes})
    table = accuracy_table(run, split, targets, sizes, draws, seed)
    from autoencoders.figures.accuracy import accuracy_over_labels

    count = int((targets.values[split] >= 0).sum())
    caption = f"predicting {targets.what} of {count} {split} images; mean over {draws} random subsets of labels"
    figure = accuracy_over_labels(table, run.title, caption)
    return ApplicationResult(flat_metrics(table), {"accuracy": figure}, {"accuracy": table, "codes": codes})


def flat_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Convert a table with a row per method and number of labels to flat metrics, `<column>/<method>/<labels>`."""
    rows = table.assign(method=table["method"] + "/" + table["labels"].astype(str)).drop(columns="labels")
    return flatten_table(rows)


def accuracy_table(run: Run, split: str, targets: Labels, sizes: Sequence[int], draws: int, seed: int) -> pd.DataFrame:
    """Return a table with a row per number of labels and representation."""
    data = labeled_features(run, targets, max(sizes))
    train_y, test_y = data["train"].y, data[split].y
    constant = mean_and_error((test_y == torch.bincount(train_y).argmax()).float())
    tables = []
    for size in sorted({min(size, len(train_y)) for size in sizes}):
        subsets = draw_subsets(len(train_y), size, draws, seed)
        rows: dict[str, Mapping[str, Any]] = {}
        for name in data["train"].features:
            train = (data["train"].features[name], train_y)
            val = (data["val"].features[name], data["val"].y)
            test = (data[split].features[name], test_y)
            accuracy = probe_accuracy(train, val, test, subsets)
            rows[name] = {"labels": size, "accuracy": accuracy, "images": len(test_y)}
        rows["commonest label"] = {"labels": size, "accuracy": constant, "images": len(test_y)}
        tables.append(comparison_table(rows))
    return pd.concat(tables, ignore_index=True)


def draw_subsets(total: int, size: int, draws: int, seed: int) -> list[Tensor]:
    """Draw `draws` random subsets of `size` out of `total` rows; only one if the subset is all rows."""
    generator = torch.Generator().manual_seed(seed)
    count = 1 if size == total else draws
    return [torch.randperm(total, generator=generator)[:size] for _ in range(count)]


def probe_accuracy(
    train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], subsets: list[Tensor]
) -> tuple[float, float]:
    """Return the accuracy of a linear probe on test images, averaged over training subsets, and its standard error.

    Args:
        train: features (N, D) and labels (N,).
        val: the same for the images on which the regularization is chosen.
        test: the same for the images that are predicted.
        subsets: rows of the training features, one tensor per subset.
    """
    correct = []
    for rows in subsets:
        x, y = train[0][rows], train[1][rows]
        known = torch.isin(val[1], y)  # the probe cannot predict a class that is absent from the subset
        probe = tune_probe((x, y), (val[0][known], val[1][known]))
        correct.append((probe.logits(test[0]).argmax(1) == test[1]).float())
    stacked = torch.stack(correct)  # (subsets, N)
    value, error = mean_and_error(stacked.mean(0))
    if len(subsets) > 1:
        error = max(error, mean_and_error(stacked.mean(1))[1])
    return value, error


def code_table(run: Run, split: str) -> pd.DataFrame:
    """Return a row per image: its row in the split, file name, group, class and attributes, then its latents."""
    codes = run.codes(split)
    columns = {"row": codes.index.numpy(), **annotation_columns(run.annotations(split))}
    latents = pd.DataFrame(codes.z.numpy(), columns=[f"z{i}" for i in range(codes.z.shape[1])])
    return pd.DataFrame(columns).join(latents)


def annotation_columns(annotations: Annotations) -> dict[str, Any]:
    """Convert annotations to columns; those that the data do not have are left out."""
    columns: dict[str, Any] = {}
    if annotations.names is not None:
        columns["name"] = annotations.names
    if annotations.groups is not None:
        groups = annotations.groups.tolist()
        columns["group"] = [annotations.group_names[i] for i in groups] if annotations.group_names else groups
    if annotations.classes is not None:
        columns["class"] = [annotations.class_names[i] for i in annotations.classes.tolist()]
    if annotations.attributes is not None:
        columns |= dict(zip(annotations.attribute_names, annotations.attributes.T.numpy(), strict=True))
    return columns
