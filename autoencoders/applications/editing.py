"""Edits along a direction, and what a judge who saw real images alone makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from autoencoders.applications.base import bootstrap_error, mean_and_error, spread
from autoencoders.applications.representations import SIDE, attributes, pixels, representations
from autoencoders.latent.directions import direction
from autoencoders.metrics.probes import LinearProbe, auroc, chosen_probe
from autoencoders.metrics.retrieval import distances
from autoencoders.opened import Run
from autoencoders.types import Batch

LIMIT = 10_000
"""Training images that directions and the judge are fitted on, at most."""
AT_ONCE = 500


class Editor(NamedTuple):
    """A way to edit images.

    Attributes:
        name: what tables call it.
        step: what strength 1 adds to a code.
        encode: batch -> codes.
        decode: codes and their batch -> images.
    """

    name: str
    step: Tensor
    encode: Callable[[Batch], Tensor]
    decode: Callable[[Tensor, Batch], Tensor]

    def edit(self, batch: Batch, strength: float) -> Tensor:
        """Images (B, C, H, W) in [0, 1] with the attribute changed by so many steps."""
        return self.decode(self.encode(batch) + strength * self.step, batch).clamp(0, 1)


class Judge(NamedTuple):
    """Logistic regression on the pixels of real training images, for every attribute.

    Attributes:
        probe: gives a logit per attribute.
        gaps: (A,) by how much the mean logits of real held-out images with and without it differ.
        aurocs: (A,) of its logits on these images: how far it can be trusted.
    """

    probe: LinearProbe
    gaps: Tensor
    aurocs: list[float]

    def logits(self, images: Tensor) -> Tensor:
        """(N, A) of images (N, C, H, W)."""
        return self.probe.logits(pixels(images))


def fitted(
    run: Run, split: str, known: dict[str, Tensor], chosen: int, others: Sequence[int], method: str
) -> tuple[list[Editor], dict[str, tuple[float, float]]]:
    """The model, PCA and pixels, each with its direction, and the AUROC of that direction on held-out images.

    Args:
        run: the run.
        split: the held-out images.
        known: split -> (N, A), 1 with, 0 without, NaN unknown.
        chosen: the attribute.
        others: those that the direction holds equal.
        method: see `direction`.

    Returns:
        The editors, the model first, and name -> AUROC with its bootstrap error.
    """
    pca, steps, aurocs = run.pca(), {}, {}
    rows = known["train"][:, chosen].isfinite().nonzero().flatten()
    rows = rows[spread(LIMIT, len(rows))]
    y = known["train"][rows]
    equal = [v[rows].numpy() for v in attributes(run.annotations("train"))[0].T[list(others)]]
    kept = known[split][:, chosen].isfinite().nonzero().flatten()
    positive = (known[split][kept, chosen] == 1).numpy()
    held_out = representations(run, split, kept, pca)
    for name, z in representations(run, "train", rows, pca).items():
        step = direction(z.numpy(), (y[:, chosen] == 1).numpy(), method, equal)
        scores = held_out[name].double().numpy() @ step
        error = bootstrap_error(lambda i, s=scores: auroc(s[i], positive[i]), len(kept))
        aurocs[name], steps[name] = (auroc(scores, positive), error), torch.from_numpy(step).float()
    channels, *size = run.model.shape
    small = steps["pixels"].reshape(1, channels, *(min(SIDE, side) for side in size))
    picture = functional.interpolate(small, size, mode="bilinear")
    model = Editor(
        run.model.name, steps[run.model.name], lambda b: run.encode(b.x, b.y), lambda z, b: run.decode(z, b.y)
    )
    linear = Editor(pca.name, steps[pca.name], lambda b: pca.encode(b.x), lambda z, b: pca.decode(z))
    return [model, linear, Editor("pixels", picture, lambda b: b.x, lambda z, b: z)], aurocs


def judged(run: Run, split: str, known: dict[str, Tensor]) -> Judge:
    """A judge fitted on training images, its penalty chosen on validation images, tried on real ones of `split`."""
    parts = {}
    for part, values in known.items():
        rows = spread(LIMIT, len(values))
        parts[part] = (torch.cat([pixels(run.batch(part, r).target) for r in rows.split(AT_ONCE)]), values[rows])
    probe = chosen_probe(parts["train"], parts["val"])
    logits, y = probe.logits(parts[split][0]), parts[split][1]
    columns = list(zip(logits.T, y.T, strict=True))
    gaps = torch.stack([a[b == 1].mean() - a[b == 0].mean() for a, b in columns])
    return Judge(probe, gaps, [auroc(a[b.isfinite()], b[b.isfinite()] == 1) for a, b in columns])


def dose(editor: Editor, batch: Batch, judge: Judge, alphas: Sequence[float]) -> Tensor:
    """(strengths, N, A): by how much every strength moves the judge's logits, from strength 0, in gaps."""
    start = judge.logits(editor.edit(batch, 0.0))
    return torch.stack([(judge.logits(editor.edit(batch, a)) - start) / judge.gaps for a in alphas])


def slopes(shifts: Tensor, alphas: Sequence[float]) -> Tensor:
    """(N, A) shift per unit of strength, least squares through the origin, of shifts (strengths, N, A)."""
    a = torch.tensor(alphas, dtype=shifts.dtype)
    return (a[:, None, None] * shifts).sum(0) / a.square().sum()


def identity(run: Run, split: str, editor: Editor, batch: Batch, strength: float) -> dict[str, object]:
    """Whether the nearest real image of the split to an edited one is of the same person.

    Where the data name no persons, a person is one image. Distances are Euclidean, of pixels.

    Returns:
        `identity kept`, the share; `distance ratio`, from the edited image to its own original over that to the
        nearest of another person; `identity unedited`, the share at strength 0.
    """
    count = len(run.data.images(split))
    originals = torch.cat([pixels(run.batch(split, r).target) for r in torch.arange(count).split(AT_ONCE)])
    groups = run.annotations(split).groups
    persons = torch.arange(count) if groups is None else groups
    own = persons[batch.index]
    found = {}
    for alpha in (0.0, strength):
        d = distances(pixels(editor.edit(batch, alpha)), originals)  # (N, split)
        found[alpha] = (persons[d.argmin(1)] == own).float()
        original = d[torch.arange(len(d)), batch.index]
        other = d.masked_fill(persons == own[:, None], torch.inf).amin(1)
    return {
        "identity kept": mean_and_error(found[strength]),
        "identity unedited": float(found[0.0].mean()),
        "distance ratio": mean_and_error(original / other),
    }
