"""A CVAE's guide sees that the prior's images are of the class asked for, and leaves the bound as it is."""

import pytest
import torch
import torch.nn.functional as F

from autoencoders.config import instantiate
from autoencoders.types import Batch, Context, UserError

CLASSES = Context("classes", tuple("0123456789"))


def build(compose, *words, context=CLASSES):
    torch.manual_seed(0)
    return instantiate.build_model(compose("model=cvae", "net.norm=none", "latent_dim=3", *words), (1, 8, 8), context)


@pytest.fixture
def batch():
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Batch(x, x, torch.arange(12) % 10, torch.arange(12))


def test_distortion_and_rate_are_those_without_it(compose, batch):
    plain, guided = build(compose), build(compose, "model.guide=30")
    guided.load_state_dict(plain.state_dict(), strict=False)
    eps = torch.randn(12, 3)
    a, b = plain.terms(batch, eps), guided.terms(batch, eps)
    assert torch.equal(a.distortion, b.distortion)
    assert torch.equal(a.rate, b.rate)
    assert a.extra is None
    logits = guided.classifier(guided.decode(eps, batch.y))
    own = F.nll_loss(guided.classifier(batch.target).log_softmax(1), batch.y, reduction="none")
    asked = -logits.log_softmax(1).gather(1, batch.y[:, None])[:, 0]
    assert torch.allclose(b.extra, own + 30 * asked, rtol=1e-5)


def test_the_classifier_learns_from_real_images_alone_and_the_encoder_from_none_of_it(compose, batch):
    model = build(compose, "model.guide=30")
    model.terms(batch, torch.randn(12, 3)).extra.sum().backward()
    found = [p.grad.clone() for p in model.classifier.parameters()]
    model.zero_grad()
    F.cross_entropy(model.classifier(batch.target), batch.y, reduction="sum").backward()
    for a, p in zip(found, model.classifier.parameters(), strict=True):
        assert torch.allclose(a, p.grad, atol=1e-5)
    assert all(p.grad is None for p in model.encoder.parameters())


def test_it_wants_classes_and_a_weight(compose):
    with pytest.raises(UserError, match="conditioned on attributes"):
        build(compose, "model.guide=1", context=Context("attributes", ("Male", "Smiling")))
    with pytest.raises(UserError, match="from 0 up, and is -1"):
        build(compose, "model.guide=-1")
    with pytest.raises(UserError, match="draws codes from N"):
        build(compose, "model.guide=1", "posterior.noise=uniform")
