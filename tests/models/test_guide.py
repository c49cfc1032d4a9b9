"""The guide of a CVAE: its loss and gradients; distortion and rate do not depend on it."""

import pytest
import torch
import torch.nn.functional as F

from autoencoders.config import instantiate
from autoencoders.types import Batch, Context, UserError

CLASSES = Context("classes", tuple("0123456789"))


def build(compose, *overrides, context=CLASSES):
    torch.manual_seed(0)
    return instantiate.build_model(
        compose("model=cvae", "net.norm=none", "latent_dim=3", *overrides), (1, 8, 8), context
    )


@pytest.fixture
def batch():
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(x, x, torch.arange(12) % 10, torch.arange(12))


def test_guide_changes_neither_distortion_nor_rate(compose, batch):
    plain, guided = build(compose), build(compose, "model.guide=30")
    guided.load_state_dict(plain.state_dict(), strict=False)
    eps = torch.randn(12, 3)
    a, b = plain.terms(batch, eps), guided.terms(batch, eps)
    assert torch.equal(a.distortion, b.distortion)
    assert torch.equal(a.rate, b.rate)
    assert a.extra is None
    logits = guided.classifier(guided.decode(eps, batch.y))
    classifier_loss = F.nll_loss(guided.classifier(batch.target).log_softmax(1), batch.y, reduction="none")
    sample_loss = -logits.log_softmax(1).gather(1, batch.y[:, None])[:, 0]
    assert torch.allclose(b.extra, classifier_loss + 30 * sample_loss, rtol=1e-5)


def test_classifier_gradients_come_from_real_images_and_the_encoder_has_none(compose, batch):
    model = build(compose, "model.guide=30")
    model.terms(batch, torch.randn(12, 3)).extra.sum().backward()
    gradients = [p.grad.clone() for p in model.classifier.parameters()]
    model.zero_grad()
    F.cross_entropy(model.classifier(batch.target), batch.y, reduction="sum").backward()
    for gradient, p in zip(gradients, model.classifier.parameters(), strict=True):
        assert torch.allclose(gradient, p.grad, atol=1e-5)
    assert all(p.grad is None for p in model.encoder.parameters())


def test_guide_needs_classes_a_weight_and_gaussian_samples(compose):
    with pytest.raises(UserError, match="conditioned on attributes"):
        build(compose, "model.guide=1", context=Context("attributes", ("Male", "Smiling")))
    with pytest.raises(UserError, match=r"model\.guide must be a finite number >= 0, got -1"):
        build(compose, "model.guide=-1")
    with pytest.raises(UserError, match="samples codes from N"):
        build(compose, "model.guide=1", "posterior.noise=uniform")
