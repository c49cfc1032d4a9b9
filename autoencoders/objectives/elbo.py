"""What samples of z make of an image: the ELBO, or the tighter importance-weighted bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from autoencoders.objectives.likelihoods import Pixels
from autoencoders.objectives.posteriors import GaussianPosterior, PointPosterior, Reparameterization
from autoencoders.types import Batch, UserError

if TYPE_CHECKING:
    from autoencoders.objectives.beta_schedules import BetaSchedule

Posterior = PointPosterior | GaussianPosterior


class Terms(NamedTuple):
    """One evaluation of the objective, image by image.

    Attributes:
        distortion: (B,) -log p(target | z), in nats: the average over the samples of z.
        rate: (B,) KL(q || p), in nats, in closed form.
        posterior: q(z | x).
        pixels: p(x | z) of every sample, B K of them.
        bound: (B,) what is minimized in place of distortion + beta * rate, in nats, or None.
        extra: (B,) what the loss adds to either (the code's L1 norm, weighted), or None.
    """

    distortion: Tensor
    rate: Tensor
    posterior: Posterior
    pixels: Pixels
    bound: Tensor | None = None
    extra: Tensor | None = None


class ELBO:
    """distortion + beta * rate, the distortion averaged over K samples of z (Kingma and Welling, 2013).

    More samples change the variance of the gradient, not its expectation.

    Args:
        samples: K; the decoder sees K times the batch.
    """

    weighted = False
    """Whether samples are weighed, so that the loss is `Terms.bound`."""

    def __init__(self, samples: int = 1) -> None:
        if not isinstance(samples, int) or isinstance(samples, bool) or not 1 <= samples <= 100_000:
            raise UserError(f"objective.samples must be a whole number from 1 up, to 100,000, and is {samples!r}.")
        self.samples = samples

    @property
    def name(self) -> str:
        """What titles call it; nothing where it is the usual one."""
        return "" if self.samples == 1 else f"ELBO of {self.samples} samples"

    def check(self, beta_schedule: BetaSchedule, posteriors: type[PointPosterior] | Reparameterization) -> None:
        """Raise UserError where this objective makes no sense with that beta or posterior."""
        if self.samples > 1 and not posteriors.stochastic:
            raise UserError(
                f"objective.samples is {self.samples}, and this model has one code for an image, with nothing to "
                "sample. Choose objective.samples=1, or model=vae."
            )

    def terms(
        self,
        posterior: Posterior,
        likelihood: Callable[[Tensor, Tensor | None], Pixels],
        batch: Batch,
        eps: Tensor | None,
    ) -> Terms:
        """Every part of the objective.

        Args:
            posterior: q(z | x) of the batch.
            likelihood: p(x | z) of codes (N, Z), and labels where the model is conditional.
            batch: B images.
            eps: (B, Z) noise for one sample an image, or (B, K, Z); None for a point posterior.
        """
        pixels, nll, _ = self._decoded(posterior, likelihood, batch, eps)
        return Terms(nll, posterior.kl().sum(1), posterior, pixels)

    def _decoded(
        self,
        posterior: Posterior,
        likelihood: Callable[[Tensor, Tensor | None], Pixels],
        batch: Batch,
        eps: Tensor | None,
    ) -> tuple[Pixels, Tensor, Tensor | None]:
        """p(x | z) of every sample, -log p(target | z) averaged over them (B,), and log-weights (B, K) where wanted."""
        samples = 1 if eps is None or eps.dim() == 2 else eps.shape[1]
        y, target = batch.y, batch.target
        if samples > 1:
            posterior, eps = posterior.repeat(samples), eps.flatten(0, 1)
            y, target = (None if a is None else a.repeat_interleave(samples, 0) for a in (y, target))
        z = posterior.sample(eps)
        pixels = likelihood(z, y)
        nll = pixels.nll(target)  # (B K,)
        weights = (posterior.log_ratio(z, eps) - nll).unflatten(0, (-1, samples)) if self.weighted else None
        return pixels, nll if samples == 1 else nll.unflatten(0, (-1, samples)).mean(1), weights


class IWAE(ELBO):
    """The importance-weighted bound, -log 1/K sum_k p(x | z_k) p(z_k) / q(z_k | x).

    It falls towards -log p(x) as K grows; at K = 1 it is the ELBO with its KL estimated by the sample. The gradient
    is that of the bound through reparameterized samples.

    Source: Burda, Grosse and Salakhutdinov, "Importance weighted autoencoders", 2016.

    Args:
        samples: K.
    """

    weighted = True

    @property
    def name(self) -> str:
        """What titles call it."""
        return f"IWAE of {self.samples} samples"

    def check(self, beta_schedule: BetaSchedule, posteriors: type[PointPosterior] | Reparameterization) -> None:
        """Raise UserError where there are no densities to weigh samples by, or a beta that would have no effect."""
        if not posteriors.stochastic:
            raise UserError(
                "objective=iwae weighs samples of a posterior, and this model has one code for an image and no prior. "
                "Choose objective=elbo, or model=vae."
            )
        if not (beta_schedule.stationary and beta_schedule.weight(1.0) == 1):
            raise UserError(
                f"objective=iwae bounds -log p(x) and has no KL term to weigh, and beta is {type(beta_schedule).__name__} "
                f"of {beta_schedule.value:g}. Choose beta=1, or objective=elbo."
            )
        if not posteriors.gaussian:
            raise UserError(
                f"objective=iwae weighs samples by the density of a Gaussian, and they do not come from it with "
                f"{posteriors.name}. Choose posterior=gaussian with its own noise and std, or objective=elbo."
            )

    def terms(
        self,
        posterior: GaussianPosterior,
        likelihood: Callable[[Tensor, Tensor | None], Pixels],
        batch: Batch,
        eps: Tensor,
    ) -> Terms:
        """Every part of the objective, as `ELBO.terms`; the bound is stable whatever the weights' size."""
        pixels, nll, weights = self._decoded(posterior, likelihood, batch, eps)
        bound = math.log(weights.shape[1]) - weights.logsumexp(1)
        return Terms(nll, posterior.kl().sum(1), posterior, pixels, bound)
