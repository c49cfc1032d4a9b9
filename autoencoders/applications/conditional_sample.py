"""Does a conditional model draw what it is told? One code under every label, one label for many codes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import (
    array,
    comparison,
    flat,
    listed,
    mean_and_error,
    number_of_images,
    spread,
)  # fmt: skip
from autoencoders.latent.densities import StandardNormal
from autoencoders.metrics.judges import PixelClassifier
from autoencoders.metrics.neighbours import within
from autoencoders.opened import Run
from autoencoders.types import Findings, UserError

COLUMNS = 10
MOST = 4
"""Attributes, at most, whose combinations make the columns: 16."""


def conditional_sample(
    run: Run,
    *,
    split: str = "test",
    codes: int = 6,
    labels: Sequence[str | int] | None = None,
    strength: float = 1.0,
    measured: int = 500,
    fitted: int = 5000,
    seed: int = 0,
) -> Findings:
    """A grid with one code from the prior per row and one label per column; single labels with a code per image.

    The labels of a model conditioned on classes are its classes; of one conditioned on attributes, all combinations of
    signs, each attribute at its mean over the training images of that sign. A judge, fitted to training images, says
    how often the label is seen that was asked for: beside its accuracy on real images, and beside images whose labels
    are drawn anew after decoding. A model whose images of a label are all alike would satisfy the judge, so the spread
    of pixels within a label stands beside it.

    Args:
        run: of a conditional model.
        split: whose images the judge is measured on.
        codes: rows of the grid.
        labels: classes, or combinations such as `Male+ Smiling-`, to show with many codes; None for the last two.
        strength: factor on the attributes' deviation from their training mean; classes have none.
        measured: images decoded, and real images at most, per label, for the numbers.
        fitted: training images, at most, that the judge is fitted to.
        seed: of the codes.

    Returns:
        Figures `grid` and `many`; the tables `judged` (accuracy, and standard deviation of pixels within a label) and
        `labels` (accuracy per label).

    Raises:
        UserError: where the model is not conditional, or has no label of that name.
    """
    from autoencoders.figures.grids import image_grid

    if not run.model.condition:
        raise UserError(
            f"{run.model.name} is told no labels, so nothing can be asked for. Ask a run with model=cvae, or use "
            "application=sample."
        )
    number_of_images(codes, "codes")
    number_of_images(measured, "measured", 2)
    names, y, bits = conditions(run, strength)
    picked = positions(names, labels)
    generator = torch.Generator().manual_seed(seed)
    prior = StandardNormal(run.model.latent_dim)
    z = prior.sample(codes, generator)
    grid = run.decode(z.repeat_interleave(len(y), 0), y.repeat(codes, *[1] * (y.ndim - 1)))
    z = prior.sample(2 * COLUMNS * len(picked), generator)
    many = run.decode(z, y[picked].repeat_interleave(2 * COLUMNS, 0)).unflatten(0, (-1, COLUMNS))
    judged, per_label = judge(run, split, prior, (names, y, bits), measured, fitted, generator)
    first, real = judged["accuracy"].iloc[0], judged["accuracy"].iloc[1]
    caption = f"a code per row; the judge sees the label in {first:.1%}, and in {real:.1%} of real {split} images"
    figures = {
        "grid": image_grid(
            array(grid.unflatten(0, (codes, -1))), run.title, columns=[n.replace(" ", "\n") for n in names],
            caption=caption,
        ),
        "many": image_grid(
            array(many), run.title, rows=[word for i in picked for word in (names[i], "")],
            caption="one label, another code in every image",
        ),
    }  # fmt: skip
    return Findings(flat(judged) | flat(per_label), figures, {"judged": judged, "labels": per_label})


def conditions(run: Run, strength: float) -> tuple[list[str], Tensor, Tensor]:
    """The labels to draw: names, what the model is told, (L,) classes or (L, A) values, and bits (L,) or (L, A).

    Attributes beyond the first MOST stay at their training mean; bits say class or sign, as the judge sees them.
    """
    context, told = run.model.labels, run.codes("train").y
    if context.kind == "classes":
        y = torch.arange(context.size)
        return [str(name) for name in context.names], y, y
    varied = min(context.size, MOST)
    high = told > centre(told)
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


def centre(told: Tensor) -> Tensor:
    """(A,) where an attribute changes its side: 0 where it has both signs, else half way between its extremes."""
    low, high = told.min(0).values, told.max(0).values
    return torch.where((low < 0) & (high > 0), torch.zeros_like(low), (low + high) / 2)


def positions(names: Sequence[str], labels: Sequence[str | int] | None) -> list[int]:
    """Which of the labels are shown with many codes."""
    if labels is None:
        return list(range(len(names)))[-2:]
    wrong = [str(label) for label in labels if str(label) not in names]
    if wrong:
        raise UserError(f"The model has no label {listed(wrong)}. It has: {listed(names)}.")
    return [names.index(str(label)) for label in labels]


def judge(
    run: Run, split: str, prior: StandardNormal, asked: tuple[list[str], Tensor, Tensor], measured: int, fitted: int,
    generator: torch.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """The tables of what a judge sees in decoded and in real images."""
    names, y, bits = asked
    real, seen = labelled_images(run, split, measured * len(names), bits)
    classifier = PixelClassifier().fit(*labelled_images(run, "train", fitted, bits))
    rows = torch.arange(len(names)).repeat_interleave(measured)
    drawn = run.decode(prior.sample(len(rows), generator), y[rows])
    shuffled = bits[rows[torch.randperm(len(rows), generator=generator)]]
    right, right_real = classifier.correct(drawn, bits[rows]), classifier.correct(real, seen)
    table = {
        run.model.name: measures(right, drawn, rows),
        f"real {split} images": measures(right_real, real, number(seen, bits)),
        "labels drawn anew": measures(classifier.correct(drawn, shuffled), drawn, torch.zeros(len(rows)).long()),
    }
    per_label = {}
    truth = number(seen, bits)
    for i, name in enumerate(names):
        held = right_real[truth == i].mean(1)
        per_label[name] = {
            "accuracy": mean_and_error(right[rows == i].mean(1)),
            "accuracy on real": mean_and_error(held) if len(held) else (float("nan"), float("nan")),
            "real images": len(held),
        }
    if bits.ndim == 2:
        for row, correct in zip(table.values(), (right, right_real, None), strict=True):
            for a, name in enumerate(run.model.labels.names[: bits.shape[1]]):
                row[f"accuracy of {name}"] = float("nan") if correct is None else float(correct[:, a].mean())
    return comparison(table), comparison(per_label, first="label")


def measures(correct: Tensor, images: Tensor, labels: Tensor) -> dict[str, object]:
    """One row of the table: the share of labels seen, and the spread of pixels among images of one label."""
    return {
        "accuracy": mean_and_error(correct.mean(1)),
        "deviation within a label": within(images, labels),
        "images": len(images),
    }


def labelled_images(run: Run, split: str, count: int, bits: Tensor) -> tuple[Tensor, Tensor]:
    """At most `count` clean images of a split, evenly apart, and their classes (N,) or signs (N, A)."""
    y = run.codes(split).y
    rows = spread(count, len(y))
    if bits.ndim == 2:
        y = (y > centre(run.codes("train").y))[:, : bits.shape[1]].long()
    return run.data.images(split)[rows].float() / 255, y[rows]


def number(labels: Tensor, bits: Tensor) -> Tensor:
    """(N,) the column that each label, (N,) or (N, A), belongs to."""
    return labels if bits.ndim == 1 else (labels[:, None] == bits).all(2).long().argmax(1)
