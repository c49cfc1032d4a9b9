"""Evaluation of a run: likelihood, reconstruction, latents and image quality in one table with errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from autoencoders.applications.base import check_count
from autoencoders.applications.evaluation.features import NEIGHBOURS, feature_rows, reconstruction_split, set_size
from autoencoders.applications.evaluation.images import classifier_rows, conditional_rows, reconstruction_rows
from autoencoders.applications.evaluation.latents import encode_latents, kl_figure, latent_rows, latents_table
from autoencoders.applications.evaluation.likelihood import bound_rows, likelihood_rows
from autoencoders.applications.evaluation.table import RESAMPLES, as_columns, as_metrics, markdown
from autoencoders.applications.label_classifiers import TrainedClassifier, fit_pixel_classifier, load_classifier
from autoencoders.models.evaluation import EVALUATION_SEED
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def evaluate(
    run: Run,
    *,
    split: str = "test",
    samples: int = 100,
    measured: int = 1000,
    together: int = 500,
    classifier: str | None = None,
    drawn: int = 5000,
    codes: int = 1000,
    seed: int = 0,
) -> ApplicationResult:
    """Measure likelihood, reconstruction errors, latents and image quality, each with a baseline.

    ELBO and its terms, importance-weighted likelihood, errors, active units, gap to the prior; FID, KID, density and
    coverage of samples and reconstructions in the features of a classifier; for a conditional model, how often the
    classifier recognizes the requested label, and the variation within a label.

    Args:
        run: the run.
        split: split whose images are measured.
        samples: K of the importance-weighted bound; published tables use 5000.
        measured: number of images, evenly spaced in the split, for this bound.
        together: number of pairs of image and sample that are decoded at a time; limits the memory.
        classifier: a run of `model=classifier`. Without it no features are compared, and logistic regression on pixels
            predicts the labels.
        drawn: maximum number of images of every set whose features are compared.
        codes: number of codes per label of a conditional model.
        seed: seed of samples and codes.

    Returns:
        The tables `evaluation`, `latents`, `markdown` (one row for a table of several runs) and `protocol` (how the
        numbers were measured); the figure `kl` for a model with a prior.

    Raises:
        UserError: if an option is invalid, or the classifier does not fit.
    """
    for name, value, least in (("samples", samples, 1), ("measured", measured, 2), ("together", together, 1),
                               ("drawn", drawn, 2), ("codes", codes, 2)):  # fmt: skip
        check_count(value, name, least)
    trained = None if classifier is None else load_classifier(run, classifier)
    rows = likelihood_rows(run, split)
    rows += bound_rows(run, split, min(measured, len(run.data.images(split))), samples, together, seed)
    rows += reconstruction_rows(run, split)
    tables: dict[str, pd.DataFrame] = {}
    figures: dict[str, Figure] = {}
    if run.model.has_prior:
        encoded = encode_latents(run, split)
        tables["latents"] = latents_table(encoded)
        rows += latent_rows(run, encoded)
        figures["kl"] = kl_figure(run, tables["latents"], split)
    rows += feature_rows(run, split, trained, drawn, seed)
    if run.model.context_size:
        rows += conditional_rows(run, split, trained or fit_pixel_classifier(run), codes, seed)
    rows += classifier_rows(run, split, trained) if trained else []
    table = pd.DataFrame([as_columns(row) for row in rows])
    words = [*describe_likelihood(run, table, split, samples, together, seed),
             *describe_classifier(run, table, split, trained, drawn, seed),
             f"weights of step {run.step}; +- is one standard error over images"]  # fmt: skip
    protocol = "; ".join(words)
    tables = {"evaluation": table, **tables, "markdown": markdown(run, table)}
    tables["protocol"] = pd.DataFrame({"protocol": [protocol]})
    return ApplicationResult(as_metrics(table), figures, tables)


def describe_likelihood(run: Run, table: pd.DataFrame, split: str, samples: int, together: int, seed: int) -> list[str]:
    """Describe how likelihood, errors and latents were measured."""
    images, train = len(run.data.images(split)), len(run.data.images("train"))
    drawn = f"ELBO with one sample per image, noise by row, seed {EVALUATION_SEED}; "
    words = [
        f"{run.title}; {split} split, {images} images",
        f"{drawn if run.model.has_prior else ''}errors of {'posterior means' if run.model.has_prior else 'codes'}, "
        f"clipped to [0, 1]; PCA and mean image of {train} training images",
    ]
    if run.model.has_prior:
        bound = table[table["measure"].str.startswith("IW-NLL")].iloc[0]
        words.append(f"IW-NLL on {bound['images']} evenly spaced images, K={samples} samples of q(z|x), noise by row "
                     f"and sample, seed {seed}, log-sum-exp in float64, {together} pairs at a time")  # fmt: skip
        words.append(f"gap to prior: one sample per image, {RESAMPLES} bootstrap resamples and draws of N(0, I)")
    return words


def describe_classifier(
    run: Run, table: pd.DataFrame, split: str, classifier: TrainedClassifier | None, drawn: int, seed: int
) -> list[str]:
    """Describe how the images were evaluated, and with which classifier."""
    if classifier is None:
        return []
    accuracy = table[(table["measure"] == "classifier") & (table["method"] == classifier.name)].iloc[0]
    accuracy_text = f"correct on {accuracy['value']:.2%} of {accuracy['images']} real {split} images"
    return [
        f"classifier {classifier.run.path} ({classifier.name}), "
        f"{accuracy_text if accuracy['images'] else 'without labels to evaluate it'}",
        f"FID, KID (all pairs, cubic kernel, unbiased), density and coverage (k={NEIGHBOURS}) of "
        f"{classifier.space}, in float64, compared with {set_size(run, split, drawn)} evenly spaced {split} images; "
        f"all sets have the same number of images, seed {seed}, "
        f"reconstructions of {reconstruction_split(split)} images; "
        f"+- of FID by {RESAMPLES} bootstrap resamples, of KID by jackknife",
    ]
