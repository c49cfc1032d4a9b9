"""Callback that draws diagnostics of latents and gradients during training, and warns about problems."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from autoencoders.callbacks.base import FigureCallback, at_least, continue_on_error, heading, warn
from autoencoders.callbacks.diagnostics import FEW_STEPS, TrainingHealth, advise, describe_few_steps
from autoencoders.data.datamodule import get_datamodule
from autoencoders.loggers.media import MediaWriter
from autoencoders.metrics.aggregate_posterior import gap_to_prior
from autoencoders.metrics.dimension import participation_ratio, spectrum
from autoencoders.models.autoencoder import Autoencoder, as_autoencoder
from autoencoders.models.base import as_image_model
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.models.optim import count_steps
from autoencoders.objectives.aggregate import decompose_rate
from autoencoders.objectives.posteriors import LOG_VARIANCE_BOUND, GaussianPosterior
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.lightning import get_log_interval
from autoencoders.utils.modes import evaluation_mode

if TYPE_CHECKING:
    from autoencoders.figures.health import LatentHealthHistory


MEASURED = ("val/rate", "val/active_units", "val/mse")
"""Metrics of the last validation that `advise` uses."""
AT_BOUND = 0.01
"""A latent is reported at a bound if its log-variance is at this bound for more than this fraction of the images."""


class EncodedImages(NamedTuple):
    """Encoded validation images.

    Attributes:
        mean: (N, Z) posterior means.
        z: (N, Z) one sample from the posterior of each image.
        log_variance: (N, Z) logarithms of the posterior variances.
        log_prior: (N,) log-density of the samples under the prior, in nats.
        low: number of latents whose log-variance is at its lower bound.
        high: number of latents whose log-variance is at its upper bound.
    """

    mean: Tensor
    z: Tensor
    log_variance: Tensor
    log_prior: Tensor
    low: int
    high: int


class LatentHealth(FigureCallback):
    """Draw the figure `figures/health/<step>.png`, log metrics of the latents and the gradients, and warn of problems.

    The metrics are `step/gradient_norm` (in logged steps), `val/gap_to_prior` (KL divergence of the aggregate posterior
    from the standard normal prior, in nats; not for other priors) and `val/latents_at_bound`; for a model without a
    prior, `val/effective_dimensions`. For a model with a Gaussian posterior, `val/mi`, `val/tc` and `val/dwkl` are the
    terms of the rate in nats: mutual information, total correlation and dimension-wise KL; see
    `autoencoders.objectives.aggregate.decompose_rate`. Each warning is issued once per run: on the terminal, in
    `run.json` and in the loggers.

    Args:
        codes: maximum number of validation images that are encoded after every validation.
        decomposed: maximum number of validation images from which the terms of the rate are computed; 0 to skip them.
        every_n_epochs: interval between figures; see `FigureCallback`.
    """

    needs_decoder = True

    def __init__(self, codes: int = 2000, decomposed: int = 500, every_n_epochs: int = 10) -> None:
        super().__init__(every_n_epochs)
        at_least(1, codes=codes)
        at_least(0, decomposed=decomposed)
        self.codes, self.decomposed = codes, decomposed
        self._encoded: EncodedImages | None = None
        self._warned: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the names of the warnings issued so far, so that a resumed run does not repeat them."""
        return {"warned": list(self._warned)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the names of the warnings issued so far."""
        self._warned = list(state_dict["warned"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Warn if the run has few optimizer steps, unless their number was limited by an option of the trainer."""
        options = dict(pl_module.hparams).get("trainer") or {}  # grouping changes limit_train_batches of the trainer
        limited = trainer.max_steps != -1 or options.get("limit_train_batches") is not None
        trained = any(parameter.requires_grad for parameter in pl_module.parameters())  # false for PCA
        if limited or not trained or trainer.max_epochs in (None, -1):
            return
        steps = count_steps(trainer)
        if 0 < steps < FEW_STEPS:
            batch_size = get_datamodule(trainer).batch_size
            self._issue(trainer, {"few_steps": describe_few_steps(int(steps), trainer.max_epochs, batch_size)})

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Log the norm of all gradients before clipping, in logged steps only. The value stays on the device."""
        if (trainer.global_step + 1) % get_log_interval(trainer) == 0:
            model = as_image_model(pl_module)
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            model.add_step_metrics({"step/gradient_norm": torch.nn.utils.get_total_norm(gradients)})

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Encode validation images, and log the `val/` metrics that need all codes at once."""
        if trainer.state.fn != "fit" or trainer.sanity_checking or not isinstance(pl_module, Autoencoder):
            return
        with continue_on_error(trainer, self), evaluation_mode(pl_module):
            self._encoded = encoded = encode_validation(trainer, pl_module, self.codes)
            if pl_module.has_prior:
                metrics = {"latents_at_bound": float(encoded.low + encoded.high)}
                if pl_module.has_standard_prior:
                    metrics["gap_to_prior"] = gap_to_prior(encoded.z)
                if pl_module.posteriors.gaussian and self.decomposed:
                    metrics |= rate_terms(encoded, self.decomposed)
            else:
                metrics = {"effective_dimensions": participation_ratio(spectrum(encoded.mean))}
            pl_module.log_metrics({f"val/{k}": v for k, v in metrics.items() if math.isfinite(v)})

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Issue warnings, now that all metrics are known, and log histograms of the codes and the KL divergences."""
        if self._encoded is not None and trainer.state.fn == "fit":
            self._warn(trainer, as_autoencoder(pl_module), self._encoded)
            self._log_histograms(MediaWriter.from_trainer(trainer), trainer, self._encoded)

    def _log_histograms(self, writer: MediaWriter, trainer: pl.Trainer, encoded: EncodedImages) -> None:
        if not writer.supports_tables or trainer.sanity_checking:
            return
        writer.log_histogram("codes", encoded.z.numpy(), trainer.global_step)
        kl = [float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_kl/")]
        if kl:
            writer.log_histogram("kl", np.array(kl), trainer.global_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the final figure, and issue the warnings that are only checked at the end of training."""
        super().on_train_end(trainer, pl_module)
        if self._encoded is not None:
            self._warn(trainer, as_autoencoder(pl_module), self._encoded, over=True)

    def _warn(self, trainer: pl.Trainer, model: Autoencoder, encoded: EncodedImages, over: bool = False) -> None:
        measured = {key: float(trainer.callback_metrics[key]) for key in MEASURED if key in trainer.callback_metrics}
        endless = trainer.max_epochs in (None, -1) and trainer.max_steps == -1
        health = TrainingHealth(
            step=trainer.global_step,
            progress=1.0 if over or endless else model.progress,
            over=over,
            rate=measured.get("val/rate"),
            active=measured.get("val/active_units"),
            low=encoded.low,
            high=encoded.high,
            mse=measured.get("val/mse"),
            mean_image_mse=get_datamodule(trainer).mean_image_mse("val") if over else None,
        )
        self._issue(trainer, advise(health, model))

    def _issue(self, trainer: pl.Trainer, problems: Mapping[str, str]) -> None:
        """Issue the warnings, given as name -> message, that this run has not issued before."""
        for name, message in problems.items():
            if name not in self._warned:
                self._warned.append(name)
                warn(trainer, name, message)

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Draw the figure from `metrics.csv` and the latest encoded images."""
        model = as_autoencoder(model)
        path = Path(trainer.default_root_dir, "metrics.csv")
        if not path.is_file():
            return
        if self._encoded is None:  # no validation has run in this process
            self._encoded = encode_validation(trainer, model, self.codes)
        from autoencoders.figures.health import latent_health_panel

        history = self._history(path, trainer, model, self._encoded)
        figure = latent_health_panel(history, heading(trainer, model), caption(history, self._encoded))
        writer.save_figure("health", figure, trainer.global_step)

    @staticmethod
    def _history(path: Path, trainer: pl.Trainer, model: Autoencoder, encoded: EncodedImages) -> LatentHealthHistory:
        import pandas as pd

        from autoencoders.figures.health import LatentHealthHistory

        table = pd.read_csv(path)

        def points(column: str, over: str = "epoch") -> np.ndarray | None:
            if column not in table:
                return None
            values = table[[over, column]].dropna().to_numpy(float)
            values[:, 0] += over == "epoch"  # the figure counts epochs from 1
            return values if len(values) else None

        names = sorted(name for name in map(str, table) if name.startswith("val_kl/latent_"))
        kl = table[["epoch", *names]].dropna().to_numpy(float) if names else np.zeros((0, 1))
        size, count = model.latent_dim, len(encoded.z)
        return LatentHealthHistory(
            latents=size,
            active=points("val/active_units"),
            kl=kl[:, 1:] if len(kl) else None,
            kl_epochs=kl[:, 0] + 1 if len(kl) else None,
            gap=points("val/gap_to_prior"),
            floor=size * (size + 3) / (4 * count),  # see `gap_to_prior`
            dimension=points("val/effective_dimensions"),
            spread=None if model.has_prior else encoded.mean.std(0, correction=min(1, count - 1)).numpy(),
            gradient=points("step/gradient_norm", "step"),
            clip=trainer.gradient_clip_val,
        )


@torch.no_grad()
def encode_validation(trainer: pl.Trainer, model: Autoencoder, count: int) -> EncodedImages:
    """Encode the first `count` validation images. The noise of the samples depends only on the image index."""
    batch, chunks = get_datamodule(trainer).take("val", count), []
    for chunk in batch.chunks(ROWS_PER_CHUNK):
        moved = chunk.to(model.device)
        posterior = model.posterior(moved.x, moved.y)
        z = posterior.sample(evaluation_noise(model, moved.index, "val"))
        # A posterior that has no log-variance cannot be at its bounds.
        log_variance = torch.zeros_like(z) if posterior.log_variance is None else posterior.log_variance
        log_prior = model.code_density(moved.y).log_prob(z.float())
        chunks.append((posterior.mean, z, log_variance, log_prior))
    mean, z, log_variance, log_prior = (torch.cat(column).float().cpu() for column in zip(*chunks, strict=True))
    at_bounds = log_variance <= -LOG_VARIANCE_BOUND, log_variance >= LOG_VARIANCE_BOUND
    low, high = (int((at.float().mean(0) > AT_BOUND).sum()) for at in at_bounds)
    return EncodedImages(mean, z, log_variance, log_prior, low, high)


def rate_terms(encoded: EncodedImages, count: int) -> dict[str, float]:
    """Return the terms of the rate `mi`, `tc` and `dwkl` in nats, from the first `count` encoded images."""
    z = encoded.z[:count]
    posterior = GaussianPosterior(encoded.mean[:count], encoded.log_variance[:count])
    terms = decompose_rate(posterior, z, encoded.log_prior[:count])
    return dict(zip(("mi", "tc", "dwkl"), terms, strict=True))


def caption(history: LatentHealthHistory, encoded: EncodedImages) -> str:
    """Return the latest values of the figure as its one-line caption."""
    texts = []
    if history.active is not None:
        texts.append(f"{history.active[-1, 1]:.0f} of {history.latents} latents active")
    if history.gap is not None:
        texts.append(f"gap to prior {history.gap[-1, 1]:.3g} nats (prior sample: {history.floor:.2g})")
    if history.active is not None:
        texts.append(f"latents at a log-variance bound: {encoded.low + encoded.high}")
    if history.dimension is not None:
        texts.append(f"effective dimensions of the codes: {history.dimension[-1, 1]:.1f} of {history.latents}")
    return f"{', '.join(texts)}; {len(encoded.z):,} validation images"
