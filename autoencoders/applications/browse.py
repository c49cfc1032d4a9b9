"""Overview of the data (images, labels, counts) and of the distribution of the codes (histograms and moments)."""

from __future__ import annotations

import math

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import (
    check_count,
    column_variances,
    comparison_table,
    flatten_table,
    mean_and_error,
    spread_rows,
)
from autoencoders.data.card import DataCard, card_figure_arguments, describe_files, measure_data
from autoencoders.data.description import describe_data, description_rows
from autoencoders.data.folder import ImageFolderDataModule
from autoencoders.runs.run import Run
from autoencoders.types import SPLITS, Annotations, ApplicationResult
from autoencoders.utils.arrays import to_numpy

COLUMNS, PANELS, WIDE = 8, 15, 14
"""Images per row of a figure, maximum number of histograms, maximum number of characters of a class or file name."""
MOMENTS = ("mean", "variance", "skewness", "excess kurtosis")


def browse(
    run: Run,
    *,
    split: str = "test",
    images: str | None = None,
    count: int = 24,
    attributes: tuple[str, ...] | list[str] = (),
) -> ApplicationResult:
    """Show images with labels, counts per class or statistics per attribute, and the distribution of the codes.

    Args:
        run: trained run whose data and codes are shown.
        split: split of the images and codes.
        images: your own images to show after preprocessing, as a file or a folder; None for images of `split`.
        count: number of images in the figure.
        attributes: names of at most two attributes to show below the images. By default, the attributes that the model
            is conditioned on, else the first attribute of the data.

    Returns:
        Figures: `data` (the data card: examples, brightness, and images per class or correlations of attributes),
        `images`, `codes` (histograms of the latents with the largest variance) and `moments`. Tables: `card` (what the
        data are taken to mean, formats and sizes of the files, brightness, duplicates), `splits` (number of images),
        `classes` (number of images per class and split) or `attributes` (statistics of the values in all splits),
        `correlations` (of attributes in the training split), `latents` (moments of every latent), and `moments`
        (moments averaged over latents: of the codes, of whitened PCA codes, and of the same number of samples from a
        standard normal distribution).

    Raises:
        UserError: if an option is invalid, or the data do not have an attribute.
    """
    from autoencoders.figures.data_card import data_card
    from autoencoders.figures.labelled_grid import labelled_grid
    from autoencoders.figures.moments import code_histograms, moment_panels

    check_count(count, "count")
    if images is None:
        batch = run.batch(split, spread_rows(count, len(run.prepare().data.images(split))))
        x, words = (
            batch.target,
            image_labels(run.annotations(split).rows(batch.index), shown_attributes(run, split, attributes)),
        )
    else:
        x, words = run.read_images(images)
        x, words = x[:count], [name[:WIDE] for name in words[:count]]
    z = run.codes(split).z.double()
    order = column_variances(z).argsort(descending=True)
    table = moments(z)
    expected = normal_moments(len(z))
    panels = {name: (table[:, i].numpy(), *expected[name]) for i, name in enumerate(MOMENTS)}
    title = f"{run.title}: {len(z)} codes of {split}"
    leading = order[:PANELS]
    names = [f"z {i}, variance {table[i, 1]:.3g}" for i in leading.tolist()]
    curve = "N(0, 1)" if run.model.has_standard_prior else "fitted normal density"
    card = measure_data(run.data)
    figures = {
        "data": data_card(**card_figure_arguments(run.data, card)),
        "images": labelled_grid(to_numpy(x), words or [""] * len(x), f"{run.data.name}, {images or split}", COLUMNS),
        "codes": code_histograms(z[:, leading].numpy(), names, f"{title}; line: {curve}", run.model.has_standard_prior),
        "moments": moment_panels(panels, f"{title}; band: value for N(0, 1) +- two standard errors"),
    }
    compared = comparison_table(
        {name: summarize_moments(codes) for name, codes in compared_codes(run, split, z).items()}
    )
    latents = pd.DataFrame(table.numpy(), columns=list(MOMENTS))
    latents.insert(0, "latent", range(len(latents)))
    tables = {
        "card": card_table(run, card),
        **count_contents(run),
        **correlation_table(card),
        "latents": latents,
        "moments": compared,
    }
    return ApplicationResult(flatten_table(compared), figures, tables)


def card_table(run: Run, card: DataCard) -> pd.DataFrame:
    """Return the table `card`, with the columns `item` and `value`."""
    rows = dict(description_rows(describe_data(run.data)))
    notes = [("note", text) for label, text in description_rows(describe_data(run.data)) if label == "note"]
    rows.pop("note", None)
    for split, values in card.brightness.items():
        spread = f", standard deviation over images {values.std():.3f}" if len(values) > 1 else ""
        rows[f"brightness, {split}"] = f"mean {values.mean():.3f}{spread}"
    if isinstance(run.data, ImageFolderDataModule):
        rows |= describe_files([file for split in SPLITS for file in run.data.image_files(split)])
    rows["duplicates"] = ", ".join(f"{split} {count:,}" for split, count in run.data.duplicate_counts().items())
    return pd.DataFrame([*rows.items(), *notes], columns=["item", "value"])


def correlation_table(card: DataCard) -> dict[str, pd.DataFrame]:
    """Return the table `correlations` with one row and one column per attribute; no table without attributes."""
    if not card.attribute_names:
        return {}
    table = pd.DataFrame(card.correlations.numpy(), columns=list(card.attribute_names))
    table.insert(0, "attribute", list(card.attribute_names), allow_duplicates=True)
    return {"correlations": table}


def shown_attributes(run: Run, split: str, attributes: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return the names of at most two attributes whose values are shown below the images."""
    known = run.annotations(split)
    if attributes:
        for name in attributes:
            known.attribute(name)  # raises UserError if there is no such attribute
        return tuple(attributes)[:2]
    if run.model.labels is not None and run.model.labels.kind == "attributes":
        return run.model.labels.names[:2]
    return known.attribute_names[:1]


def image_labels(known: Annotations, attributes: tuple[str, ...]) -> list[str]:
    """Return one text per image: its class, or the values of `attributes`; an empty list if the data have neither."""
    if known.classes is not None:
        return [known.class_names[c][:WIDE] for c in known.classes.tolist()]
    if known.attributes is None or not attributes:
        return []
    columns = [(name, known.attribute(name).tolist()) for name in attributes]

    def word(value: float) -> str:
        return "?" if math.isnan(value) else f"{value:.1f}"

    rows = range(len(known.attributes))
    return [" ".join(f"{name[:7]} {word(values[i])}" for name, values in columns) for i in rows]


def count_contents(run: Run) -> dict[str, pd.DataFrame]:
    """Return tables about the data.

    `splits`: number of images per split. `classes`: number of images per class and split, if the data have classes.
    `attributes`: statistics of every attribute over all splits, if the data have attributes.
    """
    annotations = {split: run.annotations(split) for split in ("train", "val", "test")}
    first = annotations["train"]
    tables = {"splits": pd.DataFrame([{k: len(run.data.images(k)) for k in annotations}])}
    if first.classes is not None:
        counts = {}
        for name, known in annotations.items():
            if known.classes is not None:
                counts[name] = torch.bincount(known.classes, minlength=len(known.class_names)).tolist()
        tables["classes"] = pd.DataFrame({"class": list(first.class_names), **counts})
    if first.attributes is not None:
        values = torch.cat([v.attributes for v in annotations.values() if v.attributes is not None]).double().numpy()
        frame = pd.DataFrame(values, columns=list(first.attribute_names))
        tables["attributes"] = frame.describe().T.reset_index(names="attribute")
        tables["attributes"]["share above 0"] = (frame > 0).sum().to_numpy() / frame.notna().sum().to_numpy()
    return tables


def moments(z: Tensor) -> Tensor:
    """Return a float64 tensor (Z, 4): mean, variance, skewness and excess kurtosis of every latent of codes (N, Z)."""
    mean, deviation = z.mean(0), z.std(0, unbiased=False).clamp(min=1e-12)
    standard = (z - mean) / deviation
    return torch.stack([mean, column_variances(z), standard.pow(3).mean(0), standard.pow(4).mean(0) - 3], dim=1)


def normal_moments(count: int) -> dict[str, tuple[float, float]]:
    """Return the moments of a standard normal distribution: moment name -> (value, standard error).

    The standard errors are first-order approximations for `count` samples.
    """
    errors = (1 / count, 2 / count, 6 / count, 24 / count)
    return {n: (v, math.sqrt(e)) for n, v, e in zip(MOMENTS, (0.0, 1.0, 0.0, 0.0), errors, strict=True)}


def compared_codes(run: Run, split: str, z: Tensor) -> dict[str, Tensor]:
    """Return display name -> codes: of the model, of whitened PCA, and samples from a standard normal distribution.

    Args:
        run: trained run.
        split: split of the images.
        z: the model's codes (N, Z) of this split.
    """
    pca = run.pca(whiten=True)
    whitened = torch.cat([pca.encode(batch.x) for batch in run.data.evaluation_batches(split)]).double()
    drawn = torch.randn(z.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {run.model.name: z, pca.name: whitened, "standard normal": drawn}


def summarize_moments(z: Tensor) -> dict[str, object]:
    """Return moments of codes (N, Z), averaged over the Z latents, each as (mean, standard error over latents).

    For a standard normal distribution, `variance` is 1 and the other moments are 0, apart from sampling errors.
    """
    mean, variance, skewness, kurtosis = moments(z).unbind(1)
    return {
        "|mean|": mean_and_error(mean.abs()),
        "variance": mean_and_error(variance),
        "|skewness|": mean_and_error(skewness.abs()),
        "excess kurtosis": mean_and_error(kurtosis),
        "dimensions": z.shape[1],
        "codes": len(z),
    }
