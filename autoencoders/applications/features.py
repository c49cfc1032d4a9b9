"""Accuracy of logistic regression on codes as a function of the number of training labels, and a table of the codes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import (
    check_count,
    comparison_table,
    flatten_table,
    mean_and_error,
    refuse_validation,
)
from autoencoders.applications.representations import Labels, labeled_features, labels
from autoencoders.metrics.probes import tune_probe
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, ApplicationResult

CHOICE = "the regularization of logistic regression"
"""What is chosen on validation images."""
NOTE = "standardized features; regularization chosen on validation images"
"""Note on the rows of the table `accuracy`."""


def features(
    run: Run,
    *,
    split: str = "test",
    attribute: str | None = None,
    sizes: Sequence[int] = (100, 1000, 10_000),
    draws: int = 3,
    seed: int = 0,
) -> ApplicationResult:
    """Measure the accuracy of logistic regression on codes, PCA codes and pixels for several numbers of labels.

    The strength of the L2 regularization is chosen on validation images. Logistic regression standardizes its features,
    so that PCA and whitened PCA have the same accuracy, apart from rounding. If the data have no labels, only the table
    `codes` is returned.

    Args:
        run: trained run whose codes are the features.
        split: split whose labels are predicted and whose codes are in the table `codes`. It must not be `val` if the
            data have labels.
        attribute: name of the attribute or class to predict; None for all classes, or for the last attribute if the
            data have no classes.
        sizes: numbers of training labels, each >= 10. A number above the number of labeled training images is lowered
            to that number.
        draws: number of random subsets of the training images per size. The accuracy is averaged over the subsets.
        seed: seed of the subsets.

    Returns:
        Figure and table `accuracy`: mean accuracy over the subsets, with the larger of two standard errors (over
        images and over subsets). The baseline always predicts the most frequent label. Table `codes`: index, file name,
        labels and code of every image in the split.

    Raises:
        UserError: if an option is invalid, the data do not have the attribute, or labels of the split `val` would be
            predicted.
    """
    for size in sizes:
        check_count(size, "sizes", 10)
    check_count(draws, "draws")
    targets = labels(run, ("train", "val", split), attribute)
    if targets is not None:
        refuse_validation(split, CHOICE)
    codes = code_table(run, split)
    if targets is None:
        return ApplicationResult({"images": float(len(codes))}, {}, {"codes": codes})
    table = accuracy_table(run, split, targets, sizes, draws, seed)
    from autoencoders.figures.accuracy import accuracy_over_labels

    count = int((targets.values[split] >= 0).sum())
    caption = f"prediction of {targets.what} for {count} {split} images; mean over {draws} random training subsets"
    figure = accuracy_over_labels(table, run.title, caption)
    return ApplicationResult(flat_metrics(table), {"accuracy": figure}, {"accuracy": table, "codes": codes})


def flat_metrics(table: pd.DataFrame) -> dict[str, float]:
    """Return the numbers of the table `accuracy` as metrics with the names `<column>/<method>/<number of labels>`."""
    rows = table.assign(method=table["method"] + "/" + table["labels"].astype(str)).drop(columns="labels")
    return flatten_table(rows)


def accuracy_table(run: Run, split: str, targets: Labels, sizes: Sequence[int], draws: int, seed: int) -> pd.DataFrame:
    """Return the table `accuracy`, with one row per number of training labels and method.

    Args:
        run: trained run whose codes are the features.
        split: split whose labels are predicted.
        targets: labels of the splits.
        sizes: numbers of training labels.
        draws: number of random training subsets per size.
        seed: seed of the subsets.
    """
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
            rows[name] = {"labels": size, "accuracy": accuracy, "images": len(test_y), "note": NOTE}
        rows["commonest label"] = {"labels": size, "accuracy": constant, "images": len(test_y), "note": ""}
        tables.append(comparison_table(rows))
    return pd.concat(tables, ignore_index=True)


def draw_subsets(total: int, size: int, draws: int, seed: int) -> list[Tensor]:
    """Return `draws` random subsets of the indices from 0 to `total` - 1, each a tensor (size,).

    If `size` equals `total`, return a single subset, because all subsets would be equal.
    """
    generator = torch.Generator().manual_seed(seed)
    count = 1 if size == total else draws
    return [torch.randperm(total, generator=generator)[:size] for _ in range(count)]


def probe_accuracy(
    train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], subsets: list[Tensor]
) -> tuple[float, float]:
    """Return the test accuracy of logistic regression, averaged over training subsets, and its standard error.

    Args:
        train: features (N, D) and labels (N,) of the training images.
        val: features and labels of the images that the regularization is chosen on.
        test: features and labels of the images that are predicted.
        subsets: one tensor of indices into the training images per subset.
    """
    correct = []
    for rows in subsets:
        x, y = train[0][rows], train[1][rows]
        known = torch.isin(val[1], y)  # logistic regression cannot predict a class that is absent from the subset
        probe = tune_probe((x, y), (val[0][known], val[1][known]))
        correct.append((probe.logits(test[0]).argmax(1) == test[1]).float())
    stacked = torch.stack(correct)  # (number of subsets, number of test images)
    value, error = mean_and_error(stacked.mean(0))
    if len(subsets) > 1:
        error = max(error, mean_and_error(stacked.mean(1))[1])
    return value, error


def code_table(run: Run, split: str) -> pd.DataFrame:
    """Return a table with one row per image: index in the split (`row`), file name, group, class, attributes, code."""
    codes = run.codes(split)
    columns = {"row": codes.index.numpy(), **annotation_columns(run.annotations(split))}
    latents = pd.DataFrame(codes.z.numpy(), columns=[f"z{i}" for i in range(codes.z.shape[1])])
    return pd.DataFrame(columns).join(latents)


def annotation_columns(annotations: Annotations) -> dict[str, Any]:
    """Return column name -> N values for the annotations that the data have: name, group, class and attributes."""
    columns: dict[str, Any] = {}
    if annotations.names is not None:
        columns["name"] = annotations.names
    if annotations.groups is not None:
        groups = annotations.groups.tolist()
        columns["group"] = [annotations.group_names[i] for i in groups] if annotations.group_names else groups
    if annotations.classes is not None:
        columns["class"] = [annotations.class_names[i] for i in annotations.classes.tolist()]
    if annotations.attributes is not None:
        names = [attribute_column(name) for name in annotations.attribute_names]
        columns |= dict(zip(names, annotations.attributes.T.numpy(), strict=True))
    return columns


def attribute_column(name: str) -> str:
    """Return the column for an attribute. An attribute such as `class` or `z0` must not replace another column."""
    return f"attribute {name}" if re.fullmatch(r"row|name|group|class|z\d+", name) else name
