"""Start and end codes for the paths of `interpolate`: codes of images, mean codes of groups, and sampled codes."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from autoencoders.applications.base import select_images
from autoencoders.applications.code_samples import prior_or_gaussian, sample_codes
from autoencoders.applications.representations import conditioned_on_classes, conditioning_labels
from autoencoders.runs.run import Run
from autoencoders.types import UserError


class Ends(NamedTuple):
    """Start and end codes of N paths, with labels for a conditional model.

    Attributes:
        start: (N, Z) codes at the start of each path.
        end: (N, Z) codes at the end of each path.
        start_labels: (N,) classes or (N, A) attributes at the start; None for an unconditional model.
        end_labels: labels at the end, with the shape of `start_labels`; None for an unconditional model.
    """

    start: Tensor
    end: Tensor
    start_labels: Tensor | None = None
    end_labels: Tensor | None = None

    def select(self, i: int) -> Ends:
        """Return the start and end of path `i` only (N = 1)."""
        rows = slice(i, i + 1)
        if self.start_labels is None or self.end_labels is None:
            return Ends(self.start[rows], self.end[rows])
        return Ends(self.start[rows], self.end[rows], self.start_labels[rows], self.end_labels[rows])


class Strips(NamedTuple):
    """N paths for one figure.

    Attributes:
        ends: start and end codes of the paths.
        names: display name of each path; empty if the paths have no names.
        images: real images (N, C, H, W) at the start and at the end of the paths; None if the ends are not images.
    """

    ends: Ends
    names: list[str]
    images: tuple[Tensor, Tensor] | None


def random_pairs(run: Run, split: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sample random pairs of images from a split.

    If the model is conditioned on classes, both images of a pair have the same class.

    Returns:
        Indices of the first images, and of the second images, in the split: (P,) int64 each, with P <= `count`.

    Raises:
        UserError: if the split has no such pair.
    """
    total = len(run.codes(split).z)
    classes = torch.zeros(total)
    if conditioned_on_classes(run):
        y = conditioning_labels(run, split)
        classes = classes if y is None else y
    starts, ends = [], []
    for i in torch.randint(total, (20 * count,), generator=generator).tolist():
        candidates = torch.eq(classes, classes[i]).nonzero().flatten()
        candidates = candidates[candidates != i]
        if len(candidates):
            starts.append(i)
            ends.append(int(candidates[torch.randint(len(candidates), (1,), generator=generator)]))
        if len(starts) == count:
            break
    if not starts:
        raise UserError(
            f"application=interpolate needs two images, but split={split} has no two images that can be paired "
            "(a model conditioned on classes needs two images of the same class). Choose another split."
        )
    return torch.tensor(starts), torch.tensor(ends)


def ends_of_rows(run: Run, split: str, starts: Tensor, ends: Tensor) -> Ends:
    """Return the codes of images in a split as ends of paths, with labels for a conditional model.

    Args:
        run: run whose codes are used.
        split: split of the images.
        starts: (N,) indices of the images at the start of the paths.
        ends: (N,) indices of the images at the end of the paths.
    """
    z, y = run.codes(split).z, conditioning_labels(run, split)
    if y is None:
        return Ends(z[starts], z[ends])
    return Ends(z[starts], z[ends], y[starts], y[ends])


def random_image_strips(run: Run, split: str, count: int, seed: int) -> Strips:
    """Return paths between at most `count` random pairs of images from a split."""
    starts, ends = random_pairs(run, split, count, torch.Generator().manual_seed(seed))
    images = (run.batch(split, starts).target, run.batch(split, ends).target)
    return Strips(ends_of_rows(run, split, starts, ends), [], images)


def own_image_strips(run: Run, split: str, images: str, count: int) -> Strips:
    """Return paths from each of the user's own images to the next one, at most `count` paths.

    Raises:
        UserError: if there are fewer than two images.
    """
    batch, names = select_images(run, split, count + 1, images)
    if len(batch.x) < 2:
        raise UserError(
            f"application=interpolate needs two images, but images={images} contains {len(batch.x)}. Set images to a "
            "folder with at least two images."
        )
    z = run.encode(batch.x)
    pair_names = [f"{start} - {end}" for start, end in itertools.pairwise(names)]
    return Strips(Ends(z[:-1], z[1:]), pair_names, (batch.x[:-1], batch.x[1:]))


def group_strips(run: Run, split: str, count: int, least: int) -> Strips | None:
    """Return paths between the mean codes of the largest groups, such as persons.

    Args:
        run: run whose codes are averaged.
        split: split whose images form the groups.
        count: maximum number of paths.
        least: minimum number of images in a group.

    Returns:
        The paths; None if there are fewer than two groups that are large enough. Also None if the model is conditioned
        on classes, because the mean code of a group has no class.
    """
    annotations = run.annotations(split)
    groups = annotations.groups
    if groups is None or conditioned_on_classes(run):
        return None
    numbers, sizes = groups.unique(return_counts=True)
    order = sizes.argsort(descending=True, stable=True)
    largest = numbers[order][sizes[order] >= least][: 2 * count]
    largest = largest[: len(largest) // 2 * 2]
    if not len(largest):
        return None
    means = _group_means(run.codes(split).z, groups, largest)
    y = conditioning_labels(run, split)
    ends = Ends(means[::2], means[1::2])
    if y is not None:
        labels = _group_means(y, groups, largest)
        ends = Ends(means[::2], means[1::2], labels[::2], labels[1::2])
    names = [str(annotations.group_names[int(group)]).replace("_", " ") for group in largest]
    return Strips(ends, [f"{start} - {end}" for start, end in zip(names[::2], names[1::2], strict=True)], None)


def sampled_strips(run: Run, count: int, generator: torch.Generator) -> Strips:
    """Return `count` paths between sampled codes.

    The codes are sampled from the prior. For a model without a prior, they are sampled from a Gaussian that is fitted
    to the training codes.
    """
    z, y = sample_codes(run, prior_or_gaussian(run), 2 * count, 1.0, generator)
    if y is None:
        return Strips(Ends(z[:count], z[count:]), [], None)
    return Strips(Ends(z[:count], z[count:], y[:count], y[count:]), [], None)


def _group_means(values: Tensor, groups: Tensor, numbers: Tensor) -> Tensor:
    """Return the group means (G, D) of values (N, D).

    Args:
        values: (N, D) codes or attributes of images.
        groups: (N,) group index of each image.
        numbers: (G,) indices of the groups to average.
    """
    return torch.stack([values[groups == number].mean(0) for number in numbers])
