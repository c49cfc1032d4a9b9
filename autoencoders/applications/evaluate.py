"""Numbers that can be believed: likelihood, reconstruction and use of the latents, in one table with errors."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from autoencoders import noise
from autoencoders.applications.base import bootstrap_error, mean_and_error, number_of_images, spread
from autoencoders.applications.reconstruct import errors
from autoencoders.metrics.aggregate import gap_to_prior
from autoencoders.metrics.likelihood import Estimate, importance_weighted
from autoencoders.metrics.running import ACTIVE_VARIANCE
from autoencoders.models.measuring import EVALUATION_SEED, evaluation_noise
from autoencoders.objectives.likelihoods import Bernoulli
from autoencoders.opened import AT_ONCE, Run
from autoencoders.types import Findings

RESAMPLES = 50
"""Of the bootstrap of the gap to the prior, and draws of N(0, I) beside it: a covariance matrix each."""

FITTED = 2000
"""Training images that the scale of the mean image's likelihood is fitted to."""


@dataclass
class Row:
    """One number of the table; NaN where it is not applicable, and `note` then says why."""

    measure: str
    unit: str
    method: str
    value: float | tuple[float, float]
    images: int
    note: str = ""


class Latents(NamedTuple):
    """A split as the posterior sees it, (N, Z) each: its mean, one sample, and the KL per latent in nats."""

    mean: Tensor
    sample: Tensor
    kl: Tensor


def evaluate(
    run: Run,
    *,
    split: str = "test",
    samples: int = 100,
    measured: int = 1000,
    together: int = 500,
    seed: int = 0,
) -> Findings:
    """ELBO, importance-weighted likelihood, errors, active units and gap to the prior, each beside its baseline.

    Args:
        run: the run.
        split: whose images are measured.
        samples: K of the importance-weighted bound; published tables take 5000.
        measured: images, evenly apart in the split, that this bound is computed for.
        together: pairs of image and sample that pass through the decoder at a time; bounds the memory.
        seed: of the samples.

    Returns:
        The tables `evaluation`, `latents`, `markdown` (a row for a table of several runs) and `protocol` (how it
        was measured, in a sentence); the figure `kl` for a model with a prior.
    """
    number_of_images(samples, "samples")
    number_of_images(measured, "measured", 2)
    number_of_images(together, "together")
    rows = likelihood_rows(run, split)
    rows += bound_rows(run, split, min(measured, len(run.data.images(split))), samples, together, seed)
    rows += reconstruction_rows(run, split)
    tables, figures = {}, {}
    if run.model.has_prior:
        found = latents(run, split)
        tables["latents"] = latents_table(found)
        rows += latent_rows(run, found)
        figures["kl"] = kl_figure(run, tables["latents"], split)
    table = pd.DataFrame([as_columns(row) for row in rows])
    protocol = protocol_of(run, table, split, samples, together, seed)
    tables = {"evaluation": table, **tables, "markdown": markdown(run, table, protocol)}
    tables["protocol"] = pd.DataFrame({"protocol": [protocol]})
    return Findings(as_metrics(table), figures, tables)


# Likelihood ---------------------------------------------------------------------------------------------


def likelihood_rows(run: Run, split: str) -> list[Row]:
    """The negative ELBO and its parts, on the whole split, beside the mean image under the same likelihood."""
    name, codes = run.model.name, run.codes(split)
    distortion, rate, count = codes.distortion.double(), codes.rate.double(), len(codes.z)
    mean = mean_image_nll(run, split)
    if run.model.has_prior:
        told = " given the label" if run.model.condition else ""
        elbo = Row("-ELBO", "nats", name, mean_and_error(distortion + rate), count, f"bounds -log p(x){told}")
        priced = [Row("rate", "nats", name, mean_and_error(rate), count)]
    else:
        elbo, priced = Row("-ELBO", "nats", name, math.nan, count, NO_PRIOR), []
    return [
        elbo,
        Row("distortion", "nats", name, mean_and_error(distortion), count),
        Row("distortion", "nats", "mean image", mean_and_error(mean), count, "the same likelihood without a latent"),
        *priced,
    ]


NO_PRIOR = "n/a: a point posterior, and no prior over codes"


@torch.no_grad()
def mean_image_nll(run: Run, split: str) -> Tensor:
    """-log p(x) of each image, (N,) nats, where the mean training image is what the likelihood expects.

    A learned scale would be that of the model's residuals; it is fitted to the mean image's instead.
    """
    family, mean, train = deepcopy(run.model.family).cpu(), run.data.mean_image().float(), run.data.images("train")
    sample = train[spread(FITTED, len(train))].float() / 255
    family.fit(mean.expand_as(sample), sample)
    output = torch.logit(mean, 1e-3) if family.activation == "sigmoid" else mean
    parts = [family(output.expand_as(b.target)).nll(b.target) for b in run.data.evaluation(split)]
    return torch.cat(parts).double()


def bound_rows(run: Run, split: str, measured: int, samples: int, together: int, seed: int) -> list[Row]:
    """The importance-weighted bound, the ELBO of the same samples, effective samples and bits per dimension."""
    name, index = run.model.name, spread(measured, len(run.prepare().data.images(split)))
    nll, bits = f"IW-NLL, K={samples}", "bits per dimension"
    reason = no_bits(run, split, index) if run.model.has_prior else NO_PRIOR
    if not run.model.has_prior:
        return [Row(nll, "nats", name, math.nan, 0, NO_PRIOR), Row(bits, "bits", name, math.nan, 0, NO_PRIOR)]
    parts = []
    for some in index.split(AT_ONCE):
        batch, options = run.batch(split, some), {"samples": samples, "seed": seed, "together": together}
        parts.append(importance_weighted(run.model, batch.x, batch.target, batch.y, batch.index, **options))
    found = Estimate(*(torch.cat(column) for column in zip(*parts, strict=True)))
    per_bit = math.prod(run.model.shape) * math.log(2)
    few = float((found.effective < 2).double().mean())
    return [
        Row(nll, "nats", name, mean_and_error(found.nll), measured, "" if reason is None else reason),
        Row("-ELBO, same samples", "nats", name, mean_and_error(found.negative_elbo), measured),
        Row("gained over ELBO", "nats", name, mean_and_error(found.negative_elbo - found.nll), measured),
        Row("effective samples", f"of {samples}", name, mean_and_error(found.effective), measured,
            f"below 2 for {few:.1%} of the images"),
        Row(bits, "bits", name, math.nan if reason else mean_and_error(found.nll / per_bit), measured,
            f"n/a: {reason}" if reason else ""),
    ]  # fmt: skip


def no_bits(run: Run, split: str, index: Tensor) -> str | None:
    """Why -log p(x) is not the code length of these images; None where it is."""
    target = run.batch(split, index[:AT_ONCE]).target
    if not isinstance(run.model.family, Bernoulli):
        return "a density of pixels, and 8-bit pixels are not dequantised"
    if not ((target == 0) | (target == 1)).all():
        return "the cross-entropy of grey levels, no likelihood of them (data.binarize=dynamic has one)"
    return None


# Images and latents -------------------------------------------------------------------------------------


def reconstruction_rows(run: Run, split: str) -> list[Row]:
    """Errors of reconstructions from posterior means, of PCA with as many components and of the mean image."""
    table = errors(run, split).to_dict("records")
    columns = {"mse": "[0, 1]^2", "psnr per image": "dB", "ssim": ""}
    return [
        Row({"mse": "MSE", "psnr per image": "PSNR", "ssim": "SSIM"}[key], unit, row["method"],
            (row[key], row[f"{key} +-"]), row["images"])
        for key, unit in columns.items() for row in table
    ]  # fmt: skip


@torch.no_grad()
def latents(run: Run, split: str) -> Latents:
    """Every image of a split through the encoder."""
    parts = []
    for batch in run.prepare().data.evaluation(split):
        y = None if batch.y is None else batch.y.to(run.model.device)
        posterior = run.model.posterior(batch.x.to(run.model.device), y)
        eps = evaluation_noise(run.model, batch.index.to(run.model.device), split)
        parts.append((posterior.mean, posterior.sample(eps), posterior.kl()))
    return Latents(*(torch.cat(column).double().cpu() for column in zip(*parts, strict=True)))


def latents_table(found: Latents) -> pd.DataFrame:
    """A row per latent, by KL."""
    variance = found.mean.var(0, correction=0)
    table = pd.DataFrame(
        {
            "latent": np.arange(len(variance)),
            "kl": found.kl.mean(0),
            "kl +-": found.kl.std(0) / math.sqrt(len(found.kl)),
            "variance of posterior mean": variance,
            "active": (variance > ACTIVE_VARIANCE).numpy(),
        }
    )
    return table.sort_values("kl", ascending=False, ignore_index=True)


def latent_rows(run: Run, found: Latents) -> list[Row]:
    """Active units, and how far the aggregate posterior is from the prior, beside true samples of the prior."""
    name, (count, size) = run.model.name, found.mean.shape
    active = int((found.mean.var(0, correction=0) > ACTIVE_VARIANCE).sum())
    gap = gap_to_prior(found.sample)
    error = bootstrap_error(lambda rows: gap_to_prior(found.sample[rows]), count, resamples=RESAMPLES)
    rows = torch.arange(count)
    draws = [gap_to_prior(noise.normal(noise.key(i, "prior"), rows, size)) for i in range(RESAMPLES)]
    note = "" if count > size else f"n/a: {count} images are too few for a covariance of {size} latents"
    return [
        Row("active units", f"of {size}", name, float(active), count, f"variance of the mean > {ACTIVE_VARIANCE}"),
        Row("aggregate gap", "nats", name, (gap, error), count, note or "KL(Gaussian fit of q(z) || N(0, I))"),
        Row("aggregate gap", "nats", "N(0, I)", (float(np.mean(draws)), float(np.std(draws, ddof=1))), count,
            note or "as many true samples; +- between draws"),
    ]  # fmt: skip


def kl_figure(run: Run, table: pd.DataFrame, split: str) -> object:
    """Bars of KL per latent."""
    from autoencoders.figures.bars import kl_bars

    active = table["active"].to_numpy()
    caption = f"{split} KL {table['kl'].sum():.2f} nats over {len(table)} latents, {active.sum()} of them active"
    values = (table[key].to_numpy() for key in ("latent", "kl", "kl +-"))
    return kl_bars(*values, active, run.title, caption)


# The table ----------------------------------------------------------------------------------------------


def as_columns(row: Row) -> dict:
    """A row of the table."""
    value, error = row.value if isinstance(row.value, tuple) else (row.value, math.nan)
    return {"measure": row.measure, "unit": row.unit, "method": row.method, "value": value, "+-": error,
            "images": row.images, "note": row.note}  # fmt: skip


def as_metrics(table: pd.DataFrame) -> dict[str, float]:
    """`<measure>/<method>` and `<measure>_error/<method>`, numbers alone."""
    metrics = {}
    for row in table.to_dict("records"):
        for suffix, value in (("", row["value"]), ("_error", row["+-"])):
            if math.isfinite(value):
                metrics[f"{row['measure']}{suffix}/{row['method']}"] = value
    return metrics


def protocol_of(run: Run, table: pd.DataFrame, split: str, samples: int, together: int, seed: int) -> str:
    """How the numbers came about, in one line."""
    images, train = table["images"].max(), len(run.data.images("train"))
    drawn = f"ELBO with one sample an image, noise by row, seed {EVALUATION_SEED}; "
    words = [
        f"{run.title}; {split} split, {images} images",
        f"{drawn if run.model.has_prior else ''}errors of {'posterior means' if run.model.has_prior else 'codes'}, "
        f"clipped to [0, 1]; PCA and mean image of {train} training images",
    ]
    if run.model.has_prior:
        bound = table[table["measure"].str.startswith("IW-NLL")].iloc[0]
        words.append(f"IW-NLL on {bound['images']} images evenly apart, K={samples} samples of q(z|x), noise by row "
                     f"and sample, seed {seed}, log-sum-exp in float64, {together} pairs at a time")  # fmt: skip
        words.append(f"gap to prior: a sample an image, {RESAMPLES} bootstrap resamples and draws of N(0, I)")
    words.append(f"weights of step {run.step}; +- is one standard error over images")
    return "; ".join(words)


def markdown(run: Run, table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The model's numbers as a Markdown table of one row: header, rule and row, a line each."""
    own = table[table["method"] == run.model.name]
    cells = {"run": run.title} | {
        f"{r['measure']}": "n/a" if math.isnan(r["value"]) else
        f"{r['value']:.5g}" + (f" ± {r['+-']:.2g}" if math.isfinite(r["+-"]) else "")
        for r in own.to_dict("records")
    }  # fmt: skip
    lines = [list(cells), ["---"] * len(cells), list(cells.values())]
    return pd.DataFrame({"markdown": [f"| {' | '.join(line)} |" for line in lines]})
