"""Base class of all autoencoders, which combines an encoder, a posterior, a decoder, a likelihood and an objective."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, cast

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from autoencoders.latent.densities import Density
from autoencoders.latent.paths import PATHS
from autoencoders.models import defaults
from autoencoders.models.base import ImageModel
from autoencoders.models.evaluation import evaluation_metrics, evaluation_terms, loss_metrics
from autoencoders.models.initialization import initialize_prior, remove_context_from_codes
from autoencoders.models.prior_codes import PriorNoise, draw_noise, prior_codes
from autoencoders.models.training_noise import TrainingNoise
from autoencoders.nets.base import code_size, feature_size, initialize_net, posterior_layer
from autoencoders.nets.heads import CodeHead
from autoencoders.objectives.beta_schedules import BetaSchedule
from autoencoders.objectives.code_densities import CodeDensity
from autoencoders.objectives.elbo import ELBO, MeanTerms, Terms
from autoencoders.objectives.likelihoods import Likelihood, Pixels
from autoencoders.objectives.posteriors import PointFamily, Posterior, PosteriorFamily
from autoencoders.objectives.priors import Prior, StandardNormalPrior
from autoencoders.objectives.regularizers import CodeBatch, Regularizer
from autoencoders.types import Batch, Context, Shape, UserError
from autoencoders.utils.checks import check_at_least, check_not_negative, require
from autoencoders.utils.modes import evaluation_mode


def as_autoencoder(model: pl.LightningModule) -> Autoencoder:
    """Return the model unchanged if it is an `Autoencoder`.

    Raises:
        UserError: if the model is not an `Autoencoder`.
    """
    if not isinstance(model, Autoencoder):
        raise UserError(
            f"The model must be an autoencoder, got {type(model).__name__}. Choose, for example, model=vae."
        )
    return model


class Autoencoder(ImageModel):
    """Base class of autoencoders with the loss distortion + beta * rate, in nats per image, averaged over the batch.

    The distortion is -log p(x | z). The rate is the KL divergence of the posterior from the prior. `beta_schedule` sets
    beta for each step. An objective such as IWAE replaces the loss by a tighter bound on -log p(x). A regularizer
    adds a term that depends on all codes of a batch.

    `encode` and `forward` use the posterior mean. The loss uses samples z from the posterior. In validation and test,
    each image always has the same noise.

    All arguments except `shape` have defaults. Parts of the model are given by name or as an object. The names and the
    default options are those of the config groups in `conf/`; see `autoencoders.models.defaults`.

    Args:
        shape: image shape (C, H, W), for example `data.shape` of a data module after `setup`.
        context: kind and names of the labels that a conditional model uses, such as `data.context`; None if there are
            no labels.
        latent_dim: Z, the size of the latent code. An encoder whose first features are a code (attribute `code`)
            replaces this value by the size of that code.
        net: name of the encoder and the decoder: `mlp`, `conv`, `deepconv`, `burgess`, `residual`, `pyramid` or `skip`.
            It replaces `encoder` and `decoder`. None to use these.
        likelihood: distribution p(x | z) of the pixels: `bernoulli`, `gaussian`, `gaussian_learned`, `laplace`, or an
            object. None selects `gaussian` with linear means for the nets `residual` and `pyramid`, otherwise the
            `default_likelihood` of the class.
        beta: final beta of the beta schedule; None for the default of the schedule, which is 1 for a constant beta.
        beta_schedule: schedule of beta, the weight of the rate in the loss: `constant`, `warmup`, `cyclical`,
            `capacity`, or an object.
        encoder: name of a net, or a function of (shape, context size) that returns the encoder. See
            `autoencoders.nets`.
        decoder: name of a net, or a function of (input size, shape, context size) that returns the decoder.
        optimizer: `adam`, `adamw`, or a function of the parameters that returns the optimizer. None for a model that is
            not trained by gradients.
        lr: learning rate; its maximum, if the schedule changes it. None for 6e-3, or 1e-3 with `burgess`, `residual`
            and `pyramid`.
        schedule: learning-rate schedule: `one_cycle`, `cosine`, `constant`, `ladder`, or a partial call with the
            optimizer. An argument `auto` is replaced by the number of optimizer steps of the run. None for a constant
            learning rate.
        objective: computes the terms of the loss from samples of z: `elbo`, `iwae`, or an object. None for `elbo`.
        regularizer: term of the loss that is computed from the codes of a batch: `none`, `tc`, `dip_i`, `dip_ii`,
            `mmd`, or an object. None for `none`.
        prior: density of the codes from which the rate is measured and codes are sampled: `standard_normal`,
            `mixture`, `vamp`, `conditional`, or an object. None for `standard_normal`.
        seed: seed of the noise in training.
        name: display name of the model in figures and tables; empty for the class name in lower case.
        context_size: K, the size of the context vector that the method `context` returns; 0 for an unconditional model.
        join: where the context vector (encoded labels) is concatenated. `both`: to the encoder's features and to the
            code. `decoder`: to the code only. `every_layer`: as `both`, and the layers of both nets receive the vector.
        l1: weight of the L1 norm of the code (posterior mean) in the loss. The model is a sparse autoencoder if the
            weight is > 0.

    Raises:
        UserError: if an option is out of range, or if two options are incompatible.
    """

    loss_terms = ("distortion", "rate", "loss")
    decodes: ClassVar[bool] = True
    default_likelihood: ClassVar[str] = "bernoulli"
    """Name of the likelihood that the argument `likelihood=None` selects."""
    posteriors: PosteriorFamily = PointFamily()
    """Family of posteriors q(z | x), which converts the output of the encoder to a posterior."""
    latent_dim: int
    beta_schedule: BetaSchedule
    objective: ELBO
    regularizer: Regularizer
    prior: Prior
    family: Likelihood
    encoder: nn.Module
    head: nn.Module
    decoder: nn.Module

    def __init__(
        self,
        shape: Shape,
        *,
        context: Context | None = None,
        latent_dim: int = defaults.LATENT_DIM,
        net: str | None = None,
        likelihood: Likelihood | str | None = None,
        beta: float | None = None,
        beta_schedule: BetaSchedule | str = "constant",
        encoder: Callable[..., nn.Module] | str | None = "mlp",
        decoder: Callable[..., nn.Module] | str | None = "mlp",
        optimizer: Callable | str | None = "adam",
        lr: float | None = None,
        schedule: partial | str | None = "one_cycle",
        objective: ELBO | str | None = None,
        regularizer: Regularizer | str | None = None,
        prior: Prior | str | None = None,
        seed: int = 0,
        name: str = "",
        context_size: int = 0,
        join: str = "both",
        l1: float = 0.0,
    ) -> None:
        name = name or type(self).__name__.lower()
        if net is not None:
            encoder = decoder = net
        is_pca = decoder in defaults.PCA_NETS
        default_lr = defaults.LEARNING_RATES.get(str(decoder), defaults.LEARNING_RATE)
        optimizer = defaults.build_optimizer(optimizer, lr, default_lr)
        schedule = defaults.build_schedule(schedule)
        super().__init__(shape=shape, labels=context, name=name, optimizer=optimizer, schedule=schedule)
        check_not_negative("model.l1", l1)
        check_at_least("latent_dim", latent_dim, 1)
        likelihood = likelihood or ("gaussian" if is_pca else self.default_likelihood)
        self.family = defaults.build_likelihood(likelihood, decoder)
        self.beta_schedule = defaults.build_beta_schedule(beta_schedule, beta)
        self.objective = defaults.build_objective(objective)
        self.regularizer = defaults.build_regularizer(regularizer)
        self.prior = defaults.build_prior(prior)
        self.training_images = 0
        self.latent_dim, self.context_size, self.join, self.l1 = latent_dim, context_size, join, l1
        self.training_noise = TrainingNoise(seed)
        self.objective.check(self.beta_schedule, self.posteriors)
        self.regularizer.check(self.posteriors, self.objective.weighted, self.prior.option)
        self.prior.check(self.posteriors, self.context_size)
        self.build(defaults.build_encoder(encoder, latent_dim), defaults.build_decoder(decoder, latent_dim))

    def build(self, encoder: Callable[..., nn.Module] | None, decoder: Callable[..., nn.Module] | None) -> None:
        """Build the submodules with trainable weights: `encoder`, `head` and `decoder`.

        Raises:
            UserError: if `encoder` or `decoder` is None.
        """
        if encoder is None or decoder is None:
            raise UserError(
                f"model.encoder and model.decoder must be set for {self.name}, got null. Choose, for example, net=mlp."
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
        self.prior.build(self.latent_dim, self.shape, self.context_size)

    # The model ------------------------------------------------------------------------------------------

    def context(self, y: Tensor | None) -> Tensor | None:
        """Return the context vectors (B, K) that encode the labels `y`, or None for an unconditional model."""
        return None

    def posterior(self, x: Tensor, y: Tensor | None = None) -> Posterior:
        """Return the posteriors q(z | x) of a batch.

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: class indices (B,) or attributes (B, A), for a conditional model only.
        """
        return self.posteriors.from_numbers(self._encode(x, self.context(y)))

    def _encode(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Return the numbers (B, P) that describe the posteriors of images (B, C, H, W) and context vectors (B, K)."""
        h = self.encoder(x, c if self.join == "every_layer" else None)  # (B, F)
        if c is not None and self.join != "decoder":
            h = torch.cat([h, c], dim=1)
        return self.head(h)

    def code_density(self, y: Tensor | None = None) -> CodeDensity:
        """Return the prior p(z) of the codes, or p(z | y) for a prior that depends on the labels.

        Args:
            y: class indices (B,) or attributes (B, A) of B images, for such a prior only.
        """
        pseudo = self.prior.pseudo_inputs()
        encoded = None if pseudo is None else self.posteriors.from_numbers(self._encode(*pseudo))
        return self.prior(self.context(y) if self.prior.conditional else None, encoded)

    def _posterior_and_prior(self, x: Tensor, y: Tensor | None) -> tuple[Posterior, CodeDensity]:
        """Return the posteriors of a batch and the prior; see `posterior` and `code_density`.

        Images and pseudo-inputs are encoded as one batch. If they were encoded separately in training, batch
        normalization would treat them differently, and training would exploit the difference.
        """
        pseudo = self.prior.pseudo_inputs()
        if pseudo is None:
            return self.posterior(x, y), self.code_density(y)
        c = self.context(y)
        contexts = None if c is None or pseudo.context is None else torch.cat([c, pseudo.context])
        numbers = self._encode(torch.cat([x, pseudo.images]), contexts).split([len(x), len(pseudo.images)])
        posterior, encoded = map(self.posteriors.from_numbers, numbers)
        return posterior, self.prior(None, encoded)

    def likelihood(self, z: Tensor, y: Tensor | None = None) -> Pixels:
        """Return the pixel distributions p(x | z) of a batch.

        Args:
            z: codes (B, Z).
            y: class indices (B,) or attributes (B, A), for a conditional model only.
        """
        c = self.context(y)
        z = z if c is None else torch.cat([z, c], dim=1)
        return self.family(self.decoder(z, c if self.join == "every_layer" else None))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the codes (B, Z), which are the posterior means, of images `x` (B, C, H, W)."""
        return self.posterior(x, y).mean

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the mean images (B, C, H, W) of p(x | z) for codes `z` (B, Z)."""
        return self.likelihood(z, y).mean

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the reconstructions (B, C, H, W) of images `x`, decoded from the posterior means."""
        return self.decode(self.encode(x, y), y)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the reconstructions (B, C, H, W) of images `x`; see `reconstruct`."""
        return self.reconstruct(x, y)

    def sample(
        self,
        n: int,
        y: Any = None,
        temperature: float = 1.0,
        density: Density | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return mean images (n, C, H, W) of p(x | z) for codes z sampled from the prior or from another density.

        The model is in evaluation mode during the call, and no gradients are computed.

        Args:
            n: number of images.
            y: labels of the images, for a conditional model only; see `CVAE.label_tensor`. Class indices (n,), class
                names, attributes (n, A), or the label of one image for all images.
            temperature: factor on the deviation of every code from the mean of the density, or of its component for a
                prior that is a mixture. 0 decodes the means only.
            density: density of the codes, fitted by its method `fit`; see `autoencoders.latent.densities`. None for the
                prior of the model.
            generator: generator of the random numbers, on the CPU for a density; None for the global generator.

        Raises:
            UserError: if the model has no prior and there is no density, or an argument is out of range.

        Example:
            >>> from autoencoders import VAE
            >>> model = VAE(shape=(1, 28, 28), latent_dim=20)
            >>> model.sample(16).shape
            torch.Size([16, 1, 28, 28])
        """
        check_at_least("n", n, 1)
        check_not_negative("temperature", temperature)
        if density is None and not self.has_prior:
            raise UserError(
                f"sample needs a model with a prior, got {self.name}. Choose model=vae or model=cvae, or fit a density "
                "to the codes: density=GaussianFull().fit(codes) in Python, or application=sample."
            )
        labels = self.label_tensor(y, n)
        if density is None:
            z = prior_codes(self, draw_noise(self, n, generator), labels, temperature)
        else:
            if generator is None:
                generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
            mean = density.mean.float()
            z = (mean + temperature * (density.sample(n, generator) - mean)).to(self.device)
        with evaluation_mode(self):
            return self.decode(z, labels)

    def interpolate(self, a: Tensor, b: Tensor, steps: int = 8, y: Any = None, path: str = "linear") -> Tensor:
        """Return images that are decoded at equal distances on the path between the codes of two images.

        The first and the last image are the reconstructions of `a` and `b`. The model is in evaluation mode during the
        call, and no gradients are computed.

        Args:
            a: image (C, H, W) at the start, or N images (N, C, H, W).
            b: image (C, H, W) at the end, or N images (N, C, H, W).
            steps: S, the number of images on a path, including both ends.
            y: labels of the images, for a conditional model only; see `CVAE.label_tensor`. Both ends have the same
                labels.
            path: `linear` or `spherical`; see `autoencoders.latent.paths`.

        Returns:
            Images (S, C, H, W), or (N, S, C, H, W) for N pairs of images.

        Raises:
            UserError: if the shapes of `a` and `b` are wrong, or an argument is out of range.

        Example:
            >>> import torch
            >>> from autoencoders import VAE
            >>> model = VAE(shape=(1, 28, 28))
            >>> model.interpolate(torch.zeros(1, 28, 28), torch.ones(1, 28, 28), steps=5).shape
            torch.Size([5, 1, 28, 28])
        """
        check_at_least("steps", steps, 2)
        require(path in PATHS, "path", path, f"one of {list(PATHS)}")
        for name, images in (("a", a), ("b", b)):
            valid = images.shape == a.shape and images.dim() in (3, 4) and tuple(images.shape[-3:]) == self.shape
            require(valid, name, tuple(images.shape), f"images of shape {self.shape}, or the same number of them")
        if a.dim() == 3:
            return self.interpolate(a[None], b[None], steps, y, path)[0]
        labels = self.label_tensor(y, len(a))
        with evaluation_mode(self):
            start, end = (self.encode(images.to(self.device), labels) for images in (a, b))
            codes = PATHS[path](start, end, torch.linspace(0, 1, steps, device=self.device))  # (N, S, Z)
            repeated = None if labels is None else labels.repeat_interleave(steps, dim=0)
            return self.decode(codes.flatten(0, 1), repeated).unflatten(0, (len(a), steps))

    def label_tensor(self, y: Any, n: int) -> Tensor | None:
        """Return labels as a tensor for n images on the device of the model; None for an unconditional model."""
        return None

    def terms(self, batch: Batch, eps: Tensor | None) -> Terms:
        """Compute all terms of the loss for each image of a batch.

        Args:
            batch: batch with B images.
            eps: noise (B, Z) for one sample per image, or (B, K, Z) for K samples per image; None for a posterior that
                is a single point.
        """
        posterior, prior = self._posterior_and_prior(batch.x, batch.y)
        terms = self.objective.terms(posterior, self.likelihood, batch, eps, prior)
        if self.l1:
            return terms._replace(extra=self.l1 * terms.posterior.mean.abs().sum(1))
        return terms

    def regularization(self, posterior: Posterior, z: Tensor, prior: CodeDensity, noise: PriorNoise) -> Tensor:
        """Return the regularizer () of a batch, before it is multiplied by its weight, in float32 even under autocast.

        Args:
            posterior: posteriors q(z | x) of the B images.
            z: (B, Z) one sample of each posterior.
            prior: prior of the B images.
            noise: random numbers for samples of the prior.
        """
        samples = prior.transform(*noise)
        with torch.autocast(z.device.type, enabled=False):
            return self.regularizer(CodeBatch(posterior, z, samples, self.training_images))

    @property
    def has_prior(self) -> bool:
        """Whether the model has a prior p(z) or p(z | y), from which codes can be sampled."""
        return self.posteriors.stochastic

    @property
    def has_standard_prior(self) -> bool:
        """Whether the prior is the standard normal N(0, I)."""
        return self.has_prior and self.prior.option == StandardNormalPrior.option

    @property
    def notes(self) -> list[str]:
        """Warnings about the posterior, one sentence each, that are saved in run.json."""
        return self.posteriors.notes

    @property
    def traits(self) -> list[str]:
        """Short descriptions that figure titles show after the model name.

        They are beta, the number of latents, and the objective, the regularizer, the prior and the posterior if these
        are not the default.
        """
        parts = self.objective, self.regularizer, self.prior, self.posteriors
        traits = [f"{self.latent_dim} latents", *(part.name for part in parts)]
        if self.has_prior:
            traits.insert(0, f"beta {self.beta_schedule.weight(1.0):g}")
        return [trait for trait in traits if trait]

    # Setup ----------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Check the range of the pixel values. In a new run, also initialize the nets from the training images.

        The data modules of this package store integers, so that pixel values are always in [0, 1]. The check is
        necessary for data modules written by users.
        """
        if self.regularizer.active:
            self.training_images = len(self._datamodule.images("train"))
        if stage != "fit":
            return
        if tuple(self._datamodule.shape) != self.shape:
            raise UserError(
                f"The images must have the shape of the model, {self.shape}, got {tuple(self._datamodule.shape)}. "
                "Build the model with shape=data.shape, after data.setup()."
            )
        self.family.check(self._datamodule.take("train", 512).target)
        if self.trainer.ckpt_path is None and not self.initialized:
            # The images may be a memory-mapped RowView instead of a Tensor. A RowView supports the same indexing.
            self.initialize(cast(Tensor, self._datamodule.images("train")))
            remove_context_from_codes(self, self._datamodule)
            initialize_prior(self, self._datamodule)

    def initialize(self, images: Tensor) -> None:
        """Initialize the weights of encoder and decoder from the stored training images (N, C, H, W).

        A net without a method `initialize` keeps its weights.
        """
        for net in (self.encoder, self.decoder):
            initialize_net(net, images)

    # Training and evaluation ----------------------------------------------------------------------------

    def _shared_step(self, batch: Batch, stage: str, number: int) -> Tensor | None:
        """Update the metric of a stage with a batch. In training, also return the loss in nats per image."""
        count = len(batch.x)
        if stage != "train":
            self._metric(stage).update(evaluation_terms(self, batch, stage), count)
            return None
        steps = self.trainer.global_step
        self._progress = min(1.0, steps / self._steps)
        terms = self.terms(batch, self.training_noise.posterior(self, count, number))
        means = terms.mean()
        if self.regularizer.active:
            noise = self.training_noise.prior(self, count, number)
            means = means._replace(regularizer=self.regularization(terms.posterior, terms.z, terms.prior, noise))
        loss = self.objective.loss(means, self.beta_schedule, self._progress, self.regularizer.weight)
        with torch.no_grad():
            regularizer = [] if means.regularizer is None else [means.regularizer]
            self._update_training_metric(torch.stack([means.distortion, means.rate, loss, *regularizer]), count)
        if self._logs_step(number, steps):
            self._log_step()
        return loss

    def _log_step(self) -> None:
        """Log the metrics `step/*`. Loss terms are means since the previous logged step of the epoch."""
        distortion, rate, loss = self.train_metric.compute_window().float()[:3]
        metrics = {
            "step/loss": loss,
            "step/distortion": distortion,
            "step/rate": rate,
            "step/beta": self.beta_schedule.weight(self._progress),
            "step/lr": self._learning_rate(),
        }
        self.add_step_metrics(metrics)

    def _stage_metrics(self, stage: str, means: Tensor) -> dict[str, float]:
        if stage != "train":
            return evaluation_metrics(self, stage, means)
        distortion, rate, loss = means[:3]
        regularizer = means[3] if self.regularizer.active else None
        return loss_metrics(self, stage, MeanTerms(distortion, rate, regularizer=regularizer), float(loss))
