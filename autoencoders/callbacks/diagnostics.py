"""Detection of training problems, with warnings that name the options to change."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from autoencoders.nets.base import code_size
from autoencoders.objectives.beta_schedules import Capacity, Constant
from autoencoders.objectives.likelihoods import GaussianLearned
from autoencoders.objectives.posteriors import LOG_VARIANCE_BOUND

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder

COLLAPSED = 0.01
"""Rate in nats per latent below which a posterior without active units has collapsed.

Lucas et al., "Don't blame the ELBO!", 2019, define collapse: the KL divergence of the posterior from the prior is below
epsilon for nearly every image. The value .01 for epsilon is a choice of this package. It is twice the KL divergence of
a latent whose posterior means have a variance of .01, which is the threshold for an active unit."""

EARLY = 0.25
"""Minimum progress (completed fraction of the run) for a report of a collapse. A beta schedule may require more."""

SOON = 200
"""Minimum number of optimizer steps for a report of inactive latents."""

FEW_STEPS = 200
"""A run with fewer optimizer steps is reported. With the default options, runs on small datasets need more steps."""

MEASURABLE = 1e-6
"""Minimum MSE of the mean image for a comparison with it. The MSE is below if all images are equal."""

IDLE = 0.5
"""Minimum fraction of inactive latents at the end of training for a warning about latent_dim."""


class TrainingHealth(NamedTuple):
    """State of a training run after a validation.

    Attributes:
        step: number of completed optimizer steps.
        progress: completed fraction of the run, in [0, 1]; 1 for a run without an end.
        over: whether training has ended.
        rate: mean rate (KL divergence of the posterior from the prior), in nats per image; None if not measured.
        active: number of active units; None if not measured, as for a model without a prior.
        low: number of latents whose log-variance is at its lower bound.
        high: number of latents whose log-variance is at its upper bound.
        mse: mean squared error of the reconstructions of the validation images; None if not measured.
        mean_image_mse: mean squared error if the mean training image is the reconstruction of every validation image;
            None if not measured.
    """

    step: int
    progress: float
    over: bool
    rate: float | None
    active: float | None
    low: int = 0
    high: int = 0
    mse: float | None = None
    mean_image_mse: float | None = None


def advise(health: TrainingHealth, model: Autoencoder) -> dict[str, str]:
    """Return the detected problems: name -> warning with the options to change. Empty if there is no problem."""
    problems: dict[str, str] = {}
    if model.has_prior and health.active is not None and health.step >= SOON:
        if health.active == 0 and health.rate is not None and health.rate < COLLAPSED * model.latent_dim:
            if health.progress >= max(EARLY, model.beta_schedule.share):
                problems["posterior_collapse"] = describe_collapse(health, model)
        elif health.over and 0 < health.active <= (1 - IDLE) * model.latent_dim:
            problems["inactive_latents"] = (
                f"Only {health.active:.0f} of {model.latent_dim} latents are active. Set "
                f"latent_dim={health.active:.0f}, or lower beta.value so that the model uses more latents."
            )
    if health.low + health.high:
        problems["log_variance_at_bound"] = describe_log_variance_bound(health, model)
    if "posterior_collapse" not in problems and health.over and has_high_error(health):
        problems["no_better_than_mean_image"] = describe_high_error(health, model)
    return problems | describe_likelihood_scale(model)


def has_high_error(health: TrainingHealth) -> bool:
    """Return whether the reconstructions have at least the error of the mean training image, if both are measured."""
    if health.mse is None or health.mean_image_mse is None:
        return False
    return health.mse >= health.mean_image_mse > MEASURABLE


def describe_high_error(health: TrainingHealth, model: Autoencoder) -> str:
    """Return the warning for reconstructions that are no better than the mean image. Its advice depends on the net."""
    options = "Raise trainer.max_epochs, or choose net=residual, which starts as PCA."
    if code_size(model.encoder):  # the net is residual or skip
        options = "Lower optimizer.lr, or raise trainer.max_epochs."
    return (
        f"The validation MSE ({health.mse:.4g}) is not below the MSE of the mean training image "
        f"({health.mean_image_mse:.4g}), so the reconstructions are not better than one constant image. {options}"
    )


def describe_few_steps(steps: int, epochs: int, batch_size: int) -> str:
    """Return the warning for a run with few optimizer steps.

    Args:
        steps: number of optimizer steps of the run.
        epochs: number of epochs of the run.
        batch_size: number of images per optimizer step.
    """
    enough = math.ceil(FEW_STEPS * epochs / steps)
    smaller = f", or lower data.batch_size (it is {batch_size})" if batch_size > 2 else ""
    return (
        f"The run has only {steps} optimizer steps, and fewer than {FEW_STEPS} are usually too few. Set "
        f"trainer.max_epochs={enough} (it is {epochs}){smaller}."
    )


def describe_collapse(health: TrainingHealth, model: Autoencoder) -> str:
    """Return the warning for a posterior that equals the prior. Its advice depends on beta and the likelihood."""
    beta_schedule, options = model.beta_schedule, []
    if beta_schedule.value > 1:
        options.append(f"lower beta.value (it is {beta_schedule.value:g}; 1 gives the evidence lower bound)")
    # If the weight of the rate starts at 0, the decoder learns to use the code first (Bowman et al., 2016).
    if model.objective.weighted:  # the importance-weighted bound requires beta=1
        options.append("choose objective=elbo and beta=warmup")
    elif isinstance(beta_schedule, Constant):
        options.append("increase beta gradually with beta=warmup")
    if not isinstance(beta_schedule, Capacity) and not model.objective.weighted:
        options.append("set a target for the rate with beta=capacity")
    # In a linear VAE, a latent collapses if likelihood.scale exceeds the standard deviation of the data along the
    # direction of the latent (Lucas et al., 2019).
    text = ", or ".join(options) + scale_advice(model, "lower")
    return (
        f"The posterior has collapsed to the prior: none of {model.latent_dim} latents is active and the rate (KL "
        f"divergence) is {health.rate:.2g} nats, so codes contain no information about the images. "
        f"{text[:1].upper()}{text[1:]}."
    )


def describe_log_variance_bound(health: TrainingHealth, model: Autoencoder) -> str:
    """Return the warning for log-variances at their bounds, where the gradient is zero.

    The cause is a beta that is too low, or diverging training.
    """
    beta, options = model.beta_schedule.value, []
    if not health.high and beta < 1:  # with a low weight of the rate, posterior variances become very small
        options.append(f"Raise beta.value (it is {beta:g}){scale_advice(model, 'raise')}")
    options.append("lower optimizer.lr, or set trainer.gradient_clip_val=1")
    text = ", or ".join(options)
    counts = {f"-{LOG_VARIANCE_BOUND:g}": health.low, f"{LOG_VARIANCE_BOUND:g}": health.high}
    places = ", ".join(f"{count} of {model.latent_dim} latents at {bound}" for bound, count in counts.items() if count)
    return f"Log-variances have reached a bound, where their gradient is zero ({places}). {text[:1].upper()}{text[1:]}."


def scale_advice(model: Autoencoder, verb: str) -> str:
    """Return the advice to `verb` (`lower` or `raise`) likelihood.scale; empty if the likelihood has no fixed scale."""
    scale = None if model.family is None else model.family.scale
    return "" if scale is None else f", or {verb} likelihood.scale (it is {scale:g})"


def describe_likelihood_scale(model: Autoencoder) -> dict[str, str]:
    """Return the warning for a learned scale at its minimum: name -> warning. Empty if there is no problem."""
    family = model.family
    if not isinstance(family, GaussianLearned) or float(family.log_scale.detach().exp()) > family.minimum * 1.001:
        return {}
    return {
        "likelihood_scale": "The learned scale of the likelihood has reached likelihood.minimum="
        f"{family.minimum:g}, where its gradient is zero. Lower likelihood.minimum, or choose likelihood=gaussian and "
        "set likelihood.scale."
    }
