"""Reconstruction errors, label accuracy of a conditional model, and accuracy of the classifier that measures it."""

from __future__ import annotations

import math

import torch

from autoencoders.applications.base import mean_and_error
from autoencoders.applications.evaluation.table import Row
from autoencoders.applications.label_accuracy import accuracy_tables, labels_to_decode
from autoencoders.applications.label_classifiers import (
    LabelClassifier,
    TrainedClassifier,
    correct_predictions,
    true_labels,
)
from autoencoders.applications.reconstruct import reconstruction_errors
from autoencoders.runs.run import Run


def reconstruction_rows(run: Run, split: str) -> list[Row]:
    """Return rows with MSE, PSNR and SSIM of three reconstructions of a split.

    The reconstructions are those of the model from posterior means, of PCA with one component per latent, and the mean
    training image.
    """
    table = reconstruction_errors(run, split).to_dict("records")
    columns = {"mse": "pixels in [0, 1]", "psnr per image": "dB", "ssim": ""}
    return [
        Row({"mse": "MSE", "psnr per image": "PSNR", "ssim": "SSIM"}[key], unit, row["method"],
            (row[key], row[f"{key} +-"]), row["images"])
        for key, unit in columns.items() for row in table
    ]  # fmt: skip


def conditional_rows(run: Run, split: str, classifier: LabelClassifier, codes: int, seed: int) -> list[Row]:
    """Return rows with the label accuracy of a conditional model, and the variation of its images within a label.

    The label accuracy is the fraction of decoded images for which the classifier predicts the requested label.

    Args:
        run: run of a conditional model.
        split: split of the real images that are used for comparison.
        classifier: a trained classifier, or logistic regression on pixels. The deviation of features is reported only
            for a trained classifier.
        codes: number of codes from N(0, I) per label. Each code is decoded once.
        seed: seed of the codes.
    """
    generator = torch.Generator().manual_seed(seed)
    table, _ = accuracy_tables(run, split, classifier, labels_to_decode(run, 1.0), codes, generator)
    rows = []
    for row in table.to_dict("records"):
        decoded = f"; mean images of p(x | z), {codes} codes per label" if row["method"] == run.model.name else ""
        value, note = (row["accuracy"], row["accuracy +-"]), f"by {classifier.name}{decoded}; {row['note']}"
        rows.append(Row("label accuracy", "fraction", row["method"], value, row["images"], note))
    spreads = {"pixel deviation within a label": "pixels in [0, 1]"}
    if isinstance(classifier, TrainedClassifier):
        spreads["feature deviation within a label"] = "features"
    for key, unit in spreads.items():
        rows += [Row(key, unit, r["method"], r[key], r["images"]) for r in table.to_dict("records")[:2]]
    return rows


def classifier_rows(run: Run, split: str, classifier: TrainedClassifier) -> list[Row]:
    """Return rows with the accuracy of the classifier on real images, and the accuracy of the most frequent label."""
    known = run.annotations(split)
    if known.classes is None and known.attributes is None:
        return [Row("classifier", "fraction", classifier.name, math.nan, 0, "n/a: the data have no labels")]
    labels, count = true_labels(run, split, classifier.labels), len(run.data.images(split))
    chunks = torch.arange(count).split(1000)
    correct = torch.cat(
        [correct_predictions(classifier, run.batch(split, rows).target, labels[rows]) for rows in chunks]
    ).nanmean(1)
    majority = classifier.network.majority.cpu()
    often = (labels == majority).double().reshape(count, -1)
    often = often.masked_fill(~labels.double().isfinite().reshape(count, -1), torch.nan).nanmean(1)
    named = [(classifier.name, correct), ("majority", often)]
    what = (
        classifier.labels.kind
        if classifier.labels.kind == "classes"
        else f"mean of {classifier.labels.size} attributes"
    )
    return [
        Row("classifier", "fraction", name, mean_and_error(each[each.isfinite()]), int(each.isfinite().sum()),
            f"accuracy on real {split} images, {what}; chosen on validation images")
        for name, each in named
    ]  # fmt: skip
