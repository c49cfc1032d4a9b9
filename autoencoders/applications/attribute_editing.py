"""Edit an attribute of images along a direction, and measure the effect on the logits of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import bootstrap_error, mean_and_error, spread_rows
from autoencoders.applications.label_classifiers import (
    LabelClassifier,
    TrainedClassifier,
    attribute_logits,
    binary_labels,
    true_labels,
)
from autoencoders.applications.representations import (
    MAX_SIDE,
    attributes_or_classes,
    code_baselines,
    pixels,
    representations,
)
from autoencoders.latent.directions import attribute_direction
from autoencoders.metrics.probes import LinearProbe, auroc
from autoencoders.metrics.retrieval import feature_distances
from autoencoders.runs.run import Run
from autoencoders.types import Batch, UserError
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pca import PCABaseline
from autoencoders.utils.texts import list_names

METHODS = ("mean_difference", "logistic")
"""Values of the option `method`, which selects the direction.

`mean_difference` is the difference between the mean codes with and without the attribute. `logistic` is the component
of this difference along the normal of a logistic regression.
"""

LIMIT = 10_000
"""Maximum number of training images that a direction is fitted to.

Also the maximum number of held-out images that the classifier is calibrated on.
"""


class Editor(NamedTuple):
    """A method that edits an attribute of images: encode, move the codes along a direction, decode.

    Attributes:
        name: display name in tables.
        step: vector that is added to a code at strength 1. It has the shape of one code.
        encode: function from a batch to codes.
        decode: function from codes and their batch (for its labels) to images.
    """

    name: str
    step: Tensor
    encode: Callable[[Batch], Tensor]
    decode: Callable[[Tensor, Batch], Tensor]

    def edit(self, batch: Batch, strength: float) -> Tensor:
        """Return edited images (B, C, H, W) in [0, 1], decoded from the codes plus `strength` times `step`."""
        return self.decode(self.encode(batch) + strength * self.step, batch).clamp(0, 1)


class CalibratedClassifier(NamedTuple):
    """A classifier with the scale of its logits on real held-out images.

    Attributes:
        classifier: a trained classifier, or logistic regression on pixels.
        names: names of the A attributes or classes that the classifier predicts.
        chosen: index of the edited attribute in `names`.
        gaps: (A,) differences between the mean logits for real images with and without each attribute.
        aurocs: A AUROCs of the logits on the same images, one per attribute.
    """

    classifier: LabelClassifier
    names: tuple[str, ...]
    chosen: int
    gaps: Tensor
    aurocs: list[float]

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits (N, A) of A attributes for images (N, C, H, W)."""
        return attribute_logits(self.classifier, images)

    @property
    def others(self) -> list[int]:
        """Return the indices of the attributes whose shifts are leakage: all attributes except the edited one.

        With two classes, the list is empty: the logit of one class is the negative logit of the other class, so that
        their shifts are equal by construction.
        """
        if self.two_classes:
            return []
        return [i for i in range(len(self.names)) if i != self.chosen]

    @property
    def two_classes(self) -> bool:
        """Return whether the classifier predicts two classes (not two attributes)."""
        return self.classifier.labels.kind == "classes" and len(self.names) == 2

    @property
    def note(self) -> str:
        """Return the note on the results: where the classifier was chosen, and why the leakage is not available."""
        note = "classifier chosen on validation images"
        if self.two_classes:
            return f"{note}; leakage n/a: the shifts of two classes are opposite by construction"
        return note if self.others else f"{note}; leakage n/a: the classifier predicts no other attribute"


def fit_editors(
    run: Run, split: str, known: dict[str, Tensor], chosen: int, others: Sequence[int], method: str
) -> tuple[list[Editor], dict[str, tuple[float, float]]]:
    """Fit directions on training images for the editing methods: the model's codes, PCA codes and pixels.

    Whitened PCA is an editing method only for `logistic`. The mean difference of whitened codes is the whitened mean
    difference, so that both edits give the same image.

    Args:
        run: trained run whose model edits the images.
        split: split of the held-out images that the AUROC is measured on.
        known: split -> attributes (N, A): 1 with, 0 without, NaN if unknown.
        chosen: index of the edited attribute.
        others: indices of the attributes to keep. The direction is computed at equal values of these attributes.
        method: one of METHODS.

    Returns:
        The editors, the model first; and representation -> (AUROC, bootstrap standard error) of the projections of
        held-out codes onto the direction, for the model, PCA, whitened PCA and pixels.
    """
    steps, aurocs = {}, {}
    rows = known["train"][:, chosen].isfinite().nonzero().flatten()
    rows = rows[spread_rows(LIMIT, len(rows))]
    y = known["train"][rows]
    equal = [v[rows].numpy() for v in attributes_or_classes(run.annotations("train"))[0].T[list(others)]]
    kept = known[split][:, chosen].isfinite().nonzero().flatten()
    positive = (known[split][kept, chosen] == 1).numpy()
    held_out = representations(run, split, kept)
    for name, z in representations(run, "train", rows).items():
        normal = hyperplane_normal(z, y[:, [chosen]]) if method == "logistic" else None
        step = attribute_direction(z.numpy(), (y[:, chosen] == 1).numpy(), equal, normal)
        scores = held_out[name].double().numpy() @ step
        error = bootstrap_error(partial(_auroc_of_rows, scores, positive), len(kept))
        aurocs[name], steps[name] = (auroc(scores, positive), error), torch.from_numpy(step).float()
    channels, *size = run.model.shape
    small = steps["pixels"].reshape(1, channels, *(min(MAX_SIDE, side) for side in size))
    picture = functional.interpolate(small, size, mode="bilinear")
    model = Editor(
        run.model.name, steps[run.model.name], lambda b: run.encode(b.x, b.y), lambda z, b: run.decode(z, b.y)
    )
    linear = [
        pca_editor(pca, steps[pca.name]) for pca in code_baselines(run) if method == "logistic" or pca.scale is None
    ]
    return [model, *linear, Editor("pixels", picture, lambda b: b.x, lambda z, b: z)], aurocs


def pca_editor(pca: PCABaseline, step: Tensor) -> Editor:
    """Return the editing method that adds multiples of `step` (K,) to PCA codes."""
    return Editor(pca.name, step, lambda b: pca.encode(b.x), lambda z, b: pca.decode(z))


def hyperplane_normal(z: Tensor, y: Tensor) -> np.ndarray:
    """Return the normal (Z,) of a logistic regression of an attribute `y` (N, 1), 0 or 1, on codes `z` (N, Z)."""
    return LinearProbe(10 / len(z), iterations=1000).fit(z, y.float()).normals[0].double().numpy()


def _auroc_of_rows(scores: np.ndarray, positive: np.ndarray, rows: np.ndarray) -> float:
    return auroc(scores[rows], positive[rows])


def calibrate_classifier(run: Run, split: str, classifier: LabelClassifier, attribute: str) -> CalibratedClassifier:
    """Measure the scale of a classifier's logits on real images with and without each attribute.

    Args:
        run: run whose data contain the split.
        split: split of the real images.
        classifier: classifier to calibrate.
        attribute: name of the edited attribute.

    Raises:
        UserError: if the classifier does not predict the edited attribute.
    """
    names = classifier.labels.names
    if attribute not in names:
        raise UserError(
            f"The classifier ({classifier.name}) does not predict {attribute}. It predicts: {list_names(names)}. "
            "Choose one of these attributes, or another classifier."
        )
    rows = spread_rows(LIMIT, len(run.data.images(split)))
    logits = torch.cat([attribute_logits(classifier, run.batch(split, r).target) for r in rows.split(ROWS_PER_CHUNK)])
    y = binary_labels(true_labels(run, split, classifier.labels)[rows], classifier.labels)
    columns = list(zip(logits.T, y.T, strict=True))
    gaps = torch.stack([a[b == 1].mean() - a[b == 0].mean() for a, b in columns])
    aurocs = [auroc(a[b.isfinite()], b[b.isfinite()] == 1) for a, b in columns]
    return CalibratedClassifier(classifier, names, names.index(attribute), gaps, aurocs)


def dose_response(editor: Editor, batch: Batch, gauge: CalibratedClassifier, alphas: Sequence[float]) -> Tensor:
    """Return the shifts (S, N, A) of the classifier's logits for S strengths, N images and A attributes.

    A shift is the difference from the logit at strength 0, divided by the gap of the attribute (see
    `CalibratedClassifier`).

    Args:
        editor: the editing method.
        batch: N images to edit.
        gauge: the calibrated classifier.
        alphas: S strengths.
    """
    start = gauge.logits(editor.edit(batch, 0.0))
    return torch.stack([(gauge.logits(editor.edit(batch, a)) - start) / gauge.gaps for a in alphas])


def fit_slopes(shifts: Tensor, alphas: Sequence[float]) -> Tensor:
    """Return the shifts per unit of strength (N, A), fitted by least squares through the origin.

    Args:
        shifts: shifts (S, N, A) for S strengths, N images and A attributes.
        alphas: S strengths.
    """
    a = torch.tensor(alphas, dtype=shifts.dtype)
    return (a[:, None, None] * shifts).sum(0) / a.square().sum()


def measure_identity(
    run: Run, split: str, editor: Editor, batch: Batch, strength: float, classifier: LabelClassifier
) -> dict[str, object]:
    """Measure how often the real image nearest to an edited image shows the same person as the original image.

    If the data do not identify persons, every image counts as a person of its own. The Euclidean distance is measured
    between pixels and, for a trained classifier, between its features. Pixels hardly identify a person in another
    photo. Features identify a person better, but they also depend on the edited attribute, so that the edit alone
    can change the nearest image.

    Args:
        run: run whose data contain the split.
        split: split of the edited images and of the real images that they are compared with.
        editor: the editing method.
        batch: images to edit.
        strength: strength of the edit.
        classifier: a trained classifier for distances between features; any other classifier is not used.

    Returns:
        `identity kept`: fraction of edited images whose nearest real image shows the same person. `identity unedited`:
        the same fraction at strength 0. `distance ratio`: distance between the edited image and its original, divided
        by the distance to the nearest image of another person. For a trained classifier, three more entries with the
        suffix `, features`.
    """
    spaces = {"": pixels} | ({", features": classifier.features} if isinstance(classifier, TrainedClassifier) else {})
    rows, groups = torch.arange(len(run.data.images(split))).split(ROWS_PER_CHUNK), run.annotations(split).groups
    persons = torch.cat(rows) if groups is None else groups
    own = persons[batch.index]
    result: dict[str, object] = {}
    for suffix, space in spaces.items():
        originals, kept = torch.cat([space(run.batch(split, r).target) for r in rows]), {}
        for alpha in (0.0, strength):
            d = feature_distances(space(editor.edit(batch, alpha)), originals)  # (N, number of images in the split)
            kept[alpha] = (persons[d.argmin(1)] == own).float()
            original = d[torch.arange(len(d)), batch.index]
            other = d.masked_fill(persons == own[:, None], torch.inf).amin(1)
        result[f"identity kept{suffix}"] = mean_and_error(kept[strength])
        result[f"identity unedited{suffix}"] = float(kept[0.0].mean())
        result[f"distance ratio{suffix}"] = mean_and_error(original / other)
    return result
