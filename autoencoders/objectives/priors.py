"""Priors of the codes: the standard normal, a Gaussian mixture, the VampPrior, and one Gaussian per label."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from autoencoders.objectives.code_densities import CodeDensity, DiagonalGaussian, DiagonalMixture, StandardGaussian
from autoencoders.objectives.posteriors import LOG_VARIANCE_BOUND, Posterior, PosteriorFamily
from autoencoders.types import Shape, UserError
from autoencoders.utils.checks import check_at_least
from autoencoders.utils.recorded import Recorded


class PseudoInputs(NamedTuple):
    """Inputs of the encoder that are parameters of a prior.

    Attributes:
        images: images (N, C, H, W) in [0, 1].
        context: context vectors (N, K); None for an unconditional model.
    """

    images: Tensor
    context: Tensor | None


class Prior(Recorded, nn.Module):
    """Base class of the priors p(z) and p(z | y).

    Attributes:
        option: name of the config option.
        conditional: whether the prior depends on the labels.
        closed_form: whether the rate has a closed form. If not, it is estimated from the samples of z.
        components: number of Gaussians of the density.
        images: number of training images that `initialize` uses.
    """

    option = ""
    conditional = False
    closed_form = True
    components = 1
    images = 0

    @property
    def name(self) -> str:
        """Display name of the prior in figure titles; empty for the standard normal."""
        return ""

    @property
    def description(self) -> str:
        """Display name of the prior in captions."""
        return f"the {self.name}"

    def check(self, posteriors: PosteriorFamily, context_size: int) -> None:
        """Check that the prior can be used with a posterior family and labels.

        Args:
            posteriors: family of the posteriors.
            context_size: K, the size of the context vector; 0 for an unconditional model.

        Raises:
            UserError: if they cannot be combined.
        """
        if not posteriors.stochastic:
            raise UserError(
                f"prior must be standard_normal for a model with one code per image, got {self.option}. Set "
                "prior=standard_normal, or choose model=vae."
            )
        if not posteriors.gaussian:
            raise UserError(
                f"prior={self.option} needs Gaussian samples of the posterior, but the samples with {posteriors.name} "
                "are not Gaussian. Choose posterior=gaussian with its default noise and std, or prior=standard_normal."
            )

    def build(self, latent_dim: int, shape: Shape, context_size: int) -> None:
        """Build the parameters of the prior.

        Args:
            latent_dim: Z, the size of the code.
            shape: image shape (C, H, W).
            context_size: K, the size of the context vector; 0 for an unconditional model.
        """

    def initialize(self, images: Tensor, context: Tensor | None) -> None:
        """Initialize the parameters from training images (N, C, H, W) and their context vectors (N, K), or None."""

    def pseudo_inputs(self) -> PseudoInputs | None:
        """Return the inputs that the encoder of the model encodes for `forward`; None if the prior needs none."""
        return None

    def forward(self, context: Tensor | None = None, encoded: Posterior | None = None) -> CodeDensity:
        """Return the density of the codes.

        Args:
            context: context vectors (B, K) of the images, for a conditional prior only.
            encoded: posteriors of the N pseudo-inputs, for a prior with pseudo-inputs only.
        """
        raise NotImplementedError


class StandardNormalPrior(Prior):
    """The standard normal prior N(0, I)."""

    option = "standard_normal"

    @property
    def description(self) -> str:
        """Display name of the prior in captions."""
        return "the prior N(0, I)"

    def check(self, posteriors: PosteriorFamily, context_size: int) -> None:
        """Accept every posterior family."""

    def forward(self, context: Tensor | None = None, encoded: Posterior | None = None) -> StandardGaussian:
        """Return N(0, I). The arguments are not used."""
        return StandardGaussian()


class MixturePrior(Prior):
    """A mixture of diagonal Gaussians whose weights, means and variances are trained with the model.

    The rate is estimated from the samples of z. The means start as samples of N(0, I), the variances as 1, and the
    weights as 1 / K.

    Args:
        components: K, the number of Gaussians.
    """

    option = "mixture"
    closed_form = False

    def __init__(self, components: int = 100) -> None:
        super().__init__()
        check_at_least("prior.components", components, 1)
        self.components = components

    @property
    def name(self) -> str:
        """Display name of the prior in figure titles."""
        return f"mixture prior of {self.components} Gaussians"

    def build(self, latent_dim: int, shape: Shape, context_size: int) -> None:
        """Build the parameters. The arguments are those of `Prior.build`."""
        self.logits = nn.Parameter(torch.zeros(self.components))
        self.mean = nn.Parameter(torch.randn(self.components, latent_dim))
        self.log_variance = nn.Parameter(torch.zeros(self.components, latent_dim))

    def forward(self, context: Tensor | None = None, encoded: Posterior | None = None) -> DiagonalMixture:
        """Return the mixture. The arguments are not used."""
        log_variance = self.log_variance.float().clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
        return DiagonalMixture(self.logits.float().log_softmax(0), self.mean.float(), log_variance)


class VampPrior(Prior):
    """The VampPrior: the mean of the posteriors q(z | u_k) of K pseudo-inputs u_k, which are trained with the model.

    The pseudo-inputs start as training images, and their pixels are clamped to [0, 1]. For a conditional model, every
    pseudo-input has a context vector that is also trained. Every training step encodes the images of the batch and the
    K pseudo-inputs together, so that batch normalization has the same statistics for both. The rate is estimated from
    the samples of z.

    Source: Tomczak and Welling, "VAE with a VampPrior", 2018.

    Args:
        components: K, the number of pseudo-inputs; the paper uses 500 for MNIST.
    """

    option = "vamp"
    closed_form = False

    def __init__(self, components: int = 100) -> None:
        super().__init__()
        check_at_least("prior.components", components, 1)
        self.components = self.images = components

    @property
    def name(self) -> str:
        """Display name of the prior in figure titles."""
        return f"VampPrior of {self.components} pseudo-inputs"

    def build(self, latent_dim: int, shape: Shape, context_size: int) -> None:
        """Build the pseudo-inputs. The arguments are those of `Prior.build`."""
        self.inputs = nn.Parameter(torch.rand(self.components, *shape))
        self.context = nn.Parameter(torch.zeros(self.components, context_size)) if context_size else None

    @torch.no_grad()
    def initialize(self, images: Tensor, context: Tensor | None) -> None:
        """Set the pseudo-inputs to training images; an image is repeated if there are fewer images than pseudo-inputs.

        Args:
            images: training images (N, C, H, W).
            context: their context vectors (N, K), or None.
        """
        rows = torch.arange(self.components, device=images.device) % len(images)
        self.inputs.copy_(images[rows])
        if self.context is not None and context is not None:
            self.context.copy_(context[rows])

    def pseudo_inputs(self) -> PseudoInputs:
        """Return the pseudo-inputs."""
        return PseudoInputs(self.inputs.clamp(0, 1), self.context)

    def forward(self, context: Tensor | None = None, encoded: Posterior | None = None) -> DiagonalMixture:
        """Return the mixture of the posteriors of the pseudo-inputs. `context` is not used.

        Raises:
            TypeError: if `encoded` is None.
        """
        if encoded is None:
            raise TypeError("A VampPrior needs the posteriors of its pseudo-inputs, got None.")
        weights = torch.full((self.components,), -math.log(self.components), device=encoded.mean.device)
        return DiagonalMixture(weights, encoded.mean, encoded.log_variance)


class ConditionalPrior(Prior):
    """A prior p(z | y) of a conditional model: a diagonal Gaussian whose parameters are a function of the labels.

    The mean and the log-variance are linear functions of the context vector, or the outputs of a net with one hidden
    layer. With classes, every class has a Gaussian of its own. The prior starts as N(0, I) for all labels.

    Source: Sohn, Lee and Yan, "Learning structured output representation using deep conditional generative models",
    2015.

    Args:
        hidden: number of units of the hidden layer; 0 for a linear function.
    """

    option = "conditional"
    conditional = True

    def __init__(self, hidden: int = 0) -> None:
        super().__init__()
        check_at_least("prior.hidden", hidden, 0)
        self.hidden = hidden

    @property
    def name(self) -> str:
        """Display name of the prior in figure titles."""
        return "prior per label"

    def check(self, posteriors: PosteriorFamily, context_size: int) -> None:
        """Check that the model is conditional. See `Prior.check`."""
        super().check(posteriors, context_size)
        if not context_size:
            raise UserError(
                "prior=conditional needs a model that is conditioned on labels, got a model without labels. Choose "
                "model=cvae, or prior=standard_normal, prior=mixture or prior=vamp."
            )

    def build(self, latent_dim: int, shape: Shape, context_size: int) -> None:
        """Build the net. The arguments are those of `Prior.build`."""
        last = nn.Linear(self.hidden or context_size, 2 * latent_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        layers = [nn.Linear(context_size, self.hidden), nn.ReLU(), last] if self.hidden else [last]
        self.net = nn.Sequential(*layers)

    def forward(self, context: Tensor | None = None, encoded: Posterior | None = None) -> DiagonalGaussian:
        """Return one Gaussian per image.

        Args:
            context: context vectors (B, K) of the images.
            encoded: not used.

        Raises:
            TypeError: if `context` is None.
        """
        if context is None:
            raise TypeError("A prior per label needs context vectors, got None.")
        mean, log_variance = self.net(context).float().chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND))
