"""Edits along a direction, and what a classifier that saw real images alone makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import bootstrap_error, listed, mean_and_error, spread_rows
from autoencoders.applications.label_classifiers import Classifier, TrainedJudge, attribute_logits, positives, truth
from autoencoders.applications.representations import SIDE, attributes, pixels, representations
from autoencoders.latent.directions import attribute_direction
from autoencoders.metrics.probes import auroc
from autoencoders.metrics.retrieval import feature_distances
from autoencoders.runs.run import Run
from autoencoders.types import Batch, UserError

LIMIT = 10_000
"""Training images that directions are fitted on, and held-out ones that the classifier is tried on, at most."""
AT_ONCE = 500


class Editor(NamedTuple):
    """A way to edit images.

    Attributes:
        name: what tables call it.
        step: what strength 1 adds to a code.
        encode: batch -> codes.
        decode: codes and their batch -> images.
    """

    name: str
    step: Tensor
    encode: Callable[[Batch], Tensor]
    decode: Callable[[Tensor, Batch], Tensor]

    def edit(self, batch: Batch, strength: float) -> Tensor:
        """Images (B, C, H, W) in [0, 1] with the attribute changed by so many steps."""
        return self.decode(self.encode(batch) + strength * self.step, batch).clamp(0, 1)


class Gauge(NamedTuple):
    """A classifier, and how its logits read: tried on real held-out images.

    Attributes:
        classifier: trained, or a stand-in.
        names: A attributes, or classes, that it tells.
        chosen: which of them is edited.
        gaps: (A,) by how much the mean logits of real images with and without each differ.
        aurocs: (A,) of its logits on these images: how far it can be trusted.
    """

    classifier: Classifier
    names: tuple[str, ...]
    chosen: int
    gaps: Tensor
    aurocs: list[float]

    def logits(self, images: Tensor) -> Tensor:
        """(N, A) of images (N, C, H, W)."""
        return attribute_logits(self.classifier, images)


def fitted(
    run: Run, split: str, known: dict[str, Tensor], chosen: int, others: Sequence[int], method: str
) -> tuple[list[Editor], dict[str, tuple[float, float]]]:
    """The model, PCA and pixels, each with its direction, and the AUROC of that direction on held-out images.

    Args:
        run: the run.
        split: the held-out images.
        known: split -> (N, A), 1 with, 0 without, NaN unknown.
        chosen: the attribute.
        others: those that the direction holds equal.
        method: see `direction`.

    Returns:
        The editors, the model first, and name -> AUROC with its bootstrap error.
    """
    pca, steps, aurocs = run.pca(), {}, {}
    rows = known["train"][:, chosen].isfinite().nonzero().flatten()
    rows = rows[spread_rows(LIMIT, len(rows))]
    y = known["train"][rows]
    equal = [v[rows].numpy() for v in attributes(run.annotations("train"))[0].T[list(others)]]
    kept = known[split][:, chosen].isfinite().nonzero().flatten()
    positive = (known[split][kept, chosen] == 1).numpy()
    held_out = representations(run, split, kept, pca)
    for name, z in representations(run, "train", rows, pca).items():
        step = attribute_direction(z.numpy(), (y[:, chosen] == 1).numpy(), method, equal)
        scores = held_out[name].double().numpy() @ step
        error = bootstrap_error(lambda i, s=scores: auroc(s[i], positive[i]), len(kept))
        aurocs[name], steps[name] = (auroc(scores, positive), error), torch.from_numpy(step).float()
    channels, *size = run.model.shape
    small = steps["pixels"].reshape(1, channels, *(min(SIDE, side) for side in size))
    picture = functional.interpolate(small, size, mode="bilinear")
    model = Editor(
        run.model.name, steps[run.model.name], lambda b: run.encode(b.x, b.y), lambda z, b: run.decode(z, b.y)
    )
    linear = Editor(pca.name, steps[pca.name], lambda b: pca.encode(b.x), lambda z, b: pca.decode(z))
    return [model, linear, Editor("pixels", picture, lambda b: b.x, lambda z, b: z)], aurocs


def gauged(run: Run, split: str, classifier: Classifier, attribute: str) -> Gauge:
    """A classifier, tried on real images of `split`.

    Raises:
        UserError: where the classifier does not tell the attribute.
    """
    names = classifier.labels.names
    if attribute not in names:
        raise UserError(f"The classifier ({classifier.name}) does not tell {attribute}. It tells: {listed(names)}.")
    rows = spread_rows(LIMIT, len(run.data.images(split)))
    logits = torch.cat([attribute_logits(classifier, run.batch(split, r).target) for r in rows.split(AT_ONCE)])
    y = positives(truth(run, split, classifier.labels)[rows], classifier.labels)
    columns = list(zip(logits.T, y.T, strict=True))
    gaps = torch.stack([a[b == 1].mean() - a[b == 0].mean() for a, b in columns])
    aurocs = [auroc(a[b.isfinite()], b[b.isfinite()] == 1) for a, b in columns]
    return Gauge(classifier, names, names.index(attribute), gaps, aurocs)


def dose(editor: Editor, batch: Batch, gauge: Gauge, alphas: Sequence[float]) -> Tensor:
    """(strengths, N, A): by how much every strength moves the classifier's logits, from strength 0, in gaps."""
    start = gauge.logits(editor.edit(batch, 0.0))
    return torch.stack([(gauge.logits(editor.edit(batch, a)) - start) / gauge.gaps for a in alphas])


def slopes(shifts: Tensor, alphas: Sequence[float]) -> Tensor:
    """(N, A) shift per unit of strength, least squares through the origin, of shifts (strengths, N, A)."""
    a = torch.tensor(alphas, dtype=shifts.dtype)
    return (a[:, None, None] * shifts).sum(0) / a.square().sum()


def identity(
    run: Run, split: str, editor: Editor, batch: Batch, strength: float, classifier: Classifier
) -> dict[str, object]:
    """Whether the nearest real image of the split to an edited one is of the same person.

    Where the data name no persons, a person is one image. Distances are Euclidean, of pixels, which hardly know a
    person in another photo, and of a trained classifier's features, which know more than pixels of what makes images alike
    but also see the edited attribute: the share falls by the edit itself.

    Returns:
        `identity kept`, the share; `distance ratio`, from the edited image to its own original over that to the
        nearest of another person; `identity unedited`, the share at strength 0; the same with `, features`.
    """
    spaces = {"": pixels} | ({", features": classifier.features} if isinstance(classifier, TrainedJudge) else {})
    rows, groups = torch.arange(len(run.data.images(split))).split(AT_ONCE), run.annotations(split).groups
    persons = torch.cat(rows) if groups is None else groups
    own, found = persons[batch.index], {}
    for suffix, space in spaces.items():
        originals, kept = torch.cat([space(run.batch(split, r).target) for r in rows]), {}
        for alpha in (0.0, strength):
            d = feature_distances(space(editor.edit(batch, alpha)), originals)  # (N, split)
            kept[alpha] = (persons[d.argmin(1)] == own).float()
            original = d[torch.arange(len(d)), batch.index]
            other = d.masked_fill(persons == own[:, None], torch.inf).amin(1)
        found[f"identity kept{suffix}"] = mean_and_error(kept[strength])
        found[f"identity unedited{suffix}"] = float(kept[0.0].mean())
        found[f"distance ratio{suffix}"] = mean_and_error(original / other)
    return found
