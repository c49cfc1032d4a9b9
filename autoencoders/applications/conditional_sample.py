"""Samples of a conditional model with requested labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from autoencoders.applications.base import check_count, flatten_table, join_names
from autoencoders.applications.label_accuracy import accuracy_tables, labels_to_decode
from autoencoders.applications.label_classifiers import get_classifier
from autoencoders.latent.densities import StandardNormal
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy

COLUMNS = 10


def conditional_sample(
    run: Run,
    *,
    split: str = "test",
    codes: int = 6,
    labels: Sequence[str | int] | None = None,
    strength: float = 1.0,
    measured: int = 500,
    seed: int = 0,
    classifier: str | None = None,
) -> ApplicationResult:
    """Decode one code per row with every label, and many codes with one label, and measure the label accuracy.

    The labels of a model conditioned on classes are its classes. For attributes they are all combinations of signs,
    each attribute at its mean over the training images of that sign. A classifier measures how often the requested
    label is recognized; baselines are its accuracy on real images, and on decoded images with random labels. Since
    identical images per label would have a perfect accuracy, the variation of pixels and of features within a label is
    reported too.

    Args:
        run: run of a conditional model.
        split: split that the classifier is evaluated on.
        codes: rows of the grid.
        labels: classes, or combinations such as `Male+ Smiling-`, to show with many codes; None for the last two.
        strength: factor on the deviation of the attributes from their training means; not used for classes.
        measured: number of decoded images, and maximum number of real images, per label.
        seed: seed of the codes.
        classifier: a run of `model=classifier`; None for logistic regression on pixels.

    Returns:
        Figures `grid` and `many`; the tables `accuracy` (accuracy, and standard deviations within a label) and `labels`
        (accuracy per label).

    Raises:
        UserError: if the model is not conditional, has no label of that name, or the classifier does not fit.
    """
    from autoencoders.figures.grids import image_grid

    if not run.model.context_size:
        raise UserError(
            f"application=conditional_sample needs a conditional model, got {run.model.name}. Use a run of model=cvae, "
            "or application=sample."
        )
    check_count(codes, "codes")
    check_count(measured, "measured", 2)
    predictor = get_classifier(run, classifier)
    names, y, bits = labels_to_decode(run, strength)
    picked = label_positions(names, labels)
    generator = torch.Generator().manual_seed(seed)
    prior = StandardNormal(run.model.latent_dim)
    z = prior.sample(codes, generator)
    grid = run.decode(z.repeat_interleave(len(y), 0), y.repeat(codes, *[1] * (y.ndim - 1)))
    z = prior.sample(2 * COLUMNS * len(picked), generator)
    many = run.decode(z, y[picked].repeat_interleave(2 * COLUMNS, 0)).unflatten(0, (-1, COLUMNS))
    accuracy, per_label = accuracy_tables(run, split, predictor, (names, y, bits), measured, generator)
    first, real = accuracy["accuracy"].iloc[0], accuracy["accuracy"].iloc[1]
    caption = f"one code per row; label accuracy {first:.1%}, on real {split} images {real:.1%}, by {predictor.name}"
    figures = {
        "grid": image_grid(
            to_numpy(grid.unflatten(0, (codes, -1))), run.title, columns=[n.replace(" ", "\n") for n in names],
            caption=caption,
        ),
        "many": image_grid(
            to_numpy(many), run.title, rows=[word for i in picked for word in (names[i], "")],
            caption="one label, another code in every image",
        ),
    }  # fmt: skip
    return ApplicationResult(
        flatten_table(accuracy) | flatten_table(per_label), figures, {"accuracy": accuracy, "labels": per_label}
    )


def label_positions(names: Sequence[str], labels: Sequence[str | int] | None) -> list[int]:
    """Return the indices of the labels shown with many codes."""
    if labels is None:
        return list(range(len(names)))[-2:]
    wrong = [str(label) for label in labels if str(label) not in names]
    if wrong:
        raise UserError(f"The model has no label {join_names(wrong)}. Its labels: {join_names(names)}.")
    return [names.index(str(label)) for label in labels]
