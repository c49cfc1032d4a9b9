"""Training objectives of autoencoders: the ELBO and the tighter importance-weighted bound (IWAE)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from autoencoders.objectives.code_densities import CodeDensity, StandardGaussian
from autoencoders.objectives.likelihoods import Pixels
from autoencoders.objectives.posteriors import GaussianPosterior, Posterior, PosteriorFamily
from autoencoders.types import Batch, UserError
from autoencoders.utils.checks import require
from autoencoders.utils.recorded import Recorded

if TYPE_CHECKING:
    from autoencoders.objectives.beta_schedules import BetaSchedule


class MeanTerms(NamedTuple):
    """Means of the terms of the loss over images, each a scalar tensor in nats per image; see `Terms`.

    `regularizer` is the regularizer of a batch before it is multiplied by its weight, or its mean over batches; None
    without a regularizer.
    """

    distortion: Tensor
    rate: Tensor
    bound: Tensor | None = None
    extra: Tensor | None = None
    regularizer: Tensor | None = None


class Terms(NamedTuple):
    """Terms of the loss for each of B images.

    Attributes:
        distortion: -log p(target | z) in nats (B,), averaged over the K samples of z.
        rate: KL divergence of the posterior q(z | x) from the prior p(z) in nats (B,): in closed form if the prior has
            one, otherwise the mean of log q(z | x) - log p(z) over the K samples of z.
        posterior: posteriors q(z | x) of the B images.
        prior: prior of the B images.
        pixels: pixel distributions p(x | z) of all B * K samples of z.
        z: (B, Z) codes: the first sample of each image.
        kl: (B, Z) rate per latent in nats; None if the rate has no closed form.
        bound: loss in nats (B,) that replaces distortion + beta * rate; None if the loss is not replaced.
        extra: regularization in nats (B,) that is added to the loss, such as the weighted L1 norm of the code; None
            without regularization.
    """

    distortion: Tensor
    rate: Tensor
    posterior: Posterior
    prior: CodeDensity
    pixels: Pixels
    z: Tensor
    kl: Tensor | None = None
    bound: Tensor | None = None
    extra: Tensor | None = None

    def mean(self) -> MeanTerms:
        """Return the means of the terms over the B images."""
        bound = None if self.bound is None else self.bound.mean()
        extra = None if self.extra is None else self.extra.mean()
        return MeanTerms(self.distortion.mean(), self.rate.mean(), bound, extra)


class DecodedSamples(NamedTuple):
    """K codes per image, sampled from the posteriors of B images, and their pixel distributions.

    Attributes:
        posterior: posteriors q(z | x), each image repeated K times consecutively.
        eps: (B * K, Z) noise of the codes; None for a posterior that is a single point.
        z: (B * K, Z) codes.
        pixels: pixel distributions p(x | z) of the B * K codes.
        nll: (B, K) -log p(target | z) in nats.
    """

    posterior: Posterior
    eps: Tensor | None
    z: Tensor
    pixels: Pixels
    nll: Tensor

    def log_ratios(self, prior: CodeDensity) -> Tensor:
        """Return log p(z) - log q(z | x) (B, K), in nats, for the prior of the B images.

        Raises:
            TypeError: if the posterior is not Gaussian, or if there is no noise.
        """
        if self.eps is None or not isinstance(self.posterior, GaussianPosterior):
            raise TypeError("Importance weights need a GaussianPosterior and noise `eps` that is not None.")
        samples = self.nll.shape[1]
        return prior.repeat(samples).log_ratio(self.posterior, self.z, self.eps).unflatten(0, (-1, samples))


class ELBO(Recorded):
    """Objective distortion + beta * rate, with the distortion averaged over K samples of z (Kingma and Welling, 2013).

    With beta = 1, this is the negative evidence lower bound (ELBO). The number of samples changes the variance of the
    gradient but not its expectation.

    Args:
        samples: K, the number of samples of z per image. The decoder processes B * K codes for a batch of B images.

    Raises:
        UserError: if `samples` is not an integer between 1 and 100,000.
    """

    weighted = False
    """Whether the samples of z are importance-weighted. If True, the loss is `Terms.bound`."""

    def __init__(self, samples: int = 1) -> None:
        valid = isinstance(samples, int) and not isinstance(samples, bool) and 1 <= samples <= 100_000
        require(valid, "objective.samples", samples, "an integer between 1 and 100,000")
        self.samples = samples

    @property
    def name(self) -> str:
        """Display name of the objective in figure titles. It is empty for the ELBO with one sample, the default."""
        return "" if self.samples == 1 else f"ELBO of {self.samples} samples"

    def check(self, beta_schedule: BetaSchedule, posteriors: PosteriorFamily) -> None:
        """Check that the objective can be used with a beta schedule and a posterior family.

        Raises:
            UserError: if `samples` > 1 and the posterior is a single point, so that nothing can be sampled.
        """
        if self.samples > 1 and not posteriors.stochastic:
            raise UserError(
                "objective.samples must be 1 because this model has one code per image and nothing to sample, "
                f"got {self.samples}. Set objective.samples=1, or choose model=vae."
            )

    def terms(
        self,
        posterior: Posterior,
        likelihood: Callable[[Tensor, Tensor | None], Pixels],
        batch: Batch,
        eps: Tensor | None,
        prior: CodeDensity | None = None,
    ) -> Terms:
        """Compute all terms of the loss for a batch.

        Args:
            posterior: posteriors q(z | x) of the B images.
            likelihood: called with codes (B * K, Z) and, for a conditional model, the labels of these codes; returns
                the pixel distributions p(x | z).
            batch: batch with B images.
            eps: noise (B, Z) for one sample per image, or (B, K, Z) for K samples per image; None for a posterior that
                is a single point.
            prior: density of the codes of the B images; None for N(0, I).
        """
        return self._terms(
            self._decode_samples(posterior, likelihood, batch, eps), posterior, prior or StandardGaussian()
        )

    def _terms(self, samples: DecodedSamples, posterior: Posterior, prior: CodeDensity) -> Terms:
        """Compute the terms of the loss from decoded samples of the posteriors of B images."""
        kl = prior.kl(posterior)
        rate = -samples.log_ratios(prior).mean(1) if kl is None else kl.sum(1)
        z = samples.z[:: samples.nll.shape[1]]
        return Terms(samples.nll.mean(1), rate, posterior, prior, samples.pixels, z, kl)

    def loss(
        self, means: MeanTerms, beta_schedule: BetaSchedule, progress: float, regularizer_weight: float = 0.0
    ) -> Tensor:
        """Return the loss, a scalar tensor in nats per image: distortion + beta * rate + regularization.

        Training, validation and test use this method.

        Args:
            means: means of the terms over images.
            beta_schedule: schedule of the weight of the rate.
            progress: completed fraction of the run, in [0, 1], which determines beta.
            regularizer_weight: weight of `means.regularizer`.
        """
        loss = means.distortion + beta_schedule(means.rate, progress)
        if means.regularizer is not None:
            loss = loss + regularizer_weight * means.regularizer
        return loss if means.extra is None else loss + means.extra

    def _decode_samples(
        self,
        posterior: Posterior,
        likelihood: Callable[[Tensor, Tensor | None], Pixels],
        batch: Batch,
        eps: Tensor | None,
    ) -> DecodedSamples:
        """Sample codes z from the posteriors, and decode them. The arguments are those of `terms`."""
        samples = 1 if eps is None or eps.dim() == 2 else eps.shape[1]
        y, target = batch.y, batch.target
        if eps is not None and samples > 1:
            posterior, eps = posterior.repeat(samples), eps.flatten(0, 1)
            y = None if y is None else y.repeat_interleave(samples, 0)
            target = target.repeat_interleave(samples, 0)
        z = posterior.sample(eps)
        pixels = likelihood(z, y)
        return DecodedSamples(posterior, eps, z, pixels, pixels.nll(target).unflatten(0, (-1, samples)))


class IWAE(ELBO):
    """Importance-weighted bound -log(1/K sum_k p(x | z_k) p(z_k) / q(z_k | x)) on -log p(x).

    The expectation of this bound decreases towards -log p(x) as K grows. With K = 1, the bound is the negative ELBO
    with the KL divergence estimated from one sample. Gradients flow through the reparameterized samples z_k.

    Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016.

    Args:
        samples: K, the number of samples of z per image, an integer between 1 and 100,000.
    """

    weighted = True

    @property
    def name(self) -> str:
        """Display name of the objective in figure titles."""
        return f"IWAE of {self.samples} samples"

    def check(self, beta_schedule: BetaSchedule, posteriors: PosteriorFamily) -> None:
        """Check that the objective can be used with a beta schedule and a posterior family.

        Raises:
            UserError: if the samples of the posterior have no Gaussian density, or if beta is not constant 1.
        """
        if not posteriors.stochastic:
            raise UserError(
                "objective=iwae needs a model that samples codes, but this model has one code per image and no prior. "
                "Choose objective=elbo, or model=vae."
            )
        if not (beta_schedule.stationary and beta_schedule.weight(1.0) == 1):
            raise UserError(
                "beta must be constant 1 with objective=iwae because this bound has no separate KL term, got "
                f"{type(beta_schedule).__name__} with value {beta_schedule.value:g}. Set beta=1, or choose "
                "objective=elbo."
            )
        if not posteriors.gaussian:
            raise UserError(
                f"objective=iwae needs Gaussian samples of the posterior, but the samples with {posteriors.name} are "
                "not Gaussian. Choose posterior=gaussian with its default noise and std, or objective=elbo."
            )

    def _terms(self, samples: DecodedSamples, posterior: Posterior, prior: CodeDensity) -> Terms:
        """Compute the terms of the loss and the bound from decoded samples of the posteriors of B images.

        The bound is computed from the logarithms of the importance weights, so that large weights do not overflow.
        """
        log_ratios = samples.log_ratios(prior)
        bound = math.log(log_ratios.shape[1]) - (log_ratios - samples.nll).logsumexp(1)
        kl = prior.kl(posterior)
        rate = -log_ratios.mean(1) if kl is None else kl.sum(1)
        z = samples.z[:: log_ratios.shape[1]]
        return Terms(samples.nll.mean(1), rate, posterior, prior, samples.pixels, z, kl, bound)

    def loss(
        self, means: MeanTerms, beta_schedule: BetaSchedule, progress: float, regularizer_weight: float = 0.0
    ) -> Tensor:
        """Return the loss, a scalar tensor in nats per image: the bound + regularization.

        The arguments are those of `ELBO.loss`. Beta is 1 and is not used, and there is no regularizer of the batch.

        Raises:
            TypeError: if the means contain no bound.
        """
        if means.bound is None:
            raise TypeError("The importance-weighted loss needs the bound, got None.")
        return means.bound if means.extra is None else means.bound + means.extra
