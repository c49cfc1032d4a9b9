"""Objectives: the ELBO and the tighter importance-weighted bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from autoencoders.objectives.likelihoods import Pixels
from autoencoders.objectives.posteriors import GaussianPosterior, Posterior, PosteriorFamily
from autoencoders.types import Batch, UserError
from autoencoders.utils.checks import require

if TYPE_CHECKING:
    from autoencoders.objectives.beta_schedules import BetaSchedule


class Terms(NamedTuple):
    """Terms of the objective, per image.

    Attributes:
        distortion: (B,) -log p(target | z), in nats, averaged over the samples of z.
        rate: (B,) KL(q || p), in nats, in closed form.
        posterior: q(z | x).
        pixels: p(x | z) of every sample, B K of them.
        bound: (B,) loss that replaces distortion + beta * rate, in nats, or None.
        extra: (B,) regularization that is added to the loss, in nats, such as the weighted L1 norm of the code, or
            None.
    """

    distortion: Tensor
    rate: Tensor
    posterior: Posterior
    pixels: Pixels
    bound: Tensor | None = None
    extra: Tensor | None = None


class ELBO:
    """distortion + beta * rate, with the distortion averaged over K samples of z (Kingma and Welling, 2013).

    The number of samples changes the variance of the gradient, not its expectation.

    Args:
        samples: K; the decoder's batch is K times as large.
    """

    weighted = False
    """Whether the samples are importance-weighted. If so, the loss is `Terms.bound`."""

    def __init__(self, samples: int = 1) -> None:
        valid = isinstance(samples, int) and not isinstance(samples, bool) and 1 <= samples <= 100_000
        require(valid, "objective.samples", samples, "an integer in 1 .. 100,000")
        self.samples = samples

    @property
    def name(self) -> str:
        """Label for titles; empty for the default, one sample."""
        return "" if self.samples == 1 else f"ELBO of {self.samples} samples"

    def check(self, beta_schedule: BetaSchedule, posteriors: PosteriorFamily) -> None:
        """Raise UserError if this objective is not defined for this beta schedule or posterior."""
        if self.samples > 1 and not posteriors.stochastic:
            raise UserError(
                f"objective.samples must be 1 for a model with one code per image, got {self.samples}: there is "
                "nothing to sample. Set objective.samples=1, or choose model=vae."
            )

    def terms(
        self,
        posterior: Posterior,
        likelihood: Callable[[Tensor, Tensor | None], Pixels],
        batch: Batch,
        eps: Tensor | None,
    ) -> Terms:
        """Compute all terms of the objective.

        Args:
            posterior: q(z | x) of the batch.
            likelihood: called with codes (N, Z) and, for a conditional model, labels; returns p(x | z).
            batch: B images.
            eps: (B, Z) noise for one sample per image, or (B, K, Z) for K; None for a point posterior.
        """
        pixels, nll, _ = self._decode_samples(posterior, likelihood, batch, eps)
        return Terms(nll, posterior.kl().sum(1), posterior, pixels)

    def _decode_samples(
        self,
        posterior: Posterior,
        likelihood: Callable[[Tensor, Tensor | None], Pixels],
        batch: Batch,
        eps: Tensor | None,
    ) -> tuple[Pixels, Tensor, Tensor | None]:
        """Sample z and decode it.

        Returns:
            p(x | z) of every sample; (B,) -log p(target | z), averaged over the samples; and the (B, K) log-weights
            of the samples, if `weighted`, else None.
        """
        samples = 1 if eps is None or eps.dim() == 2 else eps.shape[1]
        y, target = batch.y, batch.target
        if eps is not None and samples > 1:
            posterior, eps = posterior.repeat(samples), eps.flatten(0, 1)
            y = None if y is None else y.repeat_interleave(samples, 0)
            target = target.repeat_interleave(samples, 0)
        z = posterior.sample(eps)
        pixels = likelihood(z, y)
        nll = pixels.nll(target)  # (B K,)
        weights = None
        if self.weighted and eps is not None and isinstance(posterior, GaussianPosterior):
            weights = (posterior.log_ratio(z, eps) - nll).unflatten(0, (-1, samples))
        distortion = nll if samples == 1 else nll.unflatten(0, (-1, samples)).mean(1)
        return pixels, distortion, weights


class IWAE(ELBO):
    """The importance-weighted bound, -log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x).

    It decreases towards -log p(x) as K grows. At K = 1 it is the negative ELBO with the KL estimated from the sample.
    The gradient is that of the bound, through reparameterized samples.

    Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016.

    Args:
        samples: K.
    """

    weighted = True

    @property
    def name(self) -> str:
        """Label for titles."""
        return f"IWAE of {self.samples} samples"

    def check(self, beta_schedule: BetaSchedule, posteriors: PosteriorFamily) -> None:
        """Raise UserError if samples have no Gaussian density to be weighted by, or if beta is not 1."""
        if not posteriors.stochastic:
            raise UserError(
                "objective=iwae needs a model with a sampled posterior, and this model has one code per image and no "
                "prior. Choose objective=elbo, or model=vae."
            )
        if not (beta_schedule.stationary and beta_schedule.weight(1.0) == 1):
            raise UserError(
                f"beta must be 1 with objective=iwae, got {type(beta_schedule).__name__} with value "
                f"{beta_schedule.value:g}: this bound has no KL term. Set beta=1, or choose objective=elbo."
            )
        if not posteriors.gaussian:
            raise UserError(
                f"objective=iwae needs Gaussian samples of the posterior, but the samples with {posteriors.name} are "
                "not Gaussian. Choose posterior=gaussian with its default noise and std, or objective=elbo."
            )

    def terms(
        self,
        posterior: Posterior,
        likelihood: Callable[[Tensor, Tensor | None], Pixels],
        batch: Batch,
        eps: Tensor | None,
    ) -> Terms:
        """Compute all terms, as `ELBO.terms`. The bound is numerically stable for weights of any size."""
        pixels, nll, weights = self._decode_samples(posterior, likelihood, batch, eps)
        if weights is None:
            raise TypeError("The importance-weighted bound needs a Gaussian posterior and noise.")
        bound = math.log(weights.shape[1]) - weights.logsumexp(1)
        return Terms(nll, posterior.kl().sum(1), posterior, pixels, bound)
