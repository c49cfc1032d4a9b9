"""Whether a conditional model's images have the labels that it was told, as a classifier sees them."""

from __future__ import annotations

import itertools

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, listed, mean_and_error, spread_rows
from autoencoders.applications.label_classifiers import Classifier, right, truth
from autoencoders.latent.densities import StandardNormal
from autoencoders.metrics.labels import attribute_threshold
from autoencoders.metrics.neighbors import within_label_deviation
from autoencoders.runs.run import Run
from autoencoders.types import UserError

MOST = 4
"""Attributes, at most, whose combinations make the labels: 16."""


def conditions(run: Run, strength: float) -> tuple[list[str], Tensor, Tensor]:
    """The labels to draw: names, what the model is told, (L,) classes or (L, A) values, and bits (L,) or (L, A).

    Attributes beyond the first MOST stay at their training mean; bits say class or sign, as the classifier sees them.
    """
    context, told = run.model.labels, run.codes("train").y
    if context.kind == "classes":
        y = torch.arange(context.size)
        return [str(name) for name in context.names], y, y
    varied = min(context.size, MOST)
    high = told > center(told)
    values = torch.stack(
        [torch.stack([told[~high[:, a], a].mean(), told[high[:, a], a].mean()]) for a in range(context.size)]
    )  # (A, 2): the mean of either side
    signs = torch.tensor(list(itertools.product((0, 1), repeat=varied)))
    y = told.mean(0).repeat(len(signs), 1)
    y[:, :varied] = torch.stack([values[a, signs[:, a]] for a in range(varied)], dim=1)
    y = told.mean(0) + strength * (y - told.mean(0))
    names = [
        " ".join(f"{name}{'-+'[bit]}" for name, bit in zip(context.names, row, strict=False)) for row in signs.tolist()
    ]
    return names, y, signs


def center(told: Tensor) -> Tensor:
    """(A,) where each attribute that the model is told divides into with and without."""
    return torch.tensor([attribute_threshold(values) for values in told.T])


def verdicts(
    run: Run, split: str, classifier: Classifier, asked: tuple[list[str], Tensor, Tensor], measured: int,
    generator: torch.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """The tables of what a classifier sees in decoded and in real images.

    Args:
        run: of a conditional model.
        split: of the real images.
        classifier: trained, or a stand-in.
        asked: see `conditions`.
        measured: images per label, each of a code of its own.
        generator: of the codes.

    Raises:
        UserError: where the classifier does not tell an attribute that was asked for.
    """
    names, y, bits = asked
    columns = told_columns(run, classifier, bits)
    real, seen = labelled_images(run, split, measured * len(names), classifier, columns)
    rows = torch.arange(len(names)).repeat_interleave(measured)
    drawn = run.decode(StandardNormal(run.model.latent_dim).sample(len(rows), generator), y[rows])
    shuffled = bits[rows[torch.randperm(len(rows), generator=generator)]]
    is_right = {
        run.model.name: right(classifier, drawn, bits[rows], columns),
        f"real {split} images": right(classifier, real, seen, columns),
        "labels drawn anew": right(classifier, drawn, shuffled, columns),
    }
    truth_of_real = number(seen, bits)
    images = (drawn, rows), (real, truth_of_real), (drawn, torch.zeros(len(rows)).long())
    table = {
        name: measures(classifier, correct, *shown)
        for (name, correct), shown in zip(is_right.items(), images, strict=True)
    }
    if bits.ndim == 2:
        for row, correct in zip(table.values(), is_right.values(), strict=True):
            for a, name in enumerate(run.model.labels.names[: bits.shape[1]]):
                row[f"accuracy of {name}"] = float(correct[:, a].mean())
    model, others, _ = is_right.values()
    return comparison(table), comparison(by_label(names, model, rows, others, truth_of_real), first="label")


def by_label(names: list[str], correct: Tensor, rows: Tensor, real: Tensor, labels: Tensor) -> dict[str, dict]:
    """A row per label: accuracy on decoded and on real images, and how many real ones there are."""
    found = {}
    for i, name in enumerate(names):
        held = real[labels == i].mean(1)
        found[name] = {
            "accuracy": mean_and_error(correct[rows == i].mean(1)),
            "accuracy on real": mean_and_error(held) if len(held) else (float("nan"), float("nan")),
            "real images": len(held),
        }
    return found


def measures(classifier: Classifier, correct: Tensor, images: Tensor, labels: Tensor) -> dict[str, object]:
    """One row of the table: the share of labels seen, and the spread among images of one label."""
    return {
        "accuracy": mean_and_error(correct.mean(1)),
        "pixel deviation within a label": within_label_deviation(images, labels),
        "feature deviation within a label": within_label_deviation(classifier.features(images), labels),
        "images": len(images),
        "classifier": classifier.name,
        "features": classifier.space,
    }


def told_columns(run: Run, classifier: Classifier, bits: Tensor) -> list[int] | None:
    """Which of the classifier's attributes the model is asked for; None for classes."""
    if bits.ndim == 1:
        return None
    wanted = run.model.labels.names[: bits.shape[1]]
    missing = [name for name in wanted if name not in classifier.labels.names]
    if missing:
        raise UserError(
            f"The classifier ({classifier.name}) does not tell {listed(missing)}, which the model is asked for. It tells: "
            f"{listed(classifier.labels.names)}."
        )
    return [classifier.labels.names.index(name) for name in wanted]


def labelled_images(
    run: Run, split: str, count: int, classifier: Classifier, columns: list[int] | None
) -> tuple[Tensor, Tensor]:
    """At most `count` clean images of a split, evenly apart, and their classes (N,) or bits (N, A)."""
    known = truth(run, split, classifier.labels)
    rows = spread_rows(count, len(known))
    return run.data.images(split)[rows].float() / 255, (known if columns is None else known[:, columns].long())[rows]


def number(labels: Tensor, bits: Tensor) -> Tensor:
    """(N,) the column that each label, (N,) or (N, A), belongs to."""
    return labels if bits.ndim == 1 else (labels[:, None] == bits).all(2).long().argmax(1)
