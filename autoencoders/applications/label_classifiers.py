"""Classifiers that predict image labels: a trained classifier if one is given, else logistic regression on pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import spread_rows
from autoencoders.applications.representations import binary_attributes, pixels
from autoencoders.metrics.probes import LinearProbe, tune_probe
from autoencoders.models.classifier import Classifier as Network
from autoencoders.runs import references
from autoencoders.runs.run import Run
from autoencoders.types import Context, UserError
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.texts import list_names

NOISE = 0.05
"""Standard deviation of the noise that is added to pixels in [0, 1] before the logistic regression is fitted."""
LIMIT = 10_000
"""Maximum number of training images, and of validation images, for fitting the logistic regression."""


class LabelClassifier(Protocol):
    """Interface of classifiers that predict the class or the attributes of images."""

    @property
    def name(self) -> str:
        """Return the display name of the classifier in tables."""

    @property
    def labels(self) -> Context:
        """Return the classes or attributes that the classifier predicts."""

    @property
    def space(self) -> str:
        """Return a short description of the features, for tables."""

    def features(self, x: Tensor) -> Tensor:
        """Return features (N, F) of images (N, C, H, W) in [0, 1], on the CPU."""

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of images (N, C, H, W): (N, K) for K classes or (N, A) for A attributes, on the CPU."""


@dataclass
class TrainedClassifier:
    """A classifier that was trained in a run of `model=classifier`.

    Attributes:
        run: the run of `model=classifier`.
    """

    run: Run

    @property
    def protocol(self) -> str:
        """Return an empty text: metrics without the name of a network are those of a classifier."""
        return ""

    @property
    def network(self) -> Network:
        """Return the model of the classifier run."""
        return cast("Network", self.run.model)  # `load_classifier` checks the type

    @property
    def name(self) -> str:
        """Return the name of the run and the optimizer step of its weights, for tables."""
        return f"{self.run.config['name']}, step {self.run.step}"

    @property
    def labels(self) -> Context:
        """Return the classes or attributes that the classifier was trained on."""
        return require_labels(self.run.model.labels)

    @property
    def space(self) -> str:
        """Return a description of the features, with their number, for tables."""
        return f"{self.network.width} features of the classifier"

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Return features (N, F) of images (N, C, H, W), on the CPU."""
        return self._apply(x, self.network.features)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of images (N, C, H, W): (N, K) for K classes or (N, A) for A attributes, on the CPU."""
        return self._apply(x, self.network)

    def _apply(self, x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        device = self.run.model.device
        return torch.cat([function(rows.clamp(0, 1).to(device)).float().cpu() for rows in x.split(ROWS_PER_CHUNK)])


@dataclass
class PixelClassifier:
    """Logistic regression on pixels. Larger images are first reduced to at most 32 x 32 pixels by averaging.

    Attributes:
        probe: the fitted logistic regression.
        labels: the classes or attributes that the classifier predicts.
    """

    probe: LinearProbe
    labels: Context
    name = "logistic regression on pixels"
    space = "pixels"

    def features(self, x: Tensor) -> Tensor:
        """Return the pixels (N, D) of images (N, C, H, W), reduced to at most 32 x 32 by averaging."""
        return pixels(x.clamp(0, 1))

    def logits(self, x: Tensor) -> Tensor:
        """Return the logits of images (N, C, H, W): (N, K) for K classes or (N, A) for A attributes."""
        return self.probe.logits(self.features(x))


def get_classifier(run: Run, path: str | None) -> LabelClassifier:
    """Return the classifier at `path`, or logistic regression fitted to the run's training images if `path` is None.

    Raises:
        UserError: if the classifier at `path` does not match the run's images or labels, or the data has no labels.
    """
    return fit_pixel_classifier(run) if path is None else load_classifier(run, path)


def load_classifier(run: Run, path: str) -> TrainedClassifier:
    """Load the classifier at `path`, and check that its image shape and its labels match those of the run.

    Args:
        run: run whose images are classified.
        path: a run folder, a checkpoint, an export, or a name such as `pretrained:mnist-classifier`.

    Raises:
        UserError: if there is no classifier at `path`, or its image shape or its labels do not match.
    """
    try:
        opened = references.load(path)
    except UserError as error:
        raise UserError(f"classifier={path} cannot be loaded: {error}") from error
    if not isinstance(opened.model, Network):
        raise UserError(
            f"classifier must be a run of model=classifier, got {opened.model.name} in {path}. Remove the option "
            f"classifier, or train a classifier: python -m autoencoders.train model=classifier data={run.data.name}."
        )
    if opened.model.shape != run.model.shape:
        raise UserError(
            f"classifier={path} must take images of shape {run.model.shape}, got {opened.model.shape}. Choose a "
            f"classifier that was trained on data={run.data.name} with images of shape {run.model.shape}."
        )
    own, predicted = known_labels(run), require_labels(opened.model.labels)
    fits = own is None or (own == predicted if predicted.kind == "classes" else set(predicted.names) <= set(own.names))
    if own is not None and not fits:
        raise UserError(
            f"classifier={path} must predict the {own.kind} {_abbreviate(own)} of the run's data, got the "
            f"{predicted.kind} {_abbreviate(predicted)}. Choose a classifier that was trained on data={run.data.name}."
        )
    opened.model.to(run.model.device)
    return TrainedClassifier(opened)


def require_labels(labels: Context | None) -> Context:
    """Return the labels of a model, after a check that they are not None.

    Raises:
        UserError: if the model has no labels.
    """
    if labels is None:
        raise UserError(
            "The model must be conditioned on labels, got a model without labels. Choose a run of a conditional model, "
            "such as model=cvae."
        )
    return labels


def _abbreviate(labels: Context) -> str:
    return list_names(labels.names[:8]) + (", ..." if len(labels.names) > 8 else "")


def fit_pixel_classifier(run: Run) -> PixelClassifier:
    """Fit logistic regression to the pixels of training images.

    The strength of the regularization is chosen on validation images.

    Raises:
        UserError: if the data has neither classes nor attributes.
    """
    labels = known_labels(run)
    if labels is None:
        raise UserError(
            "A classifier needs labels, but the data has neither classes nor attributes. Choose a run whose data has "
            "labels."
        )
    datasets, generator = [], torch.Generator().manual_seed(0)
    for split in ("train", "val"):
        rows = spread_rows(LIMIT, len(run.data.images(split)))
        x = torch.cat([pixels(run.batch(split, some).target) for some in rows.split(ROWS_PER_CHUNK)])
        # Some pixels hardly vary among real images. Without noise, a small change of these pixels would dominate.
        noisy = x + NOISE * torch.randn(x.shape, generator=generator)
        datasets.append((noisy, true_labels(run, split, labels)[rows]))
    return PixelClassifier(tune_probe(datasets[0], datasets[1], outputs=labels.size), labels)


# Labels -------------------------------------------------------------------------------------------------


def known_labels(run: Run) -> Context | None:
    """Return the labels of the run's data: the attributes, else the classes, else None.

    The result does not depend on whether the model uses these labels.
    """
    known = run.annotations("train")
    if known.attributes is not None:
        return Context("attributes", tuple(known.attribute_names))
    return None if known.classes is None else Context("classes", tuple(known.class_names))


def true_labels(run: Run, split: str, labels: Context) -> Tensor:
    """Return the true labels of all images in a split.

    Args:
        run: run whose data has the labels.
        split: split of the images.
        labels: the classes or attributes to return.

    Returns:
        Classes (N,) int64, or attributes (N, A) float32: 1 with the attribute, 0 without it, NaN if unknown.
    """
    known = run.annotations(split).classes
    if labels.kind == "classes" and known is not None:
        return known
    values, names = binary_attributes(run, (split,))
    return values[split][:, [names.index(name) for name in labels.names]]


def correct_predictions(
    classifier: LabelClassifier, x: Tensor, labels: Tensor, columns: list[int] | None = None
) -> Tensor:
    """Compare the predictions of a classifier with given labels: 1 if equal, 0 if different, NaN for unknown labels.

    Args:
        classifier: classifier that predicts the labels of the images.
        x: (N, C, H, W) images in [0, 1].
        labels: (N,) classes, or (N, A) attributes as 1, 0 or NaN (unknown).
        columns: indices of the A attributes among those of the classifier; None for all.

    Returns:
        (N, 1) float64 for classes, (N, A) float64 for attributes.
    """
    logits = classifier.logits(x)
    if classifier.labels.kind == "classes":
        return (logits.argmax(1) == labels).double()[:, None]
    predicted = (logits if columns is None else logits[:, columns]) > 0
    return torch.where(labels.double().isfinite(), (predicted == (labels > 0)).double(), torch.nan)


def attribute_logits(classifier: LabelClassifier, x: Tensor) -> Tensor:
    """Return one logit per attribute (N, A), or per class (N, K) for a classifier of K classes.

    The logit of a class is the logit of this class against all other classes: log p - log(1 - p).
    """
    logits = classifier.logits(x)
    if classifier.labels.kind == "attributes":
        return logits
    top = logits.argmax(1, keepdim=True)
    log_probability = logits.log_softmax(1)
    # log(1 - p) is exact for p <= 1/2. The largest logit may have p near 1, so its competitors are summed instead.
    log_rest = torch.log1p(-log_probability.exp().clamp(max=0.5))
    competitors = logits.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True) - logits.logsumexp(1, keepdim=True)
    return log_probability - log_rest.scatter(1, top, competitors)


def binary_labels(known: Tensor, labels: Context) -> Tensor:
    """Return labels as values 1, 0 or NaN (unknown): attributes (N, A) unchanged, classes (N,) one-hot (N, K)."""
    return known if labels.kind == "attributes" else functional.one_hot(known, labels.size).float()
