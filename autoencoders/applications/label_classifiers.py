"""Classifiers of images: a trained one if given, else logistic regression on pixels, fitted to the run's data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import join_names, spread_rows
from autoencoders.applications.representations import binary_attributes, pixels
from autoencoders.metrics.probes import LinearProbe, tune_probe
from autoencoders.models.classifier import Classifier as Network
from autoencoders.runs import loading
from autoencoders.runs.run import Run
from autoencoders.types import Context, UserError
from autoencoders.utils.chunks import ROWS_PER_CHUNK

NOISE = 0.05
"""Standard deviation of the noise added to the pixels that the logistic regression is fitted to."""
LIMIT = 10_000
"""Maximum number of training images, and of validation images, that the logistic regression is fitted to."""


class LabelClassifier(Protocol):
    """Predicts labels of images. Its accuracy is measured where it is used."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def labels(self) -> Context:
        """The classes or attributes that it predicts."""

    @property
    def space(self) -> str:
        """Description of its features."""

    def features(self, x: Tensor) -> Tensor:
        """Return features (N, F) of images (N, C, H, W) in [0, 1], on the CPU."""

    def logits(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) or (N, A), on the CPU."""


@dataclass
class TrainedClassifier:
    """A run of `model=classifier`."""

    run: Run

    @property
    def network(self) -> Network:
        """The classifier itself."""
        return cast("Network", self.run.model)  # checked when it is loaded

    @property
    def name(self) -> str:
        """Name of the run, and its number of steps."""
        return f"{self.run.config['name']}, step {self.run.step}"

    @property
    def labels(self) -> Context:
        """Labels of its data."""
        return require_labels(self.run.model.labels)

    @property
    def space(self) -> str:
        """Description of its features."""
        return f"{self.network.width} features of the classifier"

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Return the features of images."""
        return self._apply(x, self.network.features)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of images."""
        return self._apply(x, self.network)

    def _apply(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        device = self.run.model.device
        return torch.cat([function(rows.clamp(0, 1).to(device)).float().cpu() for rows in x.split(ROWS_PER_CHUNK)])


@dataclass
class PixelClassifier:
    """Logistic regression on pixels, averaged down to at most 32 a side."""

    probe: LinearProbe
    labels: Context
    name = "stand-in: logistic regression on pixels"
    space = "pixels"

    def features(self, x: Tensor) -> Tensor:
        """Return the pixels."""
        return pixels(x.clamp(0, 1))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of images."""
        return self.probe.logits(self.features(x))


def get_classifier(run: Run, path: str | None) -> LabelClassifier:
    """Return the given classifier, or logistic regression fitted to the run's training images.

    Raises:
        UserError: if the given classifier does not fit, or the data has no labels.
    """
    return fit_pixel_classifier(run) if path is None else load_classifier(run, path)


def load_classifier(run: Run, path: str) -> TrainedClassifier:
    """Load the classifier at a path and check that it fits the run.

    Raises:
        UserError: if there is no classifier, or it was trained on other images or labels.
    """
    try:
        opened = loading.open_run(path)
    except UserError as error:
        raise UserError(f"The classifier cannot be loaded: {error}") from error
    if not isinstance(opened.model, Network):
        raise UserError(
            f"classifier must be a run of model=classifier, got {opened.model.name} in {path}. Omit it, or train one: "
            f"python -m autoencoders.train model=classifier data={run.data.name}."
        )
    if opened.model.shape != run.model.shape:
        raise UserError(
            f"The classifier {path} must take images of shape {run.model.shape}, got {opened.model.shape}. Use one "
            f"trained on data={run.data.name} at this size."
        )
    own, predicted = known_labels(run), require_labels(opened.model.labels)
    fits = own is None or (own == predicted if predicted.kind == "classes" else set(predicted.names) <= set(own.names))
    if own is not None and not fits:
        raise UserError(
            f"The classifier {path} must predict the {own.kind} {_abbreviate(own)} of the run's data, got the "
            f"{predicted.kind} {_abbreviate(predicted)}. Use one trained on data={run.data.name}."
        )
    opened.model.to(run.model.device)
    return TrainedClassifier(opened)


def require_labels(labels: Context | None) -> Context:
    """Return the labels of a model that has some."""
    if labels is None:
        raise UserError("The model is not conditioned on labels. Use a run of a conditional model.")
    return labels


def _abbreviate(labels: Context) -> str:
    return join_names(labels.names[:8]) + (", ..." if len(labels.names) > 8 else "")


def fit_pixel_classifier(run: Run) -> PixelClassifier:
    """Fit logistic regression to training images, with a regularization chosen on validation images."""
    labels = known_labels(run)
    if labels is None:
        raise UserError("A classifier needs labels, but the data has neither classes nor attributes. Use other data.")
    datasets, generator = [], torch.Generator().manual_seed(0)
    for split in ("train", "val"):
        rows = spread_rows(LIMIT, len(run.data.images(split)))
        x = torch.cat([pixels(run.batch(split, some).target) for some in rows.split(ROWS_PER_CHUNK)])
        # Some pixels hardly vary among real images. Without noise, a small deviation in them would dominate.
        noisy = x + NOISE * torch.randn(x.shape, generator=generator)
        datasets.append((noisy, true_labels(run, split, labels)[rows]))
    return PixelClassifier(tune_probe(datasets[0], datasets[1], outputs=labels.size), labels)


# Labels -------------------------------------------------------------------------------------------------


def known_labels(run: Run) -> Context | None:
    """Return the attributes, else the classes, of the run's data, whether or not its model uses them."""
    known = run.annotations("train")
    if known.attributes is not None:
        return Context("attributes", tuple(known.attribute_names))
    return None if known.classes is None else Context("classes", tuple(known.class_names))


def true_labels(run: Run, split: str, labels: Context) -> Tensor:
    """Return the (N,) int64 classes of a split, or (N, A) attributes of these names: 1 with, 0 without, NaN unknown."""
    known = run.annotations(split).classes
    if labels.kind == "classes" and known is not None:
        return known
    values, names = binary_attributes(run, (split,))
    return values[split][:, [names.index(name) for name in labels.names]]


def correct_predictions(
    classifier: LabelClassifier, x: Tensor, labels: Tensor, columns: list[int] | None = None
) -> Tensor:
    """Return 1 where the classifier predicts the given label, else 0, and NaN where it is unknown.

    Args:
        classifier: a trained classifier, or logistic regression on pixels.
        x: (N, C, H, W).
        labels: (N,) classes, or (N, A) attributes as 1, 0 or NaN.
        columns: indices of these attributes among those of the classifier; None for all.

    Returns:
        (N, 1) for classes, (N, A) for attributes, float64.
    """
    logits = classifier.logits(x)
    if classifier.labels.kind == "classes":
        return (logits.argmax(1) == labels).double()[:, None]
    predicted = (logits if columns is None else logits[:, columns]) > 0
    return torch.where(labels.double().isfinite(), (predicted == (labels > 0)).double(), torch.nan)


def attribute_logits(classifier: LabelClassifier, x: Tensor) -> Tensor:
    """Return (N, A) logits of attributes; for classes, of each class against all others: log p - log(1 - p)."""
    logits = classifier.logits(x)
    if classifier.labels.kind == "attributes":
        return logits
    count = logits.shape[1]
    others = logits[:, None, :].expand(-1, count, -1).masked_fill(torch.eye(count, dtype=torch.bool), -torch.inf)
    return logits - others.logsumexp(2)


def binary_labels(known: Tensor, labels: Context) -> Tensor:
    """Return (N, A) as 1, 0 or NaN: attributes unchanged, classes (N,) one-hot."""
    return known if labels.kind == "attributes" else functional.one_hot(known, labels.size).float()
