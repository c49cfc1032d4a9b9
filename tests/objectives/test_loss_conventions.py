"""Losses of other projects, as in their code, compared with the loss of this package with the converted beta."""

import doctest
import math
import re
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Normal, kl_divergence

from autoencoders.objectives.beta_schedules import Constant
from autoencoders.objectives.likelihoods import Bernoulli, Gaussian, Laplace
from autoencoders.objectives.loss_conventions import (
    CONVENTIONS,
    Convention,
    from_beta,
    kl_factor,
    loss_factor,
    scale_at,
    to_beta,
)
from autoencoders.objectives.posteriors import GaussianPosterior
from autoencoders.types import UserError

B, C, H, W, Z, N = 6, 3, 4, 5, 7, 90
SIZES = {"scale": 0.3, "pixels": C * H * W, "latents": Z, "batch": B, "images": N}


def kl_sum(v):
    return -0.5 * torch.sum(1 + v.log_var - v.mu**2 - v.log_var.exp())


def kl_per_image(v):
    return -0.5 * torch.sum(1 + v.log_var - v.mu**2 - v.log_var.exp(), dim=1)


def cross_entropy(v):
    return F.binary_cross_entropy(v.probability, v.x, reduction="none")


def bolts(v, w):
    prior = Normal(torch.zeros_like(v.mu), torch.ones_like(v.mu))
    kl = kl_divergence(Normal(v.mu, torch.exp(v.log_var / 2)), prior).mean()
    return w * kl + F.mse_loss(v.mean, v.x, reduction="mean")


def half_squares(v, w):
    rows = 0.5 * F.mse_loss(v.mean.reshape(B, -1), v.x.reshape(B, -1), reduction="none").sum(dim=-1)
    return (rows + w * kl_per_image(v)).mean(dim=0)


def squares(v, w):
    rows = F.mse_loss(v.mean.reshape(B, -1), v.x.reshape(B, -1), reduction="none").sum(dim=-1)
    return (rows + w * kl_per_image(v)).mean(dim=0)


PEERS = {
    "pytorch-vae": lambda v, w: F.mse_loss(v.mean, v.x) + w * torch.mean(kl_per_image(v), dim=0),
    "pytorch-vae-2020": lambda v, w: (
        F.mse_loss(2 * v.mean - 1, 2 * v.x - 1) + w * (B / N) * torch.mean(kl_per_image(v), dim=0)
    ),
    "pythae-mse": half_squares,
    "pythae-0.1.1-mse": squares,
    "pythae-bce": lambda v, w: (cross_entropy(v).reshape(B, -1).sum(dim=-1) + w * kl_per_image(v)).mean(dim=0),
    "disentangling-vae-gaussian": lambda v, w: (
        F.mse_loss(v.mean * 255, v.x * 255, reduction="sum") / 255 / B + w * kl_per_image(v).mean(0)
    ),
    "disentangling-vae-laplace": lambda v, w: F.l1_loss(v.mean, v.x, reduction="sum") / B + w * kl_per_image(v).mean(0),
    "disentangling-vae-bernoulli": lambda v, w: cross_entropy(v).sum() / B + w * kl_per_image(v).mean(0),
    "pytorch-examples": lambda v, w: cross_entropy(v).sum() + w * kl_sum(v),
    "lightning-bolts": bolts,
    "s4": lambda v, w: F.mse_loss(255 * v.mean, 255 * v.x) + w * kl_sum(v),
}
LIKELIHOODS = {
    "squared": lambda scale: Gaussian(scale, "linear"),
    "absolute": lambda scale: Laplace(scale, "linear"),
    "bernoulli": lambda scale: Bernoulli(),
}


@pytest.fixture
def variables():
    """Return a decoder's output (as means, and as probabilities), a target and posterior parameters, in float64."""
    generator = torch.Generator().manual_seed(3)
    output = torch.randn(B, C, H, W, generator=generator, dtype=torch.float64, requires_grad=True)
    mu = torch.randn(B, Z, generator=generator, dtype=torch.float64, requires_grad=True)
    log_var = torch.randn(B, Z, generator=generator, dtype=torch.float64, requires_grad=True)
    x = torch.rand(B, C, H, W, generator=generator, dtype=torch.float64)
    return SimpleNamespace(mean=output, probability=output.sigmoid(), mu=mu, log_var=log_var, x=x)


def ours(v, convention, scale, beta):
    distortion = LIKELIHOODS[convention.error](scale).nll(v.mean, v.x).mean()
    return distortion + Constant(beta)(GaussianPosterior(v.mu, v.log_var).kl().sum(1).mean(), 1.0)


def gradients(loss, v):
    values = torch.autograd.grad(loss, [v.mean, v.mu, v.log_var], retain_graph=True)
    return torch.cat([value.flatten() for value in values])


def test_every_convention_has_a_reference_loss():
    assert set(PEERS) == set(CONVENTIONS)


@pytest.mark.parametrize("scale", [0.05, 1.0])
@pytest.mark.parametrize("weight", [0.00025, 1.0, 40.0])
@pytest.mark.parametrize("name", CONVENTIONS)
def test_gradients_are_proportional_with_the_converted_beta(name, weight, scale, variables):
    sizes = {**SIZES, "scale": scale}
    theirs = gradients(PEERS[name](variables, weight), variables)
    mine = gradients(ours(variables, CONVENTIONS[name], scale, to_beta(weight, name, **sizes)), variables)
    torch.testing.assert_close(theirs, loss_factor(name, **sizes) * mine, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_gradients_are_not_proportional_with_another_beta(name, variables):
    theirs = gradients(PEERS[name](variables, 1.0), variables)
    mine = gradients(ours(variables, CONVENTIONS[name], 0.3, 1.1 * to_beta(1.0, name, **SIZES)), variables)
    assert not torch.allclose(theirs, loss_factor(name, **SIZES) * mine, rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_kl_factor_is_the_slope_of_the_loss_in_the_kl(name, variables):
    slope = PEERS[name](variables, 3.0) - PEERS[name](variables, 2.0)
    rate = GaussianPosterior(variables.mu, variables.log_var).kl().sum(1).mean()
    torch.testing.assert_close(slope, kl_factor(name, **SIZES) * rate)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conversions_are_inverse_to_each_other(name):
    for value in (0.0, 0.00025, 1.0, 40.0):
        assert from_beta(to_beta(value, name, **SIZES), name, **SIZES) == pytest.approx(value)
        assert to_beta(from_beta(value, name, **SIZES), name, **SIZES) == pytest.approx(value)


@pytest.mark.parametrize("name", [n for n, c in CONVENTIONS.items() if c.error != "bernoulli"])
def test_scale_at_a_weight_gives_the_same_beta(name):
    for beta in (1.0, 4.0):
        scale = scale_at(0.01, name, beta, **{k: v for k, v in SIZES.items() if k != "scale"})
        assert to_beta(0.01, name, **{**SIZES, "scale": scale}) == pytest.approx(beta)


def test_sigma_of_s4_in_gray_levels():
    """S4: 64 x 64 RGB, batch 64: beta 1 with a decoder of 627 sqrt(sigma) gray levels."""
    for sigma, gray_levels in ((0.5, 443), (0.05, 140), (0.01, 63), (0.001, 20), (0.0001, 6.3)):
        scale = scale_at(sigma, "s4", pixels=3 * 64 * 64, batch=64)
        assert 255 * scale == pytest.approx(627.07 * math.sqrt(sigma), rel=1e-4)
        assert 255 * scale == pytest.approx(gray_levels, rel=0.01)


def test_published_defaults_at_scale_one():
    """Values are computed from the losses of the projects: at scale 1, the distortion is SSE / 2 plus a constant."""
    assert to_beta(0.00025, "pytorch-vae", scale=1, pixels=3 * 64 * 64) == pytest.approx(1.536)
    assert to_beta(1.0, "pytorch-vae", scale=1, pixels=3 * 64 * 64) == pytest.approx(6144)
    assert to_beta(0.1, "lightning-bolts", scale=1, pixels=3 * 32 * 32, latents=256) == pytest.approx(0.6)
    assert to_beta(1.0, "disentangling-vae-gaussian", scale=1) == pytest.approx(1 / 510)
    assert to_beta(4.0, "pythae-mse", scale=1) == pytest.approx(4)


def test_a_mean_of_cross_entropies_with_a_sum_of_kls_has_a_large_beta():
    """The convention of the CVAE of S3, on MNIST with batch 32, has an effective beta of 784 * 32."""
    s3 = Convention("S3", "bernoulli", pixels="mean", kl_images="sum")
    assert to_beta(1, s3, pixels=784, batch=32) == pytest.approx(784 * 32)


def test_invalid_arguments_raise_a_user_error():
    with pytest.raises(UserError, match=r"pytorch-vae, .*s4, or a Convention, got 'keras'"):
        to_beta(1, "keras")
    with pytest.raises(UserError, match=r"pixels \(.*\) is missing, but .* depends on pixels\. Pass pixels="):
        to_beta(1, "pytorch-vae", scale=0.1)
    with pytest.raises(UserError, match=r"scale \(likelihood.scale.*likelihood=gaussian\) is missing"):
        to_beta(1, "pythae-mse")
    with pytest.raises(UserError, match="got 'batch_size'"):
        to_beta(1, "pythae-bce", batch_size=64)
    with pytest.raises(UserError, match="batch must be a finite number > 0"):
        from_beta(1, "s4", scale=0.1, pixels=784, batch=0)
    with pytest.raises(UserError, match="weight must be a finite number >= 0"):
        to_beta(-1, "pythae-bce")
    with pytest.raises(UserError, match="beta must be a finite number >= 0"):
        from_beta(math.nan, "pythae-bce")
    with pytest.raises(UserError, match="has no scale"):
        scale_at(1, "pytorch-examples")


def test_the_documentation_page_is_correct(repository):
    """Its examples have the printed results, and the formula in every row equals `to_beta`."""
    page = repository / "docs" / "loss-conventions.md"
    assert doctest.testfile(str(page), module_relative=False, verbose=False) == (0, page.read_text().count(">>> "))
    rows = re.findall(r"^\| `([\w.-]+)` \|.*\| `([^`]+)` \|$", page.read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == list(CONVENTIONS)
    values = {"s": 0.3, "D": 60, "Z": 7, "B": 6, "N": 90, "w": 0.7}
    for name, formula in rows:
        assert eval(formula, {"__builtins__": {}}, values) == pytest.approx(to_beta(0.7, name, **SIZES)), name
