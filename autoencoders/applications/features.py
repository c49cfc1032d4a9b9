"""Are codes good features? A linear classifier on few and many labels; the codes themselves as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, mean_and_error, number_of_images
from autoencoders.applications.representations import Labels, labelled_rows, labels, representations
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
    """Accuracy of logistic regression on codes, beside principal components and pixels, over the number of labels.

    Its penalty is chosen on validation images. Where the data have no labels, the codes are all there is.

    Args:
        run: the run.
        split: whose codes are exported, and whose labels are predicted.
        attribute: what is predicted; None for the class, else the last attribute there is.
        sizes: training labels it learns from, as many as there are at most.
        draws: random choices of these labels, over which accuracy is averaged.
        seed: of the draws.

    Returns:
        Figure `accuracy` and table `accuracy`: mean over draws and standard error over images, or over draws where
        that is larger, beside always the commonest label; table `codes`: row, file name, labels and latents.
    """
    for size in sizes:
        number_of_images(size, "sizes", 10)
    number_of_images(draws, "draws")
    exported = code_table(run, split)
    known = labels(run, ("train", "val", split), attribute)
    if known is None:
        return ApplicationResult({"images": float(len(exported))}, {}, {"codes": exported})
    table = accuracies(run, split, known, sizes, draws, seed)
    from autoencoders.figures.accuracy import accuracy_over_labels

    caption = f"{known.what}, {int((known.values[split] >= 0).sum())} {split} images, {draws} draws of labels"
    figure = accuracy_over_labels(table, run.title, caption)
    return ApplicationResult(named(table), {"accuracy": figure}, {"accuracy": table, "codes": exported})


def named(table: pd.DataFrame) -> dict[str, float]:
    """Flat metrics of a table with a row per method and number of labels."""
    rows = table.assign(method=table["method"] + "/" + table["labels"].astype(str)).drop(columns="labels")
    return flat(rows)


def accuracies(run: Run, split: str, known: Labels, sizes: Sequence[int], draws: int, seed: int) -> pd.DataFrame:
    """A row per representation and number of labels."""
    pca = run.pca()
    rows = {part: labelled_rows(values, max(sizes)) for part, values in known.values.items()}
    y = {part: known.values[part][r] for part, r in rows.items()}
    found = {part: representations(run, part, r, pca) for part, r in rows.items()}
    common = mean_and_error((y[split] == torch.bincount(y["train"]).argmax()).float())
    tables = []
    for size in sorted({min(size, len(y["train"])) for size in sizes}):
        taken = subsets(len(y["train"]), size, draws, seed)
        scores: dict[str, object] = {}
        for name in found["train"]:
            data = [(found[part][name], y[part]) for part in ("train", "val", split)]
            scores[name] = {"labels": size, "accuracy": score(*data, taken), "images": len(y[split])}
        scores["commonest label"] = {"labels": size, "accuracy": common, "images": len(y[split])}
        tables.append(comparison(scores))
    return pd.concat(tables, ignore_index=True)


def subsets(total: int, size: int, draws: int, seed: int) -> list[Tensor]:
    """Random choices of `size` rows; one alone where they are all the rows."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(total, generator=generator)[:size] for _ in range(1 if size == total else draws)]


def score(
    train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], taken: list[Tensor]
) -> tuple[float, float]:
    """Accuracy on held-out images, averaged over choices of training rows, and its standard error."""
    right = []
    for rows in taken:
        x, y = train[0][rows], train[1][rows]
        seen = torch.isin(val[1], y)  # a class without a label cannot be predicted
        probe = tune_probe((x, y), (val[0][seen], val[1][seen]))
        right.append((probe.logits(test[0]).argmax(1) == test[1]).float())
    stacked = torch.stack(right)  # (draws, N)
    value, error = mean_and_error(stacked.mean(0))
    if len(taken) > 1:
        error = max(error, mean_and_error(stacked.mean(1))[1])
    return value, error


def code_table(run: Run, split: str) -> pd.DataFrame:
    """A row per image: its row in the split, its file's name, person, class and attributes, then its latents."""
    codes, known = run.codes(split), run.annotations(split)
    return pd.DataFrame({"row": codes.index.numpy(), **about(known)}).join(
        pd.DataFrame(codes.z.numpy(), columns=[f"z{i}" for i in range(codes.z.shape[1])])
    )


def about(known: Annotations) -> dict[str, object]:
    """What is known of images, as columns."""
    columns: dict[str, object] = {}
    if known.names is not None:
        columns["name"] = known.names
    if known.groups is not None:
        columns["group"] = [known.group_names[i] if known.group_names else i for i in known.groups.tolist()]
    if known.classes is not None:
        columns["class"] = [known.class_names[i] for i in known.classes.tolist()]
    if known.attributes is not None:
        columns |= dict(zip(known.attribute_names, known.attributes.T.numpy(), strict=True))
    return columns
