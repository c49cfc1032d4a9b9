"""Parts of a model by name: nets, parts of the loss, optimizers and learning-rate schedules.

The names and the default options are those of the config groups in `conf/`, so that a model that is built in Python is
equal to the model of a composed configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from autoencoders.models.schedules import Ladder
from autoencoders.nets import burgess, conv, mlp, pyramid, residual, skip
from autoencoders.objectives import beta_schedules
from autoencoders.objectives.elbo import ELBO, IWAE
from autoencoders.objectives.likelihoods import Bernoulli, Gaussian, GaussianLearned, Laplace, Likelihood
from autoencoders.objectives.priors import ConditionalPrior, MixturePrior, Prior, StandardNormalPrior, VampPrior
from autoencoders.objectives.regularizers import DIPI, DIPII, MMD, NoRegularizer, Regularizer, TotalCorrelation
from autoencoders.types import UserError
from autoencoders.utils.checks import require

T = TypeVar("T")
NetFactory = Callable[..., nn.Module]
"""Called with a shape or a number of inputs; returns an encoder or a decoder. See `autoencoders.nets`."""

LATENT_DIM = 10
"""Default size of the latent code."""
LEARNING_RATE = 6e-3
"""Default learning rate."""
PCA_NETS = ("residual", "pyramid")
"""Names of the nets that start as PCA. Their means are linear, and their default likelihood is `gaussian`."""
LEARNING_RATES = {**dict.fromkeys(PCA_NETS, 1e-3), "burgess": 1e-3}
"""Default learning rates of nets that need a smaller one: a start near an optimum, or no normalization."""
DEEP: dict[str, Any] = {"width": 64, "max_width": 512, "depth": 2}
NETS: dict[str, Callable[[int], tuple[NetFactory, NetFactory]]] = {
    "mlp": lambda size: (mlp.Encoder, mlp.Decoder),
    "conv": lambda size: (conv.Encoder, conv.Decoder),
    "deepconv": lambda size: (partial(conv.Encoder, **DEEP), partial(conv.Decoder, **DEEP)),
    "burgess": lambda size: (burgess.Encoder, burgess.Decoder),
    "residual": lambda size: (
        partial(residual.Encoder, components=size, width=64, blocks=1),
        partial(residual.Decoder, components=size, width=96, blocks=4),
    ),
    "pyramid": lambda size: (partial(pyramid.Encoder, components=size), partial(pyramid.Decoder, components=size)),
    "skip": lambda size: (partial(skip.Encoder, bottleneck=size), partial(skip.Decoder, bottleneck=size)),
}
"""Name of a net -> function of the latent size that returns the encoder and the decoder."""
LIKELIHOODS: dict[str, Callable[..., Likelihood]] = {
    "bernoulli": Bernoulli, "gaussian": Gaussian, "gaussian_learned": GaussianLearned, "laplace": Laplace,
}  # fmt: skip
BETA_SCHEDULES: dict[str, Callable[..., beta_schedules.BetaSchedule]] = {
    "constant": beta_schedules.Constant, "warmup": beta_schedules.Warmup, "cyclical": beta_schedules.Cyclical,
    "capacity": beta_schedules.Capacity,
}  # fmt: skip
OBJECTIVES: dict[str, Callable[[], ELBO]] = {"elbo": ELBO, "iwae": IWAE}
REGULARIZERS: dict[str, Callable[[], Regularizer]] = {
    "none": NoRegularizer, "tc": TotalCorrelation, "dip_i": DIPI, "dip_ii": DIPII, "mmd": MMD,
}  # fmt: skip
PRIORS: dict[str, Callable[[], Prior]] = {
    "standard_normal": StandardNormalPrior, "mixture": MixturePrior, "vamp": VampPrior,
    "conditional": ConditionalPrior,
}  # fmt: skip
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True, weight_decay=0.01),
}


def one_cycle(optimizer: Optimizer, total_steps: int) -> lr_scheduler.OneCycleLR:
    """Return the one-cycle schedule whose maximum is the learning rate of the optimizer (Smith, 2018).

    Args:
        optimizer: the optimizer whose learning rate is changed.
        total_steps: number of optimizer steps of the run.
    """
    return lr_scheduler.OneCycleLR(optimizer, [group["lr"] for group in optimizer.param_groups], total_steps)


def _spanning_run(schedule: Callable, argument: str) -> partial:
    """Return a partial call of a schedule whose argument is the number of optimizer steps of the run."""
    return partial(schedule, **{argument: "auto"})


SCHEDULES: dict[str, partial] = {
    "one_cycle": _spanning_run(one_cycle, "total_steps"),
    "cosine": _spanning_run(lr_scheduler.CosineAnnealingLR, "T_max"),
    "constant": partial(lr_scheduler.ConstantLR, factor=1.0, total_iters=0),
    "ladder": _spanning_run(Ladder, "total_steps"),
}
"""Name of a learning-rate schedule -> partial call. `auto` is the number of optimizer steps of the run."""


def find(option: str, name: str, known: Mapping[str, T]) -> T:
    """Return the part with this name.

    Args:
        option: argument of the model, for the error message.
        name: name of the part.
        known: name -> part.

    Raises:
        UserError: if there is no part with this name.
    """
    require(name in known, option, name, f"one of {', '.join(known)}, or an object")
    return known[name]


def build_encoder(encoder: NetFactory | str | None, latent_dim: int) -> NetFactory | None:
    """Return the factory of an encoder, which is given as a factory, by its name, or as None."""
    return find("encoder", encoder, NETS)(latent_dim)[0] if isinstance(encoder, str) else encoder


def build_decoder(decoder: NetFactory | str | None, latent_dim: int) -> NetFactory | None:
    """Return the factory of a decoder, which is given as a factory, by its name, or as None."""
    return find("decoder", decoder, NETS)(latent_dim)[1] if isinstance(decoder, str) else decoder


def build_likelihood(likelihood: Likelihood | str, decoder: NetFactory | str | None) -> Likelihood:
    """Return a likelihood, which is given as an object or by its name. The means of PCA_NETS are linear."""
    if not isinstance(likelihood, str):
        return likelihood
    options = {"activation": "linear"} if decoder in PCA_NETS else {}
    return find("likelihood", likelihood, LIKELIHOODS)(**options)


def build_beta_schedule(
    beta_schedule: beta_schedules.BetaSchedule | str, beta: float | None
) -> beta_schedules.BetaSchedule:
    """Return a beta schedule.

    Args:
        beta_schedule: the schedule, or its name.
        beta: final beta of a schedule that is given by its name; None for its default.

    Raises:
        UserError: if `beta` is given together with a schedule that has a value of its own.
    """
    if isinstance(beta_schedule, str):
        options = {} if beta is None else {"value": beta}
        return find("beta_schedule", beta_schedule, BETA_SCHEDULES)(**options)
    if beta is not None:
        raise UserError(
            f"beta must not be given together with a beta_schedule that is an object, got {beta}. Set the value of the "
            "schedule."
        )
    return beta_schedule


def build_objective(objective: ELBO | str | None) -> ELBO:
    """Return an objective, which is given as an object or by its name. None selects the ELBO."""
    if isinstance(objective, str):
        return find("objective", objective, OBJECTIVES)()
    return objective or ELBO()


def build_regularizer(regularizer: Regularizer | str | None) -> Regularizer:
    """Return a regularizer, which is given as an object or by its name. None selects no regularizer."""
    if isinstance(regularizer, str):
        return find("regularizer", regularizer, REGULARIZERS)()
    return regularizer or NoRegularizer()


def build_prior(prior: Prior | str | None) -> Prior:
    """Return a prior, which is given as an object or by its name. None selects the standard normal."""
    if isinstance(prior, str):
        return find("prior", prior, PRIORS)()
    return prior or StandardNormalPrior()


def build_optimizer(optimizer: Callable | str | None, lr: float | None, default_lr: float) -> Callable | None:
    """Return a function that builds an optimizer for parameters, or None without an optimizer.

    Args:
        optimizer: the function, the name of an optimizer, or None.
        lr: learning rate; None for `default_lr`, or for the learning rate of a function.
        default_lr: learning rate of an optimizer that is given by its name.
    """
    if isinstance(optimizer, str):
        chosen: dict[str, Any] = {"lr": default_lr if lr is None else lr}
        return partial(find("optimizer", optimizer, OPTIMIZERS), **chosen)
    return optimizer if optimizer is None or lr is None else partial(optimizer, lr=lr)


def build_schedule(schedule: partial | str | None) -> partial | None:
    """Return a learning-rate schedule, which is given as a partial call, by its name, or as None."""
    return find("schedule", schedule, SCHEDULES) if isinstance(schedule, str) else schedule
