"""The binary cross-entropy compared with torch's function and with exact values."""

import math

import pytest
import torch
import torch.nn.functional as F

from autoencoders.objectives.cross_entropy import FACTORS, binary_cross_entropy


def _reference(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    each = F.binary_cross_entropy_with_logits(logits.double(), target.double(), reduction="none")
    return each.flatten(1).sum(1)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64), (1, 8, 8), (1, 1, FACTORS), (1, 1, FACTORS + 1)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1000.0])
def test_equals_the_function_of_torch(shape, scale):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(4, *shape, generator=generator)
    target = torch.rand(4, *shape, generator=generator)
    torch.testing.assert_close(binary_cross_entropy(logits, target).double(), _reference(logits, target),
                               rtol=1e-6, atol=1e-4)  # fmt: skip


def test_is_as_exact_as_the_function_of_torch():
    """The mean error in float32, compared with float64, is not greater than that of torch's function."""
    generator = torch.Generator().manual_seed(0)
    logits, target = 5 * torch.randn(500, 784, generator=generator), torch.rand(500, 784, generator=generator).round()
    reference = _reference(logits, target)
    usual = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
    error = (binary_cross_entropy(logits, target).double() - reference).abs().mean()
    assert error <= 1.2 * (usual.double() - reference).abs().mean()


def test_all_probabilities_of_one_half():
    """A product of the smallest possible factors does not underflow."""
    value = binary_cross_entropy(torch.zeros(1, 10_000), torch.zeros(1, 10_000))
    assert value.item() == pytest.approx(10_000 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("logit", [math.inf, -math.inf, math.nan])
def test_a_logit_that_is_not_finite_is_not_hidden(logit):
    """With target 1/2, torch's function also returns infinity or NaN."""
    logits = torch.zeros(2, 5)
    logits[1, 3] = logit
    value = binary_cross_entropy(logits, torch.full((2, 5), 0.5))
    assert value[0].isfinite()
    assert not value[1].isfinite()


def test_gradients_of_first_and_second_order():
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(2, 9, generator=generator, dtype=torch.double)).requires_grad_()
    target = torch.rand(2, 9, generator=generator, dtype=torch.double).requires_grad_()
    assert torch.autograd.gradcheck(binary_cross_entropy, (logits, target))
    assert torch.autograd.gradgradcheck(binary_cross_entropy, (logits, target))
