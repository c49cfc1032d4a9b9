"""Overview of the data and of the distribution of the codes: labels, counts, histograms and moments."""

from __future__ import annotations

import math

import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import check_count, comparison_table, flatten_table, mean_and_error, spread_rows
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, ApplicationResult
from autoencoders.utils.arrays import to_numpy

COLUMNS, PANELS, WIDE = 8, 15, 14
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
        run: the run.
        split: split of the images and codes.
        images: your own images, a file or a folder, shown preprocessed in place of those of the split.
        count: number of images in the figure.
        attributes: attributes shown below the images, at most two. By default those that the model is conditioned on,
            else the first.

    Returns:
        Figures `images`, `codes` and `moments`; tables `classes` or `attributes` of every split, `latents` with the
        moments of each dimension, and `moments`: averages over dimensions, for the codes, PCA codes (scaled to unit
        variance on the training images) and as many samples of a standard normal.
    """
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
    order = z.var(0).argsort(descending=True)
    table = moments(z)
    expected = normal_moments(len(z))
    panels = {name: (table[:, i].numpy(), *expected[name]) for i, name in enumerate(MOMENTS)}
    title = f"{run.title}: {len(z)} codes of {split}"
    leading = order[:PANELS]
    names = [f"z {i}, variance {table[i, 1]:.3g}" for i in leading.tolist()]
    curve = "N(0, 1)" if run.model.has_prior else "a normal of its variance"
    figures = {
        "images": labelled_grid(to_numpy(x), words or [""] * len(x), f"{run.data.name}, {images or split}", COLUMNS),
        "codes": code_histograms(z[:, leading].numpy(), names, f"{title}; line: {curve}", run.model.has_prior),
        "moments": moment_panels(panels, f"{title}; band: N(0, 1) with two standard errors"),
    }
    compared = comparison_table(
        {name: summarize_moments(codes) for name, codes in compared_codes(run, split, z).items()}
    )
    latents = pd.DataFrame(table.numpy(), columns=list(MOMENTS))
    latents.insert(0, "latent", range(len(latents)))
    tables = {**count_contents(run), "latents": latents, "moments": compared}
    return ApplicationResult(flatten_table(compared), figures, tables)


def shown_attributes(run: Run, split: str, attributes: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return the attributes shown below images, at most two."""
    known = run.annotations(split)
    if attributes:
        for name in attributes:
            known.attribute(name)  # raises UserError if there is no such attribute
        return tuple(attributes)[:2]
    if run.model.labels is not None and run.model.labels.kind == "attributes":
        return run.model.labels.names[:2]
    return known.attribute_names[:1]


def image_labels(known: Annotations, attributes: tuple[str, ...]) -> list[str]:
    """Return a short label per image: its class, attribute values, or an empty string."""
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
    """Return the number of images per class and split, or statistics of each attribute."""
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
    """Return mean, variance, skewness and excess kurtosis of every dimension of (N, Z) codes, (Z, 4) float64."""
    mean, deviation = z.mean(0), z.std(0, unbiased=False).clamp(min=1e-12)
    standard = (z - mean) / deviation
    return torch.stack([mean, z.var(0), standard.pow(3).mean(0), standard.pow(4).mean(0) - 3], dim=1)


def normal_moments(count: int) -> dict[str, tuple[float, float]]:
    """Return the moments of a standard normal, and their first-order standard errors for `count` samples."""
    errors = (1 / count, 2 / count, 6 / count, 24 / count)
    return {n: (v, math.sqrt(e)) for n, v, e in zip(MOMENTS, (0.0, 1.0, 0.0, 0.0), errors, strict=True)}


def compared_codes(run: Run, split: str, z: Tensor) -> dict[str, Tensor]:
    """Return the codes of the model, PCA codes, and samples of a standard normal, each (N, Z)."""
    pca = run.pca()
    scale = pca_codes(run, "train").std(0).clamp(min=1e-12)
    drawn = torch.randn(z.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return {run.model.name: z, f"{pca.name}, scaled": pca_codes(run, split) / scale, "standard normal": drawn}


def pca_codes(run: Run, split: str) -> Tensor:
    """Return PCA codes of the inputs of a split, (N, K) float64."""
    pca = run.pca()
    return torch.cat([pca.encode(batch.x) for batch in run.data.evaluation_batches(split)]).double()


def summarize_moments(z: Tensor) -> dict[str, object]:
    """Return averages over dimensions, with standard errors, of the differences between codes and a standard normal."""
    mean, variance, skewness, kurtosis = moments(z).unbind(1)
    return {
        "|mean|": mean_and_error(mean.abs()),
        "variance": mean_and_error(variance),
        "|skewness|": mean_and_error(skewness.abs()),
        "excess kurtosis": mean_and_error(kurtosis),
        "dimensions": z.shape[1],
        "codes": len(z),
    }
