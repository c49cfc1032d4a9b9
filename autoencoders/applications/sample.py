"""Images decoded from codes that are sampled from the prior or from densities fitted to the training codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from autoencoders.applications.base import check_count, flatten_table, spread_rows
from autoencoders.applications.code_samples import prior_or_gaussian, sample_codes
from autoencoders.applications.label_classifiers import load_classifier
from autoencoders.applications.sample_tables import Measurement, density_table, spread_images
from autoencoders.metrics.neighbors import pixel_distances
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy
from autoencoders.utils.texts import list_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autoencoders.latent.densities import Density

COLUMNS = 10
"""Number of images in one row of a figure."""
PRIOR = "prior"
"""Name of the density that is the prior of the model, if this is not the standard normal."""


def sample(
    run: Run,
    *,
    densities: Mapping[str, Density],
    split: str = "test",
    density: str | None = None,
    temperature: float = 1.0,
    count: int = 60,
    measured: int = 200,
    references: int = 10_000,
    seed: int = 0,
    classifier: str | None = None,
) -> ApplicationResult:
    """Decode codes that are sampled from several densities, plot the images, and measure their quality.

    The densities are fitted to the codes (posterior means) of training images. Bandwidths and numbers of components
    are chosen on validation codes (ex-post density estimation: Ghosh et al., 2020, "From variational to deterministic
    autoencoders"). With `split=val`, they are chosen on every tenth training code instead, so that nothing is chosen on
    the codes and images that are reported. The column `note` of the table states the choice.

    Blur alone can make the distance from a sample to its nearest real image small. Therefore the table also contains
    reconstructions and the mean image. It also contains the distance from held-out images to their nearest sample,
    which is small only if the samples are varied. With a classifier, the KID of its features measures quality and
    variety together.

    Args:
        run: run whose model decodes the codes.
        densities: name -> density that is fitted and sampled.
        split: split of the held-out codes and images, `val` or `test`.
        density: name of the density in the main figure. None selects the prior of the model: `standard_normal`, or
            `prior` for another prior. For a model without a prior, None selects `pca_kde`.
        temperature: factor on the deviation of every sampled code from the mean of its density.
        count: number of images in the main figure.
        measured: number of images from each density that are measured.
        references: maximum number of images per split that are searched for the nearest image, evenly spaced.
        seed: seed of the sampled codes.
        classifier: path of a run of `model=classifier`, for the KID of `measured` images; None for no KID.

    Returns:
        Figures `samples`, `densities` and `nearest`. Table `densities`: log-density of held-out codes in nats, variance
        of sampled codes divided by the variance of training codes, distances between images as root mean squared
        errors (RMSE) for pixels in [0, 1], and KID.

    Raises:
        UserError: if `density` or `split` is unknown, a number is out of range, or the classifier does not match the
            data.
    """
    if run.model.has_prior and not run.model.has_standard_prior:
        densities = {PRIOR: prior_or_gaussian(run), **densities}
    main = select_density(run, densities, density)
    if split == "train":
        raise UserError(
            "split must be val or test because the densities are fitted to the training codes, got train. Set "
            "split=test."
        )
    if not temperature > 0:
        raise UserError(f"temperature must be a number > 0, got {temperature}.")
    check_count(count, "count")
    check_count(measured, "measured", COLUMNS)
    check_count(references, "references", 2)
    features = None if classifier is None else load_classifier(run, classifier)
    train, held_back = run.codes("train"), None if split == "val" else run.codes("val").z
    images = {}
    for name, one in densities.items():
        one.fit(train.z, held_back)
        images[name] = sample_images(run, one, max(measured, count), temperature, seed).clamp(0, 1)
    held_out, training = spread_images(run, split, references), spread_images(run, "train", references)
    measurement = Measurement(split, measured, temperature, seed, held_out, training)
    table = density_table(run, densities, images, measurement, features)
    row = table[table["method"] == main].iloc[0]
    suffix = f", temperature {temperature:g}" if temperature != 1 else ""
    log_density = f"mean log-density of {split} codes: {row['log-density']:.1f} nats"
    figures = {
        "samples": draw_samples(run, images[main][:count], f"codes from {densities[main].name}{suffix}; {log_density}"),
        "densities": draw_densities(run, images, split, f"samples of each density{suffix}"),
        "nearest": draw_nearest(
            run,
            images[main][:measured],
            training,
            f"{main}: mean RMSE to the nearest training image: {row['to nearest training']:.3f}",
        ),
    }
    return ApplicationResult(flatten_table(table), figures, {"densities": table})


def select_density(run: Run, densities: Mapping[str, Density], density: str | None) -> str:
    """Return the name of the density in the main figure.

    Args:
        run: run whose model may have a prior.
        densities: name -> density.
        density: name of the selected density. None selects the prior, or `pca_kde` for a model without a prior.

    Raises:
        UserError: if there is no density with the selected name.
    """
    default = "standard_normal" if run.model.has_prior else "pca_kde"
    name = density or (PRIOR if PRIOR in densities else default)
    if name not in densities:
        raise UserError(f"density must be one of {list_names(list(densities))}, got {name!r}.")
    return name


def sample_images(run: Run, density: Density, count: int, temperature: float, seed: int) -> Tensor:
    """Sample codes from a density, and decode them with the labels of random training images for a conditional model.

    Args:
        run: run whose model decodes the codes.
        density: fitted density.
        count: number of images.
        temperature: see `sample_codes`.
        seed: seed of the codes and labels.

    Returns:
        Images (count, C, H, W).
    """
    return run.decode(*sample_codes(run, density, count, temperature, torch.Generator().manual_seed(seed)))


def draw_samples(run: Run, images: Tensor, caption: str) -> Figure:
    """Plot samples (N, C, H, W) in a grid. Samples that do not fill a complete row are omitted."""
    from autoencoders.figures.grids import image_grid

    columns = min(COLUMNS, len(images))
    images = images[: len(images) - len(images) % columns]
    return image_grid(to_numpy(images.unflatten(0, (-1, columns))), run.title, caption=caption)


def draw_densities(run: Run, images: Mapping[str, Tensor], split: str, caption: str) -> Figure:
    """Plot one row of samples for each density, and one row of real images from the split.

    Args:
        run: run whose title and data are used.
        images: name of the density -> samples (N, C, H, W).
        split: split of the real images.
        caption: text below the title.
    """
    from autoencoders.figures.grids import image_grid

    real = run.batch(split, spread_rows(COLUMNS, len(run.prepare().data.images(split)))).target
    rows = {}
    for name, row in {**images, f"real {split}": real}.items():
        if len(row) >= COLUMNS:
            rows[name] = to_numpy(row[:COLUMNS])
    return image_grid(np.stack(list(rows.values())), run.title, rows=list(rows), caption=caption)


def draw_nearest(run: Run, images: Tensor, training: Tensor, caption: str) -> Figure:
    """Plot the first samples in one row, and the nearest training image of each sample below it.

    Args:
        run: run whose title is shown.
        images: (N, C, H, W) samples.
        training: (M, C, H, W) training images that are searched.
        caption: text below the title.
    """
    from autoencoders.figures.grids import image_grid

    nearest = training[pixel_distances(images, training)[:COLUMNS].argmin(1)]
    rows = np.stack([to_numpy(images[: len(nearest)]), to_numpy(nearest)])
    return image_grid(rows, run.title, rows=["sample", "nearest training image"], caption=caption)
