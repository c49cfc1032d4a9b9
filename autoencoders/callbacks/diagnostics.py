"""Diagnosis of training problems, with the options to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from autoencoders.objectives.beta_schedules import Capacity, Constant
from autoencoders.objectives.likelihoods import GaussianLearned
from autoencoders.objectives.posteriors import LOG_VARIANCE_BOUND

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder

COLLAPSED = 0.01
"""Nats per latent below which a posterior without active units has collapsed. Lucas et al., "Don't blame the ELBO!",
2019, define collapse as a posterior within epsilon of the prior for nearly every image. The value of epsilon is ours:
twice the KL of a latent whose posterior means have a variance of .01, the threshold of an active unit."""

EARLY = 0.25
"""Share of a run before which no collapse is reported. A schedule of beta may require more."""

SOON = 200
"""Optimizer steps before which latents may still be inactive."""

IDLE = 0.5
"""Share of latents that must be inactive at the end for a warning about latent_dim."""


class TrainingHealth(NamedTuple):
    """State of a training after validation.

    Attributes:
        step: optimizer steps done.
        progress: completed share of the run, in [0, 1]; 1 for a run without an end.
        over: whether training has ended.
        rate: nats per image, or None.
        active: active units, or None for a model without a prior.
        low: latents whose log-variance is at its lower bound.
        high: latents whose log-variance is at its upper bound.
    """

    step: int
    progress: float
    over: bool
    rate: float | None
    active: float | None
    low: int = 0
    high: int = 0


def advise(health: TrainingHealth, model: Autoencoder) -> dict[str, str]:
    """Return the problems: name -> sentence with the options to change. Empty if there is none."""
    problems: dict[str, str] = {}
    if model.has_prior and health.active is not None and health.step >= SOON:
        if health.active == 0 and health.rate is not None and health.rate < COLLAPSED * model.latent_dim:
            if health.progress >= max(EARLY, model.beta_schedule.share):
                problems["posterior_collapse"] = describe_collapse(health, model)
        elif health.over and 0 < health.active <= (1 - IDLE) * model.latent_dim:
            problems["inactive_latents"] = (
                f"Only {health.active:.0f} of {model.latent_dim} latents are active: latent_dim={health.active:.0f} "
                "would be enough. Lower beta.value to use more of them."
            )
    if health.low + health.high:
        problems["log_variance_at_bound"] = describe_log_variance_bound(health, model)
    return problems | describe_likelihood_scale(model)


def describe_collapse(health: TrainingHealth, model: Autoencoder) -> str:
    """Describe a posterior that equals the prior. The advice depends on beta and the likelihood."""
    beta_schedule, options = model.beta_schedule, []
    if beta_schedule.value > 1:
        options.append(f"lower beta.value (it is {beta_schedule.value:g}; 1 is the evidence lower bound)")
    # With a rate that is free at first, the decoder learns to use the code (Bowman et al., 2016).
    if model.objective.weighted:  # the importance-weighted bound requires beta=1
        options.append("choose objective=elbo and beta=warmup")
    elif isinstance(beta_schedule, Constant):
        options.append("let it rise with beta=warmup")
    if not isinstance(beta_schedule, Capacity) and not model.objective.weighted:
        options.append("request a rate with beta=capacity")
    # In a linear VAE a latent collapses if the scale exceeds the deviation it explains (Lucas et al., 2019).
    text = ", or ".join(options) + scale_advice(model, "lower")
    return (
        f"The posterior has collapsed: none of {model.latent_dim} latents is active and the rate is "
        f"{health.rate:.2g} nats, so codes contain no information about images. {text[:1].upper()}{text[1:]}."
    )


def describe_log_variance_bound(health: TrainingHealth, model: Autoencoder) -> str:
    """Describe log-variances at their bounds, which no longer learn: the rate is too cheap, or training diverges."""
    beta, options = model.beta_schedule.value, []
    if not health.high and beta < 1:  # without a rate, codes become exact
        options.append(f"Raise beta.value (it is {beta:g}){scale_advice(model, 'raise')}")
    options.append("lower optimizer.lr, or set trainer.gradient_clip_val=1")
    text = ", or ".join(options)
    counts = {f"-{LOG_VARIANCE_BOUND:g}": health.low, f"{LOG_VARIANCE_BOUND:g}": health.high}
    places = " and ".join(f"that of {count} is at {bound}" for bound, count in counts.items() if count)
    return (
        f"The log-variance has run to its bound and learns no more: of {model.latent_dim} latents {places}. "
        f"{text[:1].upper()}{text[1:]}."
    )


def scale_advice(model: Autoencoder, verb: str) -> str:
    """Return the advice on the scale of the likelihood, if it is fixed."""
    scale = None if model.family is None else model.family.scale
    return "" if scale is None else f", or {verb} likelihood.scale (it is {scale:g})"


def describe_likelihood_scale(model: Autoencoder) -> dict[str, str]:
    """Describe a learned scale at its minimum."""
    family = model.family
    if not isinstance(family, GaussianLearned) or float(family.log_scale.detach().exp()) > family.minimum * 1.001:
        return {}
    return {
        "likelihood_scale": f"The likelihood's scale has run to likelihood.minimum={family.minimum:g} and learns no "
        "more. Lower likelihood.minimum, or choose likelihood=gaussian and a likelihood.scale."
    }
