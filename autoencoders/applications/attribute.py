"""Add an attribute to images or remove it, and measure the effect, the side effects and the kept identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from autoencoders.applications.attribute_editing import (
    METHODS,
    CalibratedClassifier,
    Editor,
    calibrate_classifier,
    dose_response,
    fit_editors,
    fit_slopes,
    measure_identity,
)
from autoencoders.applications.base import (
    check_count,
    comparison_table,
    flatten_table,
    mean_and_error,
    refuse_validation,
    select_images,
    spread_rows,
)
from autoencoders.applications.label_classifiers import get_classifier
from autoencoders.applications.representations import attribute_index, binary_attributes
from autoencoders.metrics.labels import ENOUGH
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, Batch, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def attribute(
    run: Run,
    *,
    split: str = "test",
    images: str | None = None,
    attribute: str | None = None,
    method: str = "mean_difference",
    orthogonal: Sequence[str] = (),
    alphas: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8),
    strength: float = 1.0,
    count: int = 8,
    measured: int = 200,
    classifier: str | None = None,
) -> ApplicationResult:
    """Edit an attribute of images by moving their codes along a direction, and measure the effect with a classifier.

    The direction is computed from training codes. Real-valued attributes are binarized at 0, or at the median if too
    few values are above or below 0. If the data have only classes, every class is an attribute.

    A classifier that was trained on real images measures the edited images. Its regularization or its training step was
    chosen on validation images, so that nothing is measured on the split `val`.

    The shift of an image is the change of the classifier's logit for the attribute, divided by the difference between
    the mean logits of real images of `split` with and without the attribute. A shift of 1 is as large as the difference
    between real images.

    Args:
        run: trained run whose model edits the images.
        split: split whose images are edited and measured, `test` or `train`.
        images: your own images to edit in the figures, as a file or a folder; None for images of `split`.
        attribute: name of the attribute or class to edit; None for the last one of the data.
        method: `mean_difference` for the difference between the mean codes with and without the attribute, or
            `logistic` for the component of this difference along the normal of a logistic regression.
        orthogonal: names of attributes that the edit should not change. The direction is computed at equal values of
            these attributes.
        alphas: strengths at which edits are drawn in `strip` and measured in `dose`. At strength 1, the direction is
            added once. The shift per unit of strength is fitted to the shifts at these strengths.
        strength: strength of the edits in the figures `add` and `subtract`, and of the predictions and identities in
            the table `edits`.
        count: number of images per figure.
        measured: maximum number of images without the attribute that are edited and measured.
        classifier: path of a run of `model=classifier`; None for logistic regression on pixels.

    Returns:
        Figures: `add` and `subtract` (images before and after an edit), `strip` (images edited with every strength),
        and `dose` (shift as a function of strength). Tables: `edits` (one row each for the model, PCA, whitened PCA and
        pixels), `dose` (shift at every strength) and `leakage` (shift of every attribute). Whitening does not change an
        edit by the mean difference, so that whitened PCA then has only an AUROC.

    Raises:
        UserError: if an option is invalid, the split is `val`, the data do not have the attribute, a split has too few
            images with or without the attribute, or the classifier does not support these data.
    """
    refuse_validation(split, "the classifier")
    alphas = sort_strengths(alphas, strength)
    if method not in METHODS:
        raise UserError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    known, names = binary_attributes(run, tuple(dict.fromkeys(("train", split))))
    chosen = len(names) - 1 if attribute is None else attribute_index(names, attribute)
    others = [attribute_index(names, name) for name in orthogonal]
    check_counts(known, chosen, others, names, split)
    gauge = calibrate_classifier(run, split, get_classifier(run, classifier), names[chosen])
    editors, aurocs = fit_editors(run, split, known, chosen, others, method)
    lacking = (known[split][:, chosen] == 0).nonzero().flatten()
    batch = run.batch(split, lacking[spread_rows(check_count(measured, "measured", 2), len(lacking))])
    shifts = {e.name: dose_response(e, batch, gauge, alphas) for e in editors}
    rows: dict[str, dict[str, object]] = {
        name: {"auroc": area, "note": "the edit equals that of PCA"} for name, area in aurocs.items()
    }
    for editor in editors:
        slope = fit_slopes(shifts[editor.name], alphas)
        rows[editor.name] = {
            "auroc": aurocs[editor.name],
            **measure_effect(editor, batch, gauge, slope, strength),
            **measure_identity(run, split, editor, batch, strength, gauge.classifier),
            "images": len(batch.x),
            "classifier": gauge.classifier.name,
            "note": gauge.note,
        }
    edits = comparison_table(rows)
    tables = {
        "edits": edits,
        "dose": dose_table(shifts, alphas, gauge.chosen),
        "leakage": leakage_table(shifts, alphas, gauge),
    }
    title, model = f"{run.title}: {names[chosen]}", edits.iloc[0]
    edited = edits[edits["shift per unit"].notna()]
    words = ", ".join(f"{row['method']} {row['shift per unit']:.2f}" for _, row in edited.iterrows())
    caption = f"shift per unit of strength: {words}; {len(batch.x)} {split} images; {gauge.classifier.name}"
    check_count(count, "count")
    if images is not None:
        examples = user_examples(run, split, images, count, strength)
    else:
        examples = split_examples(run, split, known[split][:, chosen], count, strength)
    figures = edit_figures(editors[0], examples, alphas, title, caption)
    about = f"AUROC on real {split} images: classifier {gauge.aurocs[gauge.chosen]:.3f}, direction {model['auroc']:.3f}"
    figures["dose"] = dose_figure(shifts, alphas, gauge, title, f"{about}; {gauge.classifier.name}")
    return ApplicationResult(
        flatten_table(edits) | flatten_table(tables["dose"]) | flatten_table(tables["leakage"]), figures, tables
    )


def sort_strengths(alphas: Sequence[float], strength: float) -> list[float]:
    """Return the strengths `alphas`, 0 and `strength` in ascending order, without duplicates."""
    try:
        return sorted({0.0, float(strength), *map(float, alphas)})
    except (TypeError, ValueError) as error:
        raise UserError(f"alphas must be a list of numbers, such as [0,.5,1], got {alphas}.") from error


def check_counts(
    known: dict[str, Tensor], chosen: int, others: Sequence[int], names: Sequence[str], split: str
) -> None:
    """Raise UserError if `orthogonal` contains the edited attribute, or a split has too few images for a direction.

    Args:
        known: split -> attributes (N, A): 1 with, 0 without, NaN if unknown.
        chosen: index of the edited attribute.
        others: indices of the attributes to keep.
        names: names of the A attributes.
        split: held-out split, which is checked in addition to the training split.
    """
    if chosen in others:
        raise UserError(f"orthogonal must not contain the edited attribute {names[chosen]}. Remove it from orthogonal.")
    for which in (chosen, *others):
        for name in ("train", split):
            values = known[name][:, which]
            have, lack = int((values == 1).sum()), int((values == 0).sum())
            if min(have, lack) < ENOUGH:
                raise UserError(
                    f"The {name} split must have at least {ENOUGH} images with the attribute {names[which]} and at "
                    f"least {ENOUGH} images without it, got {have} and {lack}. Choose another attribute or split."
                )


def measure_effect(
    editor: Editor, batch: Batch, gauge: CalibratedClassifier, slope: Tensor, strength: float
) -> dict[str, float | tuple[float, float]]:
    """Return the effect of an editing method on the classifier's output, as columns of the table `edits`.

    Args:
        editor: the editing method.
        batch: B images without the attribute.
        gauge: the calibrated classifier.
        slope: shifts per unit of strength (B, A), for B images and A attributes.
        strength: strength of the edited images whose predictions are counted.

    Returns:
        `shift per unit`: mean shift of the edited attribute per unit of strength. `predicted share`: fraction of edited
        images that the classifier predicts to have the attribute. `leakage`: absolute mean shift of each other
        attribute per unit of strength, averaged over these attributes; NaN if there is no other attribute or only a
        second class. `leakage per shift`: leakage divided by the absolute shift per unit of the edited attribute.
    """
    chosen = gauge.chosen
    predictions = {a: gauge.logits(editor.edit(batch, a))[:, chosen] > 0 for a in (0.0, strength)}
    others = slope[:, gauge.others].mean(0).abs()
    return {
        "shift per unit": mean_and_error(slope[:, chosen]),
        "predicted share": mean_and_error(predictions[strength].float()),
        "predicted share, unedited": float(predictions[0.0].float().mean()),
        "leakage": float(others.mean()) if len(others) else np.nan,
        "leakage per shift": float(others.mean() / slope[:, chosen].mean().abs()) if len(others) else np.nan,
    }


def dose_table(shifts: dict[str, Tensor], alphas: Sequence[float], chosen: int) -> pd.DataFrame:
    """Return a table with one row per strength and the mean shift of the edited attribute for each method.

    The column `share that grew` is the fraction of images whose shift under the first method increased since the
    previous strength.

    Args:
        shifts: method name -> shifts (S, N, A) for S strengths, N images and A attributes.
        alphas: S strengths, ascending.
        chosen: index of the edited attribute.
    """
    rows = {}
    for i, alpha in enumerate(alphas):
        columns: dict[str, object] = {name: mean_and_error(s[i, :, chosen]) for name, s in shifts.items()}
        first = next(iter(shifts.values()))[:, :, chosen]
        columns["share that grew"] = float((first[i] > first[i - 1]).float().mean()) if i else np.nan
        rows[f"{alpha:g}"] = columns
    return comparison_table(rows, "strength")


def leakage_table(shifts: dict[str, Tensor], alphas: Sequence[float], gauge: CalibratedClassifier) -> pd.DataFrame:
    """Return a table with one row per attribute: shift per unit of strength for each method, classifier AUROC.

    With two classes, the shift of the class that is not edited is NaN, see `CalibratedClassifier.others`.

    Args:
        shifts: method name -> shifts (S, N, A) for S strengths, N images and A attributes.
        alphas: S strengths.
        gauge: the calibrated classifier, which contains the names and AUROCs of the attributes.
    """
    slope = {name: fit_slopes(s, alphas) for name, s in shifts.items()}
    rows: dict[str, dict[str, object]] = {}
    for i, attribute_name in enumerate(gauge.names):
        available = i == gauge.chosen or i in gauge.others
        rows[attribute_name] = {
            f"shift, {name}": mean_and_error(s[:, i]) if available else (np.nan, np.nan) for name, s in slope.items()
        }
        rows[attribute_name]["classifier auroc"] = gauge.aurocs[i]
        rows[attribute_name]["note"] = "" if available else gauge.note
    return comparison_table(rows, "attribute")


class Examples(NamedTuple):
    """Images to edit in a figure.

    Attributes:
        batch: the images.
        labels: one display name per image.
        strength: strength of the edit; negative to remove the attribute.
    """

    batch: Batch
    labels: list[str]
    strength: float


def user_examples(run: Run, split: str, images: str, count: int, strength: float) -> dict[str, Examples]:
    """Return the user's own images, once for the figure `add` and once for the figure `subtract`."""
    batch, labels = select_images(run, split, count, images)
    return {"add": Examples(batch, labels, strength), "subtract": Examples(batch, labels, -strength)}


def split_examples(run: Run, split: str, values: Tensor, count: int, strength: float) -> dict[str, Examples]:
    """Return images of a split: images without the attribute for the figure `add`, images with it for `subtract`.

    Args:
        run: run whose data contain the split.
        split: split of the images.
        values: attribute values (N,): 1 with, 0 without, NaN if unknown.
        count: maximum number of images per figure.
        strength: strength of the edit.
    """
    examples = {}
    for key, value, sign in (("add", 0, 1), ("subtract", 1, -1)):
        rows = (values == value).nonzero().flatten()
        batch = run.batch(split, rows[spread_rows(count, len(rows))])
        examples[key] = Examples(batch, [str(i) for i in batch.index.tolist()], sign * strength)
    return examples


def edit_figures(
    editor: Editor, examples: dict[str, Examples], alphas: Sequence[float], title: str, caption: str
) -> dict[str, Figure]:
    """Draw `add` and `subtract` (images before and after an edit) and `strip` (images edited with every strength)."""
    from autoencoders.figures.grids import image_grid

    figures = {}
    for key, (batch, labels, alpha) in examples.items():
        images = batch.x, editor.edit(batch, 0.0), editor.edit(batch, alpha)
        rows = ["input", "output", f"output {alpha:+g}"]
        grid = np.stack([to_numpy(row) for row in images])
        figures[key] = image_grid(grid, title, rows=rows, columns=labels, caption=caption)
    batch, labels, _ = examples["add"]
    grid = np.stack([to_numpy(batch.x), *(to_numpy(editor.edit(batch, a)) for a in alphas)], 1)[:6]
    columns = ["input", *(f"{a:g}" for a in alphas)]
    figures["strip"] = image_grid(grid, title, rows=labels[:6], columns=columns, caption=caption)
    return figures


def dose_figure(
    shifts: dict[str, Tensor], alphas: Sequence[float], gauge: CalibratedClassifier, title: str, caption: str
) -> Figure:
    """Plot shifts as a function of strength.

    One panel shows the edited attribute for every method, the other panel shows all other attributes for the model.
    """
    from autoencoders.figures.dose_response import dose_response

    names, chosen = gauge.names, gauge.chosen
    errors = {n: s.std(1) / len(s[0]) ** 0.5 for n, s in shifts.items()}
    methods = {n: (to_numpy(s.mean(1)[:, chosen]), to_numpy(errors[n][:, chosen])) for n, s in shifts.items()}
    first = next(iter(shifts))
    order = sorted(gauge.others, key=lambda i: -shifts[first][-1, :, i].mean().abs())
    others = {names[i]: (to_numpy(shifts[first].mean(1)[:, i]), to_numpy(errors[first][:, i])) for i in order}
    return dose_response(np.asarray(alphas), methods, others, names[chosen], title, caption)
