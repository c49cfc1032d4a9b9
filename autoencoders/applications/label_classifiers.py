"""Who classifiers what a run draws: a trained classifier where one was given, else a stand-in fitted to the pixels at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import listed, spread_rows
from autoencoders.applications.representations import binary_attributes, pixels
from autoencoders.metrics.probes import LinearProbe, tune_probe
from autoencoders.models.classifier import Classifier as Network
from autoencoders.runs import loading
from autoencoders.runs.run import ROWS_PER_CHUNK, Run
from autoencoders.types import Context, UserError

NOISE = 0.05
"""Standard deviation of what is added to the pixels that the stand-in learns from."""
LIMIT = 10_000
"""Training images, and validation images, at most, that the stand-in is fitted to."""


class Classifier(Protocol):
    """Sees labels in images, and knows how accurate it is in none: that is measured where it is used.

    Attributes:
        name: what tables call it.
        labels: the classes or attributes that it tells.
        space: what its features are, for a sentence.
    """

    name: str
    labels: Context
    space: str

    def features(self, x: Tensor) -> Tensor:
        """(N, F) of images (N, C, H, W) in [0, 1], on the CPU."""

    def logits(self, x: Tensor) -> Tensor:
        """(N, classes) or (N, A), on the CPU."""


@dataclass
class TrainedJudge:
    """A run of `model=classifier`."""

    run: Run

    @property
    def name(self) -> str:
        """Its run's, and how long it was trained."""
        return f"{self.run.config['name']}, step {self.run.step}"

    @property
    def labels(self) -> Context:
        """As its data reported them."""
        return self.run.model.labels

    @property
    def space(self) -> str:
        """Its features."""
        return f"{self.run.model.width} features of the classifier"

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """What its answer is read off."""
        return self._parts(x, self.run.model.features)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Its answer."""
        return self._parts(x, self.run.model)

    def _parts(self, x: Tensor, ask: object) -> Tensor:
        model = self.run.model
        return torch.cat([ask(part.clamp(0, 1).to(model.device)).float().cpu() for part in x.split(ROWS_PER_CHUNK)])


@dataclass
class StandIn:
    """Logistic regression on pixels, averaged down to at most 32 a side."""

    probe: LinearProbe
    labels: Context
    name = "stand-in: logistic regression on pixels"
    space = "pixels"

    def features(self, x: Tensor) -> Tensor:
        """The pixels."""
        return pixels(x.clamp(0, 1))

    def logits(self, x: Tensor) -> Tensor:
        """Of the probe."""
        return self.probe.logits(self.features(x))


def classifier_of(run: Run, path: str | None) -> Classifier:
    """The classifier that was given, or the stand-in, fitted to this run's training images.

    Raises:
        UserError: as `trained_classifier`; or where the data have no labels.
    """
    return stand_in(run) if path is None else trained_classifier(run, path)


def trained_classifier(run: Run, path: str) -> TrainedJudge:
    """The classifier at a path, if it can classifier this run's images.

    Raises:
        UserError: where there is no classifier, or one of other images or labels.
    """
    try:
        opened = loading.open_run(path)
    except UserError as error:
        raise UserError(f"The classifier cannot be opened: {error}") from error
    if not isinstance(opened.model, Network):
        raise UserError(
            f"classifier must be a run of model=classifier, and {path} holds a {opened.model.name}. Leave it out, or train one: "
            f"python -m autoencoders.train model=classifier data={run.data.name}."
        )
    if opened.model.shape != run.model.shape:
        raise UserError(
            f"The classifier {path} sees images of {opened.model.shape}, and this run's are of {run.model.shape}. Give one "
            f"that was trained on data={run.data.name} at this size."
        )
    own = known_labels(run)
    told = opened.model.labels
    fits = own is None or (own == told if told.kind == "classes" else set(told.names) <= set(own.names))
    if not fits:
        raise UserError(
            f"The classifier {path} tells the {told.kind} {_some(told)}, and this run's data have the {own.kind} "
            f"{_some(own)}. Give one that was trained on data={run.data.name}."
        )
    opened.model.to(run.model.device)
    return TrainedJudge(opened)


def _some(labels: Context) -> str:
    return listed(labels.names[:8]) + (", ..." if len(labels.names) > 8 else "")


def stand_in(run: Run) -> StandIn:
    """Fitted to training images, its penalty chosen on validation images."""
    labels = known_labels(run)
    if labels is None:
        raise UserError(
            "A classifier needs labels, and these data have neither classes nor attributes. Choose data that do."
        )
    parts, generator = [], torch.Generator().manual_seed(0)
    for split in ("train", "val"):
        rows = spread_rows(LIMIT, len(run.data.images(split)))
        x = torch.cat([pixels(run.batch(split, some).target) for some in rows.split(ROWS_PER_CHUNK)])
        # Some pixels hardly vary among real images: without noise, a trace of it in a drawn one would outvote the rest.
        noisy = x + NOISE * torch.randn(x.shape, generator=generator)
        parts.append((noisy, truth(run, split, labels)[rows]))
    return StandIn(tune_probe(*parts, outputs=labels.size), labels)


# Labels -------------------------------------------------------------------------------------------------


def known_labels(run: Run) -> Context | None:
    """The attributes, else the classes, that the run's data are annotated with, whether or not its model is told."""
    known = run.annotations("train")
    if known.attributes is not None:
        return Context("attributes", tuple(known.attribute_names))
    return None if known.classes is None else Context("classes", tuple(known.class_names))


def truth(run: Run, split: str, labels: Context) -> Tensor:
    """(N,) int64 classes of a split, or (N, A) attributes of these names, 1 with, 0 without, NaN unknown."""
    if labels.kind == "classes":
        return run.annotations(split).classes
    values, names = binary_attributes(run, (split,))
    return values[split][:, [names.index(name) for name in labels.names]]


def right(classifier: Classifier, x: Tensor, labels: Tensor, columns: list[int] | None = None) -> Tensor:
    """1 where the label that the classifier sees is the one given, else 0, NaN where it is unknown.

    Args:
        classifier: trained, or a stand-in.
        x: (N, C, H, W).
        labels: (N,) classes, or (N, A) attributes as 1, 0 or NaN.
        columns: which A of the classifier's attributes these are; None for all.

    Returns:
        (N, 1) for classes, (N, A) for attributes, float64.
    """
    logits = classifier.logits(x)
    if classifier.labels.kind == "classes":
        return (logits.argmax(1) == labels).double()[:, None]
    seen = (logits if columns is None else logits[:, columns]) > 0
    return torch.where(labels.double().isfinite(), (seen == (labels > 0)).double(), torch.nan)


def attribute_logits(classifier: Classifier, x: Tensor) -> Tensor:
    """(N, A) one for each attribute; of classes, each against all others: log p - log(1 - p)."""
    logits = classifier.logits(x)
    if classifier.labels.kind == "attributes":
        return logits
    count = logits.shape[1]
    others = logits[:, None, :].expand(-1, count, -1).masked_fill(torch.eye(count, dtype=torch.bool), -torch.inf)
    return logits - others.logsumexp(2)


def positives(known: Tensor, labels: Context) -> Tensor:
    """(N, A) as 1, 0 or NaN: attributes as they are, classes (N,) one-hot."""
    return known if labels.kind == "attributes" else functional.one_hot(known, labels.size).float()
