"""Known factors of the images of a split, and the codes that are compared with them: the model's and references."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoencoders.applications.base import spread_rows
from autoencoders.config import instantiate
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.runs.run import Run
from autoencoders.types import Factors, UserError
from autoencoders.utils.chunks import ROWS_PER_CHUNK

CODES = ("mean", "sample")
"""Values of the option `codes`: the mean of the posterior, or one sample of it."""
TRUE, UNTRAINED, RANDOM = "true factors", "untrained network", "random codes"
"""Names of the references whose codes do not come from a trained model."""


class KnownFactors(NamedTuple):
    """Factors of N images that have at least two different values.

    Attributes:
        rows: indices (N,) of the images in the split.
        indices: index of the value of each factor, (N, F) int64.
        factors: names and values of the F factors.
        constant: names of the factors that are left out, because all N images have the same value.
    """

    rows: Tensor
    indices: np.ndarray
    factors: Factors
    constant: tuple[str, ...]


def known_factors(run: Run, split: str, count: int) -> KnownFactors:
    """Return the factors of at most `count` evenly spaced images of a split.

    Raises:
        UserError: if the factors of the data are not known, or all of them are constant.
    """
    known, factors = run.annotations(split).factors, run.data.factors
    if known is None or factors is None:
        raise UserError(
            f"application=factors needs data whose generating factors are known, got data={run.data.name}. Use a run "
            "of data=sprites, data=dsprites, data=shapes3d or data=cartoons."
        )
    rows = spread_rows(count, len(known))
    indices = known[rows]
    varying = (indices != indices[:1]).any(0).tolist()
    if not any(varying):
        raise UserError(
            f"At least one factor must have different values in the {len(rows):,} images of split={split}, but "
            f"{', '.join(factors.names)} are constant. Use data with other factors."
        )
    kept = [i for i, changes in enumerate(varying) if changes]
    constant = tuple(name for name, changes in zip(factors.names, varying, strict=True) if not changes)
    chosen = Factors(tuple(factors.names[i] for i in kept), tuple(factors.values[i] for i in kept), factors.note)
    return KnownFactors(rows, indices[:, kept].numpy(), chosen, constant)


def code_sets(run: Run, split: str, known: KnownFactors, codes: str, seed: int) -> dict[str, np.ndarray]:
    """Return the codes of the model and of the references: name -> codes (N, Z), the model first.

    The references are the true factors, PCA of the training images with as many components as latents, the model with
    new random weights (not for a model without trained weights), and independent normal numbers.

    Args:
        run: run whose model encodes the images.
        split: split of the images.
        known: factors and indices of the images.
        codes: codes of the model and of the untrained network: `mean` or `sample`.
        seed: seed of the untrained weights and of the random codes.

    Raises:
        UserError: if `codes` is `sample` and the model has no stochastic posterior, or codes are not finite.
    """
    if codes not in CODES:
        raise UserError(f"codes must be one of {list(CODES)}, got {codes!r}.")
    if codes == "sample" and not run.model.posteriors.stochastic:
        raise UserError(
            f"codes=sample needs a model whose codes are sampled, got {run.model.name}. "
            "Set application.factors.codes=mean."
        )
    pca, rows = run.pca(), known.rows
    sets = {run.model.name: encode_rows(run, split, rows, codes), TRUE: true_codes(known)}
    sets[pca.name] = torch.cat([pca.encode(run.batch(split, chunk).x) for chunk in rows.split(ROWS_PER_CHUNK)]).numpy()
    if any(parameter.requires_grad for parameter in run.model.parameters()):
        sets[UNTRAINED] = encode_rows(untrained_run(run, seed), split, rows, codes)
    sets[RANDOM] = np.random.default_rng(seed).standard_normal((len(rows), run.model.latent_dim))
    for name, values in sets.items():
        if not np.isfinite(values).all():
            raise UserError(f"The codes of {name} must be finite, got NaN or infinity. Train the model again.")
    return sets


def true_codes(known: KnownFactors) -> np.ndarray:
    """Return the true factors as codes (N, F): the index of the value of each factor."""
    return known.indices.astype(np.float64)


@torch.no_grad()
def encode_rows(run: Run, split: str, rows: Tensor, codes: str) -> np.ndarray:
    """Return the codes (N, Z) of the images with the given indices: the means or samples of their posteriors."""
    chunks = []
    for chunk in rows.split(ROWS_PER_CHUNK):
        batch = run.batch(split, chunk).to(run.model.device)
        posterior = run.model.posterior(batch.x, batch.y)
        sampled = codes == "sample"
        z = posterior.sample(evaluation_noise(run.model, batch.index, split)) if sampled else posterior.mean
        chunks.append(z.double().cpu())
    return torch.cat(chunks).numpy()


def untrained_run(run: Run, seed: int) -> Run:
    """Return the run with new random weights, as at the start of a training with the given seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = instantiate.build_model(run.config, run.model.shape, run.model.labels)
        model.initialize(run.data.images("train"))  # type: ignore[arg-type]  # may be a RowView, as in Autoencoder.setup
    return replace(run, model=model.eval().to(run.model.device), checkpoint=None, _codes={})
