import math

import pytest
import torch
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Laplace as TorchLaplace
from torch.distributions import Normal

from autoencoders.objectives.likelihoods import Bernoulli, Gaussian, GaussianLearned, Laplace
from autoencoders.types import UserError

GENERATOR = torch.Generator().manual_seed(0)
OUTPUT = torch.randn(5, 3, 8, 9, generator=GENERATOR) * 3
TARGET = torch.rand(5, 3, 8, 9, generator=GENERATOR)


def total(log_density):
    return -log_density.flatten(1).sum(1)


def test_bernoulli_equals_that_of_torch_on_binary_images():
    binary = (TARGET > 0.5).float()
    torch.testing.assert_close(Bernoulli()(OUTPUT).nll(binary), total(TorchBernoulli(logits=OUTPUT).log_prob(binary)))


def test_bernoulli_on_gray_levels_is_the_mean_over_binary_samples():
    output, gray = OUTPUT[:1], TARGET[:1]
    draws = (torch.rand(20_000, *gray.shape[1:], generator=torch.Generator().manual_seed(1)) < gray).float()
    sampled = Bernoulli()(output.expand_as(draws)).nll(draws)
    assert abs(sampled.mean() - Bernoulli()(output).nll(gray)) < 5 * sampled.std() / math.sqrt(len(draws))


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
@pytest.mark.parametrize(
    ("likelihood", "reference"),
    [
        (lambda a: Gaussian(0.3, a), lambda mean: Normal(mean, 0.3)),
        (lambda a: GaussianLearned(0.3, activation=a), lambda mean: Normal(mean, 0.3)),
        (lambda a: Laplace(0.3, a), lambda mean: TorchLaplace(mean, 0.3)),
    ],
)
def test_densities_equal_those_of_torch(likelihood, reference, activation):
    pixels = likelihood(activation)(OUTPUT)
    assert torch.equal(pixels.mean, OUTPUT.sigmoid() if activation == "sigmoid" else OUTPUT)
    torch.testing.assert_close(pixels.nll(TARGET), total(reference(pixels.mean).log_prob(TARGET)), rtol=1e-5, atol=1e-3)


def test_the_learned_scale_is_fitted_by_maximum_likelihood():
    likelihood = GaussianLearned(activation="linear")
    likelihood.fit(OUTPUT, TARGET)
    nll = likelihood(OUTPUT).nll(TARGET).mean()
    nll.backward()
    assert abs(likelihood.log_scale.grad) < 1e-3 * OUTPUT[0].numel()


def test_log_densities_are_float32_under_reduced_precision():
    assert Bernoulli()(OUTPUT.bfloat16()).nll(TARGET).dtype == torch.float32


@pytest.mark.parametrize("make", [Bernoulli, Gaussian, GaussianLearned, Laplace])
def test_images_outside_the_range_raise_a_user_error(make):
    make().check(TARGET)
    with pytest.raises(UserError, match=r"training images must be in \[0, 1\] .*, got values between"):
        make().check(TARGET * 2 - 1)
    with pytest.raises(UserError, match="NaN"):
        make().check(TARGET * math.nan)


def test_a_linear_output_accepts_any_finite_range():
    Gaussian(activation="linear").check(TARGET * 2 - 1)


@pytest.mark.parametrize("make", [Gaussian, GaussianLearned, Laplace])
def test_a_scale_must_be_positive(make):
    with pytest.raises(UserError, match="scale"):
        make(scale=0.0)


def test_an_unknown_activation_raises_a_user_error():
    with pytest.raises(UserError, match=r"must be one of .*, got 'tanh'"):
        Gaussian(activation="tanh")
