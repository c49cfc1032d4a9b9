"""Edits along a direction, and their effect on the logits of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import bootstrap_error, join_names, mean_and_error, spread_rows
from autoencoders.applications.label_classifiers import (
    LabelClassifier,
    TrainedClassifier,
    attribute_logits,
    binary_labels,
    true_labels,
)
from autoencoders.applications.representations import MAX_SIDE, attributes_or_classes, pixels, representations
from autoencoders.latent.directions import attribute_direction
from autoencoders.metrics.probes import LinearProbe, auroc
from autoencoders.metrics.retrieval import feature_distances
from autoencoders.runs.run import Run
from autoencoders.types import Batch, UserError
from autoencoders.utils.chunks import ROWS_PER_CHUNK

METHODS = ("mean_difference", "logistic")
"""Directions: the difference of the mean codes with and without the attribute, and its component along the normal of a
logistic regression."""

LIMIT = 10_000
"""Maximum number of training images that directions are fitted to, and of held-out images that calibrate the
classifier."""


class Editor(NamedTuple):
    """A method that edits images.

    Attributes:
        name: name in tables.
        step: vector that strength 1 adds to a code.
        encode: batch -> codes.
        decode: codes and their batch -> images.
    """

    name: str
    step: Tensor
    encode: Callable[[Batch], Tensor]
    decode: Callable[[Tensor, Batch], Tensor]

    def edit(self, batch: Batch, strength: float) -> Tensor:
        """Return images (B, C, H, W) in [0, 1] with the attribute changed by `strength` steps."""
        return self.decode(self.encode(batch) + strength * self.step, batch).clamp(0, 1)


class CalibratedClassifier(NamedTuple):
    """A classifier, calibrated on real held-out images.

    Attributes:
        classifier: a trained classifier, or logistic regression on pixels.
        names: A attributes, or classes.
        chosen: index of the edited attribute.
        gaps: (A,) differences of the mean logits between real images with and without each attribute.
        aurocs: (A,) AUROCs of the logits on these images.
    """

    classifier: LabelClassifier
    names: tuple[str, ...]
    chosen: int
    gaps: Tensor
    aurocs: list[float]

    def logits(self, images: Tensor) -> Tensor:
        """Return logits (N, A) of images (N, C, H, W)."""
        return attribute_logits(self.classifier, images)


def fit_editors(
    run: Run, split: str, known: dict[str, Tensor], chosen: int, others: Sequence[int], method: str
) -> tuple[list[Editor], dict[str, tuple[float, float]]]:
    """Return the model, PCA and pixels as editors, and the AUROC of each direction on held-out images.

    Args:
        run: the run.
        split: split of the held-out images.
        known: split -> (N, A): 1 with, 0 without, NaN unknown.
        chosen: index of the attribute.
        others: attributes that the direction keeps equal.
        method: one of METHODS.

    Returns:
        The editors, the model first, and name -> AUROC with its bootstrap error.
    """
    pca, steps, aurocs = run.pca(), {}, {}
    rows = known["train"][:, chosen].isfinite().nonzero().flatten()
    rows = rows[spread_rows(LIMIT, len(rows))]
    y = known["train"][rows]
    equal = [v[rows].numpy() for v in attributes_or_classes(run.annotations("train"))[0].T[list(others)]]
    kept = known[split][:, chosen].isfinite().nonzero().flatten()
    positive = (known[split][kept, chosen] == 1).numpy()
    held_out = representations(run, split, kept, pca)
    for name, z in representations(run, "train", rows, pca).items():
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
    linear = Editor(pca.name, steps[pca.name], lambda b: pca.encode(b.x), lambda z, b: pca.decode(z))
    return [model, linear, Editor("pixels", picture, lambda b: b.x, lambda z, b: z)], aurocs


def hyperplane_normal(z: Tensor, y: Tensor) -> np.ndarray:
    """Return the (Z,) normal of a logistic regression of an attribute (N, 1), 0 or 1, on codes (N, Z)."""
    return LinearProbe(10 / len(z), iterations=1000).fit(z, y.float()).normals[0].double().numpy()


def _auroc_of_rows(scores: np.ndarray, positive: np.ndarray, rows: np.ndarray) -> float:
    return auroc(scores[rows], positive[rows])


def calibrate_classifier(run: Run, split: str, classifier: LabelClassifier, attribute: str) -> CalibratedClassifier:
    """Calibrate a classifier on real images of `split`.

    Raises:
        UserError: if the classifier does not predict the attribute.
    """
    names = classifier.labels.names
    if attribute not in names:
        raise UserError(
            f"The classifier ({classifier.name}) does not predict {attribute}. It predicts: {join_names(names)}."
        )
    rows = spread_rows(LIMIT, len(run.data.images(split)))
    logits = torch.cat([attribute_logits(classifier, run.batch(split, r).target) for r in rows.split(ROWS_PER_CHUNK)])
    y = binary_labels(true_labels(run, split, classifier.labels)[rows], classifier.labels)
    columns = list(zip(logits.T, y.T, strict=True))
    gaps = torch.stack([a[b == 1].mean() - a[b == 0].mean() for a, b in columns])
    aurocs = [auroc(a[b.isfinite()], b[b.isfinite()] == 1) for a, b in columns]
    return CalibratedClassifier(classifier, names, names.index(attribute), gaps, aurocs)


def dose_response(editor: Editor, batch: Batch, gauge: CalibratedClassifier, alphas: Sequence[float]) -> Tensor:
    """Return the shifts of the logits relative to strength 0, in gaps, (strengths, N, A)."""
    start = gauge.logits(editor.edit(batch, 0.0))
    return torch.stack([(gauge.logits(editor.edit(batch, a)) - start) / gauge.gaps for a in alphas])


def fit_slopes(shifts: Tensor, alphas: Sequence[float]) -> Tensor:
    """Return (N, A) shifts per unit of strength, by least squares through the origin, from (strengths, N, A)."""
    a = torch.tensor(alphas, dtype=shifts.dtype)
    return (a[:, None, None] * shifts).sum(0) / a.square().sum()


def measure_identity(
    run: Run, split: str, editor: Editor, batch: Batch, strength: float, classifier: LabelClassifier
) -> dict[str, object]:
    """Measure whether the nearest real image of the split to an edited image shows the same person.

    If the data has no persons, every image is a person. Distances are Euclidean, of pixels, which hardly identify a
    person in another photo, and of the features of a trained classifier, which identify it better but also depend on
    the edited attribute: the share decreases by the edit itself.

    Returns:
        `identity kept`, the share; `distance ratio`, the distance of the edited image to its original divided by that
        to the nearest other person; `identity unedited`, the share at strength 0; the same with `, features`.
    """
    spaces = {"": pixels} | ({", features": classifier.features} if isinstance(classifier, TrainedClassifier) else {})
    rows, groups = torch.arange(len(run.data.images(split))).split(ROWS_PER_CHUNK), run.annotations(split).groups
    persons = torch.cat(rows) if groups is None else groups
    own = persons[batch.index]
    result: dict[str, object] = {}
    for suffix, space in spaces.items():
        originals, kept = torch.cat([space(run.batch(split, r).target) for r in rows]), {}
        for alpha in (0.0, strength):
            d = feature_distances(space(editor.edit(batch, alpha)), originals)  # (N, split)
            kept[alpha] = (persons[d.argmin(1)] == own).float()
            original = d[torch.arange(len(d)), batch.index]
            other = d.masked_fill(persons == own[:, None], torch.inf).amin(1)
        result[f"identity kept{suffix}"] = mean_and_error(kept[strength])
        result[f"identity unedited{suffix}"] = float(kept[0.0].mean())
        result[f"distance ratio{suffix}"] = mean_and_error(original / other)
    return result
