"""Samples from a conditional model with requested labels, and how often a classifier recognizes these labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from autoencoders.applications.base import check_count, flatten_table, refuse_validation
from autoencoders.applications.code_samples import decode_prior
from autoencoders.applications.label_accuracy import accuracy_tables, labels_to_decode
from autoencoders.applications.label_classifiers import get_classifier
from autoencoders.applications.representations import conditioned_on_classes
from autoencoders.models.prior_codes import draw_noise
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy
from autoencoders.utils.texts import describe_shown, list_names, shown_labels

COLUMNS = 10
"""Images per row of the figure `many`, which has two rows per label."""


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
    """Decode random codes with requested labels, and measure how often a classifier recognizes the labels.

    For a model conditioned on classes, the labels are the classes. For a model conditioned on attributes, the labels
    are all combinations of signs of its first four attributes, such as `Male+ Smiling-`. Each of these attributes is
    set to its mean over the training images with this sign.

    The label accuracy is the fraction of decoded images for which the classifier predicts the requested label.
    The baseline is the accuracy on decoded images that are compared with random labels. The accuracy on real images is
    a reference. A model that decodes identical images for a label could have an accuracy of 1. The standard deviations
    of pixels and of features within a label are therefore reported too.

    Args:
        run: run of a conditional model.
        split: split of the real images, `test` or `train`. The classifier was chosen on validation images.
        codes: number of codes in the figure `grid`, one per row.
        labels: classes, or combinations such as `Male+ Smiling-`, in the figure `many`; None for the last two labels.
        strength: factor on the difference between the attributes and their training means; not used for classes.
        measured: number of decoded images per label, which is lowered if there are many labels; see
            `label_accuracy.MAX_DECODED`. The number of real images is at most `measured` times the number of labels.
        seed: seed of the codes.
        classifier: path of a run of `model=classifier`; None for logistic regression on pixels.

    Returns:
        Figures: `grid` (one row per code, one column per label, with evenly spaced labels if there are many) and `many`
        (many codes with one label). Tables: `accuracy` (label accuracy, and standard deviations within a label) and
        `labels` (accuracy per label).

    Raises:
        UserError: if an option is invalid, the split is `val`, the model is not conditional, the model has no label of
            that name, or the classifier does not support these data.
    """
    from autoencoders.figures.grids import image_grid

    if not run.model.context_size:
        raise UserError(
            f"application=conditional_sample needs a conditional model, got {run.model.name}. Set run to a run of "
            "model=cvae, or set application=sample."
        )
    refuse_validation(split, "the classifier")
    check_count(codes, "codes")
    check_count(measured, "measured", 2)
    predictor = get_classifier(run, classifier)
    names, y, bits = labels_to_decode(run, strength)
    picked = label_positions(names, labels)
    generator = torch.Generator().manual_seed(seed)
    drawn = y[shown_labels(len(names))]
    noise = draw_noise(run.model, codes, generator).repeat_interleave(len(drawn))
    grid = decode_prior(run, noise, drawn.repeat(codes, *[1] * (y.ndim - 1)))
    noise = draw_noise(run.model, 2 * COLUMNS * len(picked), generator)
    many = decode_prior(run, noise, y[picked].repeat_interleave(2 * COLUMNS, 0)).unflatten(0, (-1, COLUMNS))
    accuracy, per_label = accuracy_tables(run, split, predictor, (names, y, bits), measured, generator)
    first, real = accuracy["accuracy"].iloc[0], accuracy["accuracy"].iloc[1]
    shown = describe_shown(len(names), "labels")
    caption = f"label accuracy {first:.1%} (real {split} images: {real:.1%}), by {predictor.name}"
    caption = "; ".join(text for text in ("one code per row", shown, caption) if text)
    figures = {
        "grid": image_grid(
            to_numpy(grid.unflatten(0, (codes, -1))), run.title, caption=caption,
            columns=[label_column(run, names[i]) for i in shown_labels(len(names))],
        ),
        "many": image_grid(
            to_numpy(many), run.title, rows=[word for i in picked for word in (names[i], "")],
            caption="two rows per label, a different code for every image",
        ),
    }  # fmt: skip
    return ApplicationResult(
        flatten_table(accuracy) | flatten_table(per_label), figures, {"accuracy": accuracy, "labels": per_label}
    )


def label_column(run: Run, name: str) -> str:
    """Return the text above a column of the figure `grid`: a class, or one line per attribute of a combination."""
    return name if conditioned_on_classes(run) else name.replace(" ", "\n")


def label_positions(names: Sequence[str], labels: Sequence[str | int] | None) -> list[int]:
    """Return the indices in `names` of the labels in the figure `many`: the last two labels if `labels` is None.

    Raises:
        UserError: if a label is not in `names`. The message lists all labels of the model.
    """
    if labels is None:
        return list(range(len(names)))[-2:]
    wrong = [str(label) for label in labels if str(label) not in names]
    if wrong:
        raise UserError(f"The model has no label {list_names(wrong)}. Choose labels from: {list_names(names)}.")
    return [names.index(str(label)) for label in labels]
