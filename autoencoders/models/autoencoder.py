"""What every autoencoder is: an encoder, a posterior, a decoder, a likelihood, and one objective in nats."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from autoencoders.metrics.running_sums import RunningSums
from autoencoders.models.evaluation import evaluation_metrics, evaluation_sums, named_metrics
from autoencoders.models.optim import optimizer_config, planned_steps
from autoencoders.nets.heads import CodeHead, move_context
from autoencoders.objectives.elbo import ELBO, Posterior, Terms
from autoencoders.objectives.likelihoods import Likelihood, Pixels
from autoencoders.objectives.posteriors import PointPosterior, Reparameterization
from autoencoders.types import Batch, Context, Shape, UserError
from autoencoders.utils import counter_rng

if TYPE_CHECKING:
    from autoencoders.objectives.beta_schedules import BetaSchedule

SAMPLE = 4096
"""Training images that the codes' dependence on the context is measured on, at the start."""


class Autoencoder(pl.LightningModule):
    """loss = distortion + beta(step) * rate, or a tighter bound, in nats per image, averaged over the batch.

    Encoding and reconstructing use the posterior mean; the loss always samples z, in validation and test with
    noise fixed by row.

    Args:
        shape: (C, H, W), as the datamodule reports it.
        context: classes or attributes, as the datamodule reports them, or None.
        likelihood: p(x | z).
        beta_schedule: beta(step).
        latent_dim: Z; an encoder whose features are a code (`.code`) has the last word.
        encoder: called with (shape, context_size); see `autoencoders.nets`.
        decoder: called with (inputs, shape, context_size).
        optimizer: called with the parameters.
        schedule: called with the optimizer; an argument given as `auto` becomes the run's optimizer steps.
        objective: what samples of z make of an image; None for the ELBO of one sample.
        seed: of the training noise.
        name: what figures and tables call this model.
        context_size: K, the size of the vector that `context` returns; 0 for an unconditional model.
        join: where the condition enters: `both` ends, `decoder` alone, or `every_layer`.
        l1: weight in the loss of the code's L1 norm, |posterior mean|: a sparse autoencoder where above 0.
    """

    posteriors: type[PointPosterior] | Reparameterization = PointPosterior
    """What makes q(z | x) of an encoder's numbers."""

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
        schedule: Callable | None = None,
        objective: ELBO | None = None,
        seed: int = 0,
        name: str = "",
        context_size: int = 0,
        join: str = "both",
        l1: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape, self.labels, self.latent_dim = tuple(shape), context, latent_dim
        self.family, self.beta_schedule, self.seed = likelihood, beta_schedule, seed
        self.name = name or type(self).__name__.lower()
        self._optimizer, self._schedule = optimizer, schedule
        if not 0 <= l1 < math.inf:
            raise UserError(f"model.l1 must be a weight from 0 up, and is {l1}.")
        if latent_dim < 1:
            raise UserError(f"latent_dim must be a number of latents from 1 up, and is {latent_dim}.")
        self.context_size, self.join, self.l1 = context_size, join, l1
        self.objective = objective or ELBO()
        self.objective.check(beta_schedule, self.posteriors)
        self.build(encoder, decoder)
        self._sums = {split: RunningSums() for split in ("train", "val", "test")}
        self._marks: dict[str, tuple | None] = {"step": None, "epoch": None}
        self._marked_epoch, self._saved_sums = -1, None
        self._noise: torch.Generator | None = None
        self._steps, self._progress, self._planned = 0, 1.0, None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; of the one that Lightning sets around each of its hooks, 45 times a step, at once.

        Torch asks of every attribute of a module whether it is a parameter, a buffer or a module: .15 ms a step.
        """
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def build(self, encoder: Callable[..., nn.Module], decoder: Callable[..., nn.Module]) -> None:
        """Make the parts that carry weights: encoder, head and decoder."""
        inside = self.context_size if self.join == "every_layer" else 0
        self.encoder = encoder(self.shape, inside)
        joined, numbers = 0 if self.join == "decoder" else self.context_size, self.posteriors.numbers
        if code := getattr(self.encoder, "code", 0):
            self.latent_dim = code
            self.head = CodeHead(code, self.encoder.features, joined, numbers)
        else:
            linear = getattr(self.encoder, "linear", nn.Linear)
            self.head = linear(self.encoder.features + joined, numbers * self.latent_dim)
        self.decoder = decoder(self.latent_dim + self.context_size, self.shape, inside)

    # The model ------------------------------------------------------------------------------------------

    def context(self, y: Tensor | None) -> Tensor | None:
        """The vector a condition is joined as, (B, K), or None for an unconditional model."""
        return None

    def posterior(self, x: Tensor, y: Tensor | None = None) -> Posterior:
        """q(z | x): (B, C, H, W) images, and labels where the model is conditional."""
        c = self.context(y)
        h = self.encoder(x, c if self.join == "every_layer" else None)  # (B, F)
        if c is not None and self.join != "decoder":
            h = torch.cat([h, c], dim=1)
        return self.posteriors.from_numbers(self.head(h))

    def likelihood(self, z: Tensor, y: Tensor | None = None) -> Pixels:
        """p(x | z): (B, Z) codes, and labels where the model is conditional."""
        c = self.context(y)
        z = z if c is None else torch.cat([z, c], dim=1)
        return self.family(self.decoder(z, c if self.join == "every_layer" else None))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The code of each image, its posterior mean, (B, Z)."""
        return self.posterior(x, y).mean

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The expected image of each code, (B, C, H, W)."""
        return self.likelihood(z, y).mean

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstruct: the expected image of the posterior mean, (B, C, H, W)."""
        return self.decode(self.encode(x, y), y)

    def terms(self, batch: Batch, eps: Tensor | None) -> Terms:
        """Every part of the objective, with the noise given: (B, Z) for one sample an image, else (B, K, Z)."""
        terms = self.objective.terms(self.posterior(batch.x, batch.y), self.likelihood, batch, eps)
        return terms._replace(extra=self.l1 * terms.posterior.mean.abs().sum(1)) if self.l1 else terms

    @property
    def has_prior(self) -> bool:
        """Whether codes have a standard normal prior to sample from."""
        return self.posteriors.stochastic

    @property
    def notes(self) -> list[str]:
        """What a run's record must say of this model beside its configuration."""
        return getattr(self.posteriors, "notes", [])

    @property
    def traits(self) -> list[str]:
        """What a title says of it beside its name: beta where there is a rate, the code's size, what is unusual."""
        beta = [f"beta {self.beta_schedule.weight(1.0):g}"] if self.has_prior else []
        unusual = filter(None, [self.objective.name, getattr(self.posteriors, "name", "")])
        return [*beta, f"{self.latent_dim} latents", *unusual]

    # Fitting --------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Check the data's range and let nets initialize from the training images, once, never on resume.

        Our stores are uint8 and so always in [0, 1]; the check is for a datamodule of your own.
        """
        if stage != "fit":
            return
        datamodule = self.trainer.datamodule
        self.family.check(datamodule.take("train", 512).target)
        if self.trainer.ckpt_path is None:
            self.initialize(datamodule.images("train"))
            if (
                self.context_size
                and isinstance(self.head, CodeHead)
                and self.head.shift
                and hasattr(self.decoder, "shift")
            ):
                count = len(datamodule.images("train"))
                rows = torch.linspace(0, count - 1, min(SAMPLE, count)).long()  # the first may be all of one label
                self._move_context(datamodule.evaluation("train").batch(rows))

    def initialize(self, images: Tensor) -> None:
        """Pass the uint8 training images, (N, C, H, W), to every net that wants to start from them."""
        for net in (self.encoder, self.decoder):
            if hasattr(net, "initialize"):
                net.initialize(images)

    @torch.no_grad()
    def _move_context(self, batch: Batch) -> None:
        context = self.context(batch.y)
        inside = context if self.join == "every_layer" else None
        starts = range(0, len(batch.x), 256)
        codes = [self.encoder(batch.x[s : s + 256], None if inside is None else inside[s : s + 256]) for s in starts]
        move_context(self.head, self.decoder.shift, torch.cat(codes)[:, : self.latent_dim], context)

    def configure_optimizers(self) -> dict:
        """The optimizer over all parameters, and its schedule stepped once per optimizer step."""
        return optimizer_config(self.parameters(), self._optimizer, self._schedule, self.trainer)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip; under bfloat16 directly, since Lightning refuses fused optimizers there without need."""
        if not gradient_clip_val:
            return
        if self.trainer.precision == "bf16-mixed":
            clip = nn.utils.clip_grad_value_ if gradient_clip_algorithm == "value" else nn.utils.clip_grad_norm_
            clip(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    @property
    def progress(self) -> float:
        """The share of the run's steps done before the latest training step, in [0, 1]; 1 outside a fit.

        Validation so uses the beta of the training step it follows.
        """
        fitting = self._trainer is not None and self._trainer.state.fn == "fit"
        return self._progress if fitting else 1.0

    def on_fit_start(self) -> None:
        """Look the number of optimizer steps up, once, and refuse what needs to know it and cannot."""
        self._steps = planned_steps(self.trainer, self.beta_schedule, self._schedule, self._planned)
        self._progress = min(1.0, self.trainer.global_step / max(self._steps, 1))
        if self._saved_sums is not None:
            state, self._saved_sums = dict(self._saved_sums), None
            self._marked_epoch = state.pop("of_epoch")
            self._marks = self._sums["train"].load(state, self.trainer.is_global_zero, self.device)

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Keep the number of steps that schedules were planned for, and the sums of the epoch so far."""
        checkpoint["planned_steps"] = self._steps
        sums = self._sums["train"].state(self._marks, self._over_processes)
        checkpoint["training_sums"] = {**sums, "of_epoch": self._marked_epoch}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Remember the steps, to be compared with this run's, and go on from the sums when the fit starts."""
        self._planned, self._saved_sums = checkpoint.get("planned_steps"), checkpoint.get("training_sums")

    # Steps ----------------------------------------------------------------------------------------------

    def _training_noise(self, size: int, batch_idx: int) -> Tensor | None:
        """Draws that are a function of (seed, epoch, batch), so that a resume has nothing to restore.

        (B, Z), or (B, K, Z) where the objective wants K samples.

        Every process draws for the whole batch and takes its own rows: how many there are changes nothing.
        """
        if not self.posteriors.stochastic:
            return None
        if self._noise is None or self._noise.device != self.device:
            self._noise = torch.Generator(self.device)
        self._noise.manual_seed(counter_rng.derive_seed(self.seed, "train", self.current_epoch, batch_idx))
        world = self.trainer.world_size
        samples = [self.objective.samples] if self.objective.samples > 1 else []
        shape = (size * world, *samples, self.latent_dim)
        eps = self.posteriors.fresh(*shape, generator=self._noise, device=self.device)
        return eps[self.global_rank :: world]

    @property
    def training_sums(self) -> RunningSums:
        """Sums over training images of distortion, rate and loss, in nats, since the fit began."""
        return self._sums["train"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch, in nats per image; sums stay on the device, logged when the logger writes."""
        count, trainer = len(batch.x), self.trainer
        self._progress = min(1.0, trainer.global_step / self._steps)
        terms = self.terms(batch, self._training_noise(count, batch_idx))
        distortion, rate = terms.distortion.mean(), terms.rate.mean()
        loss = distortion + self.beta_schedule(rate, self._progress) if terms.bound is None else terms.bound.mean()
        if terms.extra is not None:
            loss = loss + terms.extra.mean()
        with torch.no_grad():
            self._sums["train"].add(torch.stack([distortion, rate, loss]) * count, count)
            stepping = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
            if stepping and (trainer.global_step + 1) % trainer.log_every_n_steps == 0:
                (distortion, rate, total), self._marks["step"] = self._sums["train"].window(self._marks["step"])
                self.log_dict(
                    {
                        "step/loss": total.float(),
                        "step/distortion": distortion.float(),
                        "step/rate": rate.float(),
                        "step/beta": self.beta_schedule.weight(self._progress),
                        "step/lr": self.optimizers().param_groups[0]["lr"],
                    },
                    batch_size=count,
                )
        return loss

    def on_train_epoch_start(self) -> None:
        """An epoch's training metrics start from here, unless a checkpoint was in the middle of it."""
        if self._marked_epoch != self.current_epoch:
            self._marked_epoch, self._marks["epoch"] = self.current_epoch, self._sums["train"].mark()

    def on_train_epoch_end(self) -> None:
        """Log the means over the images the epoch trained on."""
        means = self._sums["train"].means(self._over_processes, since=self._marks["epoch"])
        if len(means):
            self.log_dict(named_metrics(self, "train", *means.tolist()))

    def _evaluation_step(self, batch: Batch, split: str) -> None:
        self._sums[split].add(evaluation_sums(self, batch, split), len(batch.x))

    def _evaluation_end(self, split: str) -> None:
        means = self._sums[split].means(self._over_processes)
        self._sums[split].reset()
        if len(means):
            self.log_dict(evaluation_metrics(self, split, means))

    def _over_processes(self, sums: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(sums, reduce_op="sum")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation sums."""
        self._evaluation_step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Log `val/*`, exact over the split."""
        self._evaluation_end("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test sums."""
        self._evaluation_step(batch, "test")

    def on_test_epoch_end(self) -> None:
        """Log `test/*`, exact over the split."""
        self._evaluation_end("test")
