"""Does a conditional model draw what it is told? One code under every label, one label for many codes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from autoencoders.applications.base import flat, listed, number_of_images
from autoencoders.applications.label_accuracy import conditions, verdicts
from autoencoders.applications.label_classifiers import classifier_of
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
    """A grid with one code from the prior per row and one label per column; single labels with a code per image.

    The labels of a model conditioned on classes are its classes; of one conditioned on attributes, all combinations of
    signs, each attribute at its mean over the training images of that sign. A classifier says how often the label is seen
    that was asked for: beside its accuracy on real images, and beside images whose labels are drawn anew after
    decoding. A model whose images of a label are all alike would satisfy the classifier, so the spread within a label, of
    pixels and of the classifier's features, stands beside it.

    Args:
        run: of a conditional model.
        split: whose images the classifier is measured on.
        codes: rows of the grid.
        labels: classes, or combinations such as `Male+ Smiling-`, to show with many codes; None for the last two.
        strength: factor on the attributes' deviation from their training mean; classes have none.
        measured: images decoded, and real images at most, per label, for the numbers.
        seed: of the codes.
        classifier: a run of `model=classifier`; None for a stand-in, logistic regression on pixels.

    Returns:
        Figures `grid` and `many`; the tables `judged` (accuracy, and standard deviations within a label) and `labels`
        (accuracy per label).

    Raises:
        UserError: where the model is not conditional, or has no label of that name, or the classifier does not fit.
    """
    from autoencoders.figures.grids import image_grid

    if not run.model.context_size:
        raise UserError(
            f"{run.model.name} is told no labels, so nothing can be asked for. Ask a run with model=cvae, or use "
            "application=sample."
        )
    number_of_images(codes, "codes")
    number_of_images(measured, "measured", 2)
    sees = classifier_of(run, classifier)
    names, y, bits = conditions(run, strength)
    picked = positions(names, labels)
    generator = torch.Generator().manual_seed(seed)
    prior = StandardNormal(run.model.latent_dim)
    z = prior.sample(codes, generator)
    grid = run.decode(z.repeat_interleave(len(y), 0), y.repeat(codes, *[1] * (y.ndim - 1)))
    z = prior.sample(2 * COLUMNS * len(picked), generator)
    many = run.decode(z, y[picked].repeat_interleave(2 * COLUMNS, 0)).unflatten(0, (-1, COLUMNS))
    judged, per_label = verdicts(run, split, sees, (names, y, bits), measured, generator)
    first, real = judged["accuracy"].iloc[0], judged["accuracy"].iloc[1]
    caption = f"a code per row; label seen in {first:.1%}, and in {real:.1%} of real {split} images, by {sees.name}"
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
    return ApplicationResult(flat(judged) | flat(per_label), figures, {"judged": judged, "labels": per_label})


def positions(names: Sequence[str], labels: Sequence[str | int] | None) -> list[int]:
    """Which of the labels are shown with many codes."""
    if labels is None:
        return list(range(len(names)))[-2:]
    wrong = [str(label) for label in labels if str(label) not in names]
    if wrong:
        raise UserError(f"The model has no label {listed(wrong)}. It has: {listed(names)}.")
    return [names.index(str(label)) for label in labels]
