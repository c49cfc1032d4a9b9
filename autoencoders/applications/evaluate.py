"""Evaluation of a run: likelihood, reconstruction, latents and image quality in one table with standard errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from autoencoders.applications.base import check_count, refuse_validation
from autoencoders.applications.evaluation.extractors import FeatureExtractor, load_extractor
from autoencoders.applications.evaluation.features import (
    BOOTSTRAP_FEATURES,
    NEIGHBOURS,
    feature_rows,
    reconstruction_split,
    set_size,
)
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
    features: str = "classifier",
    drawn: int = 5000,
    codes: int = 1000,
    seed: int = 0,
) -> ApplicationResult:
    """Measure likelihood, reconstruction errors, latents and image quality, and compare them with baselines.

    Likelihood: negative ELBO, distortion, rate (KL divergence of the posterior from the prior), and the
    importance-weighted bound on -log p(x). Reconstruction: MSE, PSNR and SSIM. Latents: number of active units, and KL
    divergence of the aggregate posterior from the prior. Image quality: FID, KID, density and coverage of samples and
    of reconstructions, in the features of a network. For a conditional model also: how often the classifier
    recognizes the requested label, and the variation of the decoded images within a label.

    Args:
        run: trained run to evaluate.
        split: split whose images are measured. It must not be `val` for a conditional model, or if `classifier` is set,
            because the classifier was chosen on validation images.
        samples: K, the number of posterior samples per image for the importance-weighted bound. Published tables use
            5000.
        measured: number of images for the importance-weighted bound. They are evenly spaced in the split.
        together: number of pairs of image and posterior sample that are decoded at a time. A smaller number needs less
            memory.
        classifier: path of a run of `model=classifier`, or `pretrained:mnist-classifier`. If it is None, logistic
            regression on pixels predicts the labels.
        features: network whose features FID, KID, density and coverage compare: `classifier` (they are not computed
            without one), `inception:<path of the weights>` or `dinov2:<path of the weights>`; see
            `autoencoders.applications.evaluation.extractors`. The name of the network is part of the metrics' names.
        drawn: maximum number of images per set for FID, KID, density and coverage.
        codes: number of decoded codes per label for a conditional model.
        seed: seed of posterior samples, codes and generated images.

    Returns:
        Tables: `evaluation`, `latents` (only for a model with a prior), `markdown` (the model's results as one line of
        a Markdown table) and `protocol` (how the results were measured). Figure `kl`, only if the rate has a closed
        form. A model without a prior has no rows for ELBO, rate and importance-weighted bound. The bound is compared
        with the row `-ELBO, images of IW-NLL`, which is measured on the same images. The row `-ELBO` is measured on all
        images.

    Raises:
        UserError: if an option is invalid, or the classifier does not support these data or this split.
    """
    if run.model.context_size or classifier is not None:
        refuse_validation(split, "the classifier")
    for name, value, least in (("samples", samples, 1), ("measured", measured, 2), ("together", together, 1),
                               ("drawn", drawn, 2), ("codes", codes, 2)):  # fmt: skip
        check_count(value, name, least)
    trained = None if classifier is None else load_classifier(run, classifier)
    extractor = load_extractor(run, features, trained)
    rows = likelihood_rows(run, split)
    rows += bound_rows(run, split, min(measured, len(run.data.images(split))), samples, together, seed)
    rows += reconstruction_rows(run, split)
    tables: dict[str, pd.DataFrame] = {}
    figures: dict[str, Figure] = {}
    if run.model.has_prior:
        encoded = encode_latents(run, split)
        tables["latents"] = latents_table(encoded)
        rows += latent_rows(run, encoded)
        if run.model.prior.closed_form:
            figures["kl"] = kl_figure(run, tables["latents"], split)
    rows += feature_rows(run, split, extractor, drawn, seed)
    if run.model.context_size:
        rows += conditional_rows(run, split, trained or fit_pixel_classifier(run), codes, seed)
    rows += classifier_rows(run, split, trained) if trained else []
    table = pd.DataFrame([as_columns(row) for row in rows])
    words = [*describe_likelihood(run, table, split, samples, together, seed),
             *describe_classifier(table, split, trained),
             *describe_features(run, split, extractor, drawn, seed),
             f"model weights of optimizer step {run.step}; +- is one standard error over images"]  # fmt: skip
    protocol = "; ".join(words)
    tables = {"evaluation": table, **tables, "markdown": markdown(run, table)}
    tables["protocol"] = pd.DataFrame({"protocol": [protocol]})
    return ApplicationResult(as_metrics(table), figures, tables)


def describe_likelihood(run: Run, table: pd.DataFrame, split: str, samples: int, together: int, seed: int) -> list[str]:
    """Return phrases for the table `protocol`: how likelihood, reconstruction errors and latents were measured."""
    images, train = len(run.data.images(split)), len(run.data.images("train"))
    elbo = f"ELBO with one posterior sample per image, whose noise depends on image index and seed {EVALUATION_SEED}; "
    codes = "posterior means" if run.model.has_prior else "codes"
    words = [
        f"{run.title}; {split} split, {images} images",
        f"{elbo if run.model.has_prior else ''}reconstructions from {codes}, clipped to [0, 1]; "
        f"baselines are PCA and the mean image of {train} training images",
    ]
    if run.model.has_prior:
        bound = table[table["measure"].str.startswith("IW-NLL")].iloc[0]
        words.append(f"IW-NLL on {bound['images']} evenly spaced images with K={samples} samples of q(z|x) per image, "
                     f"seed {seed}, log-sum-exp in float64, {together} pairs decoded at a time, also for the row "
                     "-ELBO, images of IW-NLL")  # fmt: skip
    if run.model.has_standard_prior:
        words.append(f"aggregate gap from one posterior sample per image, with {RESAMPLES} bootstrap samples, and "
                     f"{RESAMPLES} sample sets of N(0, I) as reference")  # fmt: skip
    return words


def describe_classifier(table: pd.DataFrame, split: str, classifier: TrainedClassifier | None) -> list[str]:
    """Return a phrase for the table `protocol`: which classifier was used."""
    if classifier is None:
        return []
    accuracy = table[(table["measure"] == "classifier") & (table["method"] == classifier.name)].iloc[0]
    accuracy_text = f"correct on {accuracy['value']:.2%} of {accuracy['images']} real {split} images"
    return [
        f"classifier {classifier.run.source or classifier.run.path} ({classifier.name}), "
        f"{accuracy_text if accuracy['images'] else 'accuracy not measured because the data have no labels'}"
    ]


def describe_features(run: Run, split: str, extractor: FeatureExtractor | None, drawn: int, seed: int) -> list[str]:
    """Return a phrase for the table `protocol`: how image quality was measured."""
    if extractor is None:
        return []
    return [
        f"FID, KID (all pairs, cubic kernel, unbiased), density and coverage (k={NEIGHBOURS} nearest neighbors) in "
        f"{extractor.space}, in float64, compared with {set_size(run, split, drawn)} evenly spaced {split} images; "
        f"all sets have the same number of images; samples with seed {seed}; "
        f"reconstructions of {reconstruction_split(split)} images; "
        f"standard error of FID from {RESAMPLES} bootstrap samples (not computed for more than {BOOTSTRAP_FEATURES} "
        "features), of KID from the jackknife",
    ]
