"""What lies between two images? Linear and spherical paths of codes, decoded, beside a cross-fade of pixels."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders.applications.base import comparison, flat, mean_and_error, number_of_images, shown, spread_rows
from autoencoders.latent.densities import GaussianFull, StandardNormal
from autoencoders.latent.paths import linear, spherical
from autoencoders.metrics.neighbors import pixel_distances
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError
from autoencoders.utils.arrays import to_numpy


class Ends(NamedTuple):
    """Codes (N, Z) at either end, and the labels (N,) or (N, A) that a conditional model is told there, or None."""

    a: Tensor
    b: Tensor
    ya: Tensor | None = None
    yb: Tensor | None = None


def interpolate(
    run: Run,
    *,
    split: str = "test",
    images: str | None = None,
    pairs: int = 3,
    steps: int = 9,
    measured: int = 100,
    references: int = 5000,
    least: int = 5,
    gif: bool = False,
    seed: int = 0,
) -> ApplicationResult:
    """Strips between two images, between two groups' means (persons) where there are groups, and between drawn codes.

    Two numbers over random pairs of held-out images. The length of the decoded path over the straight distance of its
    two ends in pixels: a cross-fade has 1. And the root mean squared distance of the middle image to the nearest
    real image: blur alone makes it small, so beside a cross-fade of the pixels stands one of the reconstructions, as
    blurred as what is decoded, and the distance of the reconstructed ends themselves.

    Args:
        run: the run. A model conditioned on classes walks within a class; attributes change along with the code.
        split: whose images are paired.
        images: a folder of pictures of your own; each is joined with the next.
        pairs: strips of each kind.
        steps: images in a strip, ends included.
        measured: pairs that are measured.
        references: images of the training split, at most, evenly apart, that are searched for the nearest.
        least: images that a group has in the split for its mean to be an end.
        gif: the same strips as animations too, there and back.
        seed: of the pairs and of drawn codes.

    Returns:
        Figures `images`, `groups` (where there are two such groups) and `random`, on request as animations too; the
        table `paths`.

    Raises:
        UserError: where there are fewer than two images to join, or a number makes no sense.
    """
    from autoencoders.figures.grids import image_grid, tile_images

    for value, name, low in ((pairs, "pairs", 1), (steps, "steps", 3), (measured, "measured", 2), (least, "least", 1)):
        number_of_images(value, name, low)
    generator = torch.Generator().manual_seed(seed)
    table = measure(run, split, measured, references, steps, generator)
    strips = {"images": own(run, split, images, pairs) if images is not None else random_pairs(run, split, pairs, seed)}
    strips["groups"] = groups(run, split, pairs, least)
    strips["random"] = drawn(run, pairs, generator)
    row = {r["method"]: r for r in table.to_dict("records")}
    caption = "; ".join(f"{name} {row[name]['to nearest']:.3f}" for name in ("linear", "spherical", "pixel cross-fade"))
    captions = {
        "images": f"middle to the nearest training image, RMSE: {caption}",
        "groups": "between the mean codes of two groups",
        "random": "between two drawn codes",
    }
    figures, animations = {}, {}
    for key, found in strips.items():
        if found is None:
            continue
        ends, names, real = found
        rows, labels = [], []
        for i in range(len(ends.a)):
            pair = Ends(*(None if part is None else part[i : i + 1] for part in ends))
            for kind, strip in decoded(run, pair, steps).items():
                rows.append(to_numpy(strip[0]))
                labels.append(names[i] if kind == "linear" and names else kind)
            if real is not None:
                rows.append(to_numpy(linear(real[0][i].flatten()[None], real[1][i].flatten()[None],
                                         torch.linspace(0, 1, steps))[0].unflatten(1, run.model.shape)))  # fmt: skip
                labels.append("pixel cross-fade")
        strip = np.stack(rows)  # (R, S, C, H, W)
        figures[key] = image_grid(strip, run.title, rows=labels, caption=captions[key])
        if gif:
            there_and_back = [*range(steps), *range(steps - 2, 0, -1)]
            animations[key] = np.stack([tile_images(strip[None, :, i]) for i in there_and_back])
    return ApplicationResult(flat(table), figures, {"paths": table}, animations)


def decoded(run: Run, ends: Ends, steps: int) -> dict[str, Tensor]:
    """Images (N, S, C, H, W) along the paths of either kind."""
    t = torch.linspace(0, 1, steps)
    center = torch.zeros(run.model.latent_dim) if run.model.has_prior else run.codes("train").z.mean(0)
    paths = {"linear": linear(ends.a, ends.b, t), "spherical": spherical(ends.a, ends.b, t, center)}
    y = None
    if ends.ya is not None:
        whole = ends.ya.ndim == 1  # classes, the same at both ends
        y = ends.ya.repeat_interleave(steps) if whole else linear(ends.ya, ends.yb, t).flatten(0, 1)
    return {name: run.decode(z.flatten(0, 1), y).unflatten(0, (-1, steps)) for name, z in paths.items()}


def pair_rows(run: Run, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of `count` random pairs of a split; of one class where the model is conditioned on classes."""
    codes = run.codes(split)
    classes = codes.y if run.model.context_size and run.model.labels.kind == "classes" else torch.zeros(len(codes.z))
    firsts, seconds = [], []
    for i in torch.randint(len(codes.z), (20 * count,), generator=generator).tolist():
        same = (classes == classes[i]).nonzero().flatten()
        same = same[same != i]
        if len(same):
            firsts.append(i)
            seconds.append(int(same[torch.randint(len(same), (1,), generator=generator)]))
        if len(firsts) == count:
            break
    if not firsts:
        raise UserError(f"Interpolation joins two images, and {split} has no two that could be joined.")
    return torch.tensor(firsts), torch.tensor(seconds)


def at_rows(run: Run, split: str, a: Tensor, b: Tensor) -> Ends:
    """The codes of rows, and their labels where the model is told."""
    codes = run.codes(split)
    y = (codes.y[a], codes.y[b]) if run.model.context_size else (None, None)
    return Ends(codes.z[a], codes.z[b], *y)


Strips = tuple[Ends, list[str], tuple[Tensor, Tensor] | None]
"""The ends, a name per strip, and the real images at both ends where there are such."""


def random_pairs(run: Run, split: str, count: int, seed: int) -> Strips:
    """Strips between random images of a split."""
    a, b = pair_rows(run, split, count, torch.Generator().manual_seed(seed))
    return at_rows(run, split, a, b), [], (run.batch(split, a).target, run.batch(split, b).target)


def own(run: Run, split: str, images: str, count: int) -> Strips:
    """Strips between somebody's own pictures, each joined with the next."""
    batch, names = shown(run, split, count + 1, images)
    if len(batch.x) < 2:
        raise UserError(f"Interpolation joins two pictures, and {images} has {len(batch.x)}. Give a folder with more.")
    z = run.encode(batch.x)
    names = [f"{a} - {b}" for a, b in itertools.pairwise(names)]
    return Ends(z[:-1], z[1:]), names, (batch.x[:-1], batch.x[1:])


def groups(run: Run, split: str, count: int, least: int) -> Strips | None:
    """Strips between the mean codes of the groups with the most images, two by two; None where there are none.

    A model conditioned on classes is left out: the mean of a group has no class.
    """
    known = run.annotations(split)
    if known.groups is None or (run.model.context_size and run.model.labels.kind == "classes"):
        return None
    numbers, sizes = known.groups.unique(return_counts=True)
    order = sizes.argsort(descending=True, stable=True)
    picked = numbers[order][sizes[order] >= least][: 2 * count]
    picked = picked[: len(picked) // 2 * 2]
    if not len(picked):
        return None
    codes = run.codes(split)
    means = torch.stack([codes.z[known.groups == g].mean(0) for g in picked])
    y = [None, None]
    if run.model.context_size:
        told = torch.stack([codes.y[known.groups == g].mean(0) for g in picked])
        y = [told[::2], told[1::2]]
    words = [str(known.group_names[int(g)]).replace("_", " ") for g in picked]
    names = [f"{a} - {b}" for a, b in zip(words[::2], words[1::2], strict=True)]
    return Ends(means[::2], means[1::2], *y), names, None


def drawn(run: Run, count: int, generator: torch.Generator) -> Strips:
    """Strips between codes drawn from the prior, or from a Gaussian fitted to the training codes."""
    train = run.codes("train")
    density = (StandardNormal() if run.model.has_prior else GaussianFull()).fit(train.z)
    z, y = density.sample(2 * count, generator), (None, None)
    if run.model.context_size:
        rows = torch.randint(len(train.y), (2, count), generator=generator)
        y = (train.y[rows[0]], train.y[rows[1]])
    return Ends(z[:count], z[count:], *y), [], None


def measure(run: Run, split: str, count: int, references: int, steps: int, generator: torch.Generator) -> pd.DataFrame:
    """The table of paths and cross-fades over random pairs."""
    a, b = pair_rows(run, split, count, generator)
    ends = at_rows(run, split, a, b)
    store = run.prepare().data.images("train")
    real = store[spread_rows(references, len(store))].float() / 255
    xa, xb = run.batch(split, a).target, run.batch(split, b).target
    ra, rb = run.decode(ends.a, ends.ya).clamp(0, 1), run.decode(ends.b, ends.yb).clamp(0, 1)
    t = torch.linspace(0, 1, steps | 1)[:, None, None, None]  # odd: there is a middle
    strips = {name: strip.clamp(0, 1) for name, strip in decoded(run, ends, steps | 1).items()}
    strips["reconstruction cross-fade"] = torch.lerp(ra[:, None], rb[:, None], t)
    strips["pixel cross-fade"] = torch.lerp(xa[:, None], xb[:, None], t)
    table = {}
    for name, strip in strips.items():
        moved = (strip[:, 1:] - strip[:, :-1]).flatten(2).norm(dim=2)  # (N, S - 1)
        straight = (strip[:, -1] - strip[:, 0]).flatten(1).norm(dim=1).clamp(min=1e-12)
        table[name] = {
            "length": mean_and_error(moved.sum(1) / straight),
            "largest step over mean": mean_and_error(moved.max(1).values / moved.mean(1).clamp(min=1e-12)),
            "to nearest": mean_and_error(pixel_distances(strip[:, (steps | 1) // 2], real).min(1).values),
            "pairs": len(a),
        }
    for name, images in (("reconstructed ends", ra), ("real ends", xa)):
        table[name] = {"to nearest": mean_and_error(pixel_distances(images, real).min(1).values), "pairs": len(a)}
    return comparison(table)
