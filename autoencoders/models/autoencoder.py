"""Base class of the autoencoders: an encoder, a posterior, a decoder, a likelihood, and an objective in nats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from autoencoders.models.base import ImageModel
from autoencoders.models.evaluation import evaluation_metrics, evaluation_sums, named_metrics
from autoencoders.nets.base import code_size, context_shift, feature_size, initialize_net, posterior_layer
from autoencoders.nets.heads import CodeHead, move_context
from autoencoders.objectives.beta_schedules import BetaSchedule
from autoencoders.objectives.elbo import ELBO, Terms
from autoencoders.objectives.likelihoods import Likelihood, Pixels
from autoencoders.objectives.posteriors import PointFamily, Posterior, PosteriorFamily
from autoencoders.types import Batch, Context, Shape, UserError
from autoencoders.utils import counter_rng
from autoencoders.utils.checks import check_at_least, check_not_negative
from autoencoders.utils.chunks import ROWS_PER_CHUNK, chunk_slices

SAMPLE = 4096
"""Number of training images on which the dependence of the codes on the context is estimated at the start."""


def as_autoencoder(model: pl.LightningModule) -> Autoencoder:
    """Return a model as an autoencoder.

    Raises:
        UserError: if it is another model.
    """
    if not isinstance(model, Autoencoder):
        raise UserError(f"The model must be an autoencoder, got {type(model).__name__}.")
    return model


class Autoencoder(ImageModel):
    """loss = distortion + beta(step) * rate, or a tighter bound, in nats per image, averaged over the batch.

    Encoding and reconstructing use the posterior mean. The loss samples z; in validation and test its noise is fixed
    by row.

    Args:
        shape: (C, H, W), from the data module.
        context: classes or attributes, from the data module, or None.
        likelihood: p(x | z).
        beta_schedule: schedule of beta, the weight of the rate.
        latent_dim: Z. An encoder whose features are a code (`.code`) overrides it.
        encoder: called with (shape, context_size); see `autoencoders.nets`.
        decoder: called with (inputs, shape, context_size).
        optimizer: called with the parameters.
        schedule: called with the optimizer; an argument `auto` is replaced by the number of optimizer steps of the run.
        objective: computes the terms of the loss from samples of z; None for the ELBO with one sample.
        seed: seed of the training noise.
        name: label for figures and tables.
        context_size: K, the size of the vector that `context` returns; 0 for an unconditional model.
        join: where the context is joined: at `both` ends, at the `decoder` only, or at `every_layer`.
        l1: weight in the loss of the L1 norm of the code, |posterior mean|. Above 0, the model is a sparse autoencoder.

    Raises:
        UserError: if an option is out of range, or options are incompatible.
    """

    decodes: ClassVar[bool] = True
    posteriors: PosteriorFamily = PointFamily()
    """How the encoder's output defines q(z | x)."""
    latent_dim: int
    beta_schedule: BetaSchedule
    objective: ELBO
    family: Likelihood
    encoder: nn.Module
    head: nn.Module
    decoder: nn.Module

    def __init__(
        self,
        *,
        shape: Shape,
        context: Context | None,
        likelihood: Likelihood,
        beta_schedule: BetaSchedule,
        latent_dim: int,
        encoder: Callable[..., nn.Module] | None = None,
        decoder: Callable[..., nn.Module] | None = None,
        optimizer: Callable | None = None,
        schedule: partial | None = None,
        objective: ELBO | None = None,
        seed: int = 0,
        name: str = "",
        context_size: int = 0,
        join: str = "both",
        l1: float = 0.0,
    ) -> None:
        name = name or type(self).__name__.lower()
        super().__init__(shape=shape, labels=context, name=name, optimizer=optimizer, schedule=schedule)
        check_not_negative("model.l1", l1)
        check_at_least("latent_dim", latent_dim, 1)
        self.family, self.beta_schedule, self.objective = likelihood, beta_schedule, objective or ELBO()
        self.latent_dim, self.context_size, self.join, self.l1 = latent_dim, context_size, join, l1
        self.seed = seed
        self._noise: torch.Generator | None = None
        self.objective.check(beta_schedule, self.posteriors)
        self.build(encoder, decoder)

    def build(self, encoder: Callable[..., nn.Module] | None, decoder: Callable[..., nn.Module] | None) -> None:
        """Build the submodules with weights: encoder, head and decoder."""
        if encoder is None or decoder is None:
            raise UserError(
                f"model.encoder and model.decoder must name nets for {self.name}, got null. Choose net=mlp."
            )
        layer_context = self.context_size if self.join == "every_layer" else 0
        head_context = 0 if self.join == "decoder" else self.context_size
        numbers = self.posteriors.numbers
        self.encoder = encoder(self.shape, layer_context)
        features, code = feature_size(self.encoder), code_size(self.encoder)
        if code:
            self.latent_dim = code
            self.head = CodeHead(code, features, head_context, numbers)
        else:
            self.head = posterior_layer(self.encoder, features + head_context, numbers * self.latent_dim)
        self.decoder = decoder(self.latent_dim + self.context_size, self.shape, layer_context)

    # The model ------------------------------------------------------------------------------------------

    def context(self, y: Tensor | None) -> Tensor | None:
        """Return the context of labels, (B, K), or None for an unconditional model."""
        return None

    def posterior(self, x: Tensor, y: Tensor | None = None) -> Posterior:
        """Return q(z | x) of images, (B, C, H, W), and, for a conditional model, labels."""
        c = self.context(y)
        h = self.encoder(x, c if self.join == "every_layer" else None)  # (B, F)
        if c is not None and self.join != "decoder":
            h = torch.cat([h, c], dim=1)
        return self.posteriors.from_numbers(self.head(h))

    def likelihood(self, z: Tensor, y: Tensor | None = None) -> Pixels:
        """Return p(x | z) of codes, (B, Z), and, for a conditional model, labels."""
        c = self.context(y)
        z = z if c is None else torch.cat([z, c], dim=1)
        return self.family(self.decoder(z, c if self.join == "every_layer" else None))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the code of each image, its posterior mean, (B, Z)."""
        return self.posterior(x, y).mean

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the expected image of each code, (B, C, H, W)."""
        return self.likelihood(z, y).mean

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the reconstruction: the expected image of the posterior mean, (B, C, H, W)."""
        return self.decode(self.encode(x, y), y)

    def terms(self, batch: Batch, eps: Tensor | None) -> Terms:
        """Compute all terms of the loss.

        Args:
            batch: B images.
            eps: noise, (B, Z) for one sample per image, or (B, K, Z) for K; None for a point posterior.
        """
        terms = self.objective.terms(self.posterior(batch.x, batch.y), self.likelihood, batch, eps)
        if self.l1:
            return terms._replace(extra=self.l1 * terms.posterior.mean.abs().sum(1))
        return terms

    @property
    def has_prior(self) -> bool:
        """Whether codes have a standard normal prior to sample from."""
        return self.posteriors.stochastic

    @property
    def notes(self) -> list[str]:
        """Warnings for the run record, one sentence each."""
        return self.posteriors.notes

    @property
    def traits(self) -> list[str]:
        """Short descriptions that titles show after the name: beta, the number of latents, and options that differ."""
        traits = [f"{self.latent_dim} latents", self.objective.name, self.posteriors.name]
        if self.has_prior:
            traits.insert(0, f"beta {self.beta_schedule.weight(1.0):g}")
        return [trait for trait in traits if trait]

    # Setup ----------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Check the range of the data, and initialize the nets from the training images, unless the run is resumed.

        The data modules of this package store uint8 images, which are always in [0, 1]. The check is for data modules
        of users.
        """
        if stage != "fit":
            return
        self.family.check(self._datamodule.take("train", 512).target)
        if self.trainer.ckpt_path is None:
            # A memory-mapped store is no Tensor, but supports the same indexing.
            self.initialize(cast(Tensor, self._datamodule.images("train")))
            self._remove_context_from_codes()

    def initialize(self, images: Tensor) -> None:
        """Pass the uint8 training images, (N, C, H, W), to the nets that initialize weights from them."""
        for net in (self.encoder, self.decoder):
            initialize_net(net, images)

    @torch.no_grad()
    def _remove_context_from_codes(self) -> None:
        """Start with codes that are linearly independent of the context; see `autoencoders.nets.heads.move_context`.

        Applies to a conditional model whose encoder and decoder both have a linear layer from context to code.
        """
        if not self.context_size or not isinstance(self.head, CodeHead):
            return
        encoder_shift, decoder_shift = self.head.shift, context_shift(self.decoder)
        if encoder_shift is None or decoder_shift is None:
            return
        count = len(self._datamodule.images("train"))
        # Rows are spread over the split, because the first rows may all have the same label.
        rows = torch.linspace(0, count - 1, min(SAMPLE, count)).long()
        batch = self._datamodule.evaluation_batches("train").batch(rows)
        context = self.context(batch.y)
        if context is None:
            return
        codes = []
        for chunk in chunk_slices(len(batch.x), 4 * batch.x[0].numel(), ROWS_PER_CHUNK):
            h = self.encoder(batch.x[chunk], context[chunk] if self.join == "every_layer" else None)
            codes.append(h)
        move_context(encoder_shift, decoder_shift, torch.cat(codes)[:, : self.latent_dim], context)

    # Training and evaluation ----------------------------------------------------------------------------

    def _training_noise(self, size: int, number: int) -> Tensor | None:
        """Return the noise of a training batch: (B, Z), (B, K, Z) if the objective takes K samples, or None.

        It is a function of (seed, epoch, batch), so a resume has no state to restore. Every process generates the
        noise of the batch of all processes and takes its own rows, so it does not depend on the number of processes.
        """
        if not self.posteriors.stochastic:
            return None
        if self._noise is None or self._noise.device != self.device:
            self._noise = torch.Generator(self.device)
        self._noise.manual_seed(counter_rng.derive_seed(self.seed, "train", self.current_epoch, number))
        world = self.trainer.world_size
        samples = [self.objective.samples] if self.objective.samples > 1 else []
        shape = (size * world, *samples, self.latent_dim)
        eps = self.posteriors.fresh(*shape, generator=self._noise, device=self.device)
        return eps[self.global_rank :: world]

    def batch_loss(self, batch: Batch, number: int) -> Tensor | None:
        """Return the loss of a training batch in nats per image. Its sums stay on the device until they are logged."""
        count = len(batch.x)
        self._progress = min(1.0, self.trainer.global_step / self._steps)
        terms = self.terms(batch, self._training_noise(count, number))
        distortion, rate = terms.distortion.mean(), terms.rate.mean()
        loss = distortion + self.beta_schedule(rate, self._progress) if terms.bound is None else terms.bound.mean()
        if terms.extra is not None:
            loss = loss + terms.extra.mean()
        with torch.no_grad():
            self._sums["train"].add(torch.stack([distortion, rate, loss]) * count, count)
            if self._logs_step(number):
                self._log_step()
        return loss

    def _log_step(self) -> None:
        """Log `step/*`: means over the images since the last logged step."""
        (distortion, rate, loss), self._marks["step"] = self._sums["train"].window(self._marks["step"])
        metrics = {
            "step/loss": loss.float(),
            "step/distortion": distortion.float(),
            "step/rate": rate.float(),
            "step/beta": self.beta_schedule.weight(self._progress),
            "step/lr": self._learning_rate(),
        }
        self.add_step_metrics(metrics)

    def _training_metrics(self, means: Tensor) -> dict[str, float]:
        distortion, rate, loss = means.tolist()
        return named_metrics(self, "train", distortion, rate, loss)

    def _evaluation_sums(self, batch: Batch, split: str) -> Tensor:
        return evaluation_sums(self, batch, split)

    def _evaluation_metrics(self, split: str, means: Tensor) -> dict[str, float]:
        return evaluation_metrics(self, split, means)
