"""Inception-v3 and DINOv2 with random weights, compared with the libraries that define them."""

import pytest
import torch
from torch.nn import functional

from autoencoders.metrics.dinov2 import DINOv2, build_dinov2, prepare_dinov2
from autoencoders.metrics.inception import average_pool, build_inception, prepare_inception


@pytest.fixture(scope="module")
def inception_state():
    """Return random weights with the names and shapes of `pt_inception-2015-12-05`."""
    from torchvision.models import Inception3

    torch.manual_seed(0)
    with torch.device("meta"):
        network = Inception3(1008, aux_logits=False, init_weights=False)
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    return {k: torch.rand(v.shape) + 0.5 if v.ndim == 1 else torch.randn(v.shape) / v[0].numel() ** 0.5
            for k, v in state.items()}  # fmt: skip


@pytest.mark.slow
def test_inception_equals_pytorch_fid(inception_state, monkeypatch):
    inception = pytest.importorskip("pytorch_fid.inception")
    counters = {k.replace("running_mean", "num_batches_tracked"): torch.tensor(0)
                for k in inception_state if k.endswith("running_mean")}  # fmt: skip
    state = {**inception_state, **counters}
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *words, **options: state)
    reference = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()
    x = torch.rand(1, 3, 40, 30)
    with torch.no_grad():
        expected = reference(x)[0].flatten(1)
        features = build_inception(inception_state)(prepare_inception(x))
    assert features.shape == (1, 2048)
    assert torch.allclose(features, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_averages_do_not_include_the_padding():
    x = torch.rand(1, 2, 5, 6)
    counts = functional.avg_pool2d(torch.ones_like(x), 3, stride=1, padding=1)
    assert torch.allclose(average_pool(x), functional.avg_pool2d(x, 3, stride=1, padding=1) / counts)


def test_other_weights_of_inception_are_refused(inception_state):
    with pytest.raises(RuntimeError, match="fc"):
        build_inception({**inception_state, "fc.weight": torch.zeros(1000, 2048)})


@pytest.mark.slow
def test_dinov2_equals_timm():
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    reference = timm.create_model("vit_small_patch14_dinov2", img_size=224, depth=2, num_classes=0, init_values=0.7)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.copy_(0.2 * torch.randn_like(parameter))
    state = {**reference.state_dict(), "mask_token": torch.zeros(1, 384)}
    x = prepare_dinov2(torch.rand(2, 1, 28, 28))
    with torch.no_grad():
        features = build_dinov2(state)(x)
        assert torch.allclose(features, reference.eval()(x), rtol=1e-3, atol=1e-3)


def test_the_position_embedding_is_resized():
    network = DINOv2(64, 1, 37 * 37)
    with torch.no_grad():
        network.pos_embed.fill_(1)
    positions = network.positions(16)
    assert positions.shape == (1, 257, 64)
    assert torch.allclose(positions, torch.ones(()), atol=1e-5)  # weights of the interpolation sum to 1


def test_images_are_normalized_like_imagenet():
    transforms = pytest.importorskip("torchvision.transforms")
    x = torch.rand(1, 3, 224, 224)
    expected = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))(x)
    assert torch.allclose(prepare_dinov2(x), expected, atol=1e-4)
