import pytest
import torch

from autoencoders.nets import conv, fc
from autoencoders.types import UserError

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 45, 45), (1, 62, 47), (3, 64, 64), (3, 128, 128)]


@pytest.mark.parametrize("condition", [0, 5])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("net", [fc, conv], ids=["fc", "conv"])
def test_any_shape_goes_in_and_comes_out_and_every_parameter_learns(net, shape, norm, condition):
    small = {"widths": [16, 8]} if net is fc else {"width": 4, "max_width": 8}
    encoder = net.Encoder(shape, condition, norm=norm, **small)
    decoder = net.Decoder(7, shape, condition, norm=norm, **small)
    context = torch.randn(3, condition) if condition else None
    features = encoder(torch.rand(3, *shape), context)
    assert features.shape == (3, encoder.features)
    output = decoder(torch.randn(3, 7), context)
    assert output.shape == (3, *shape)
    (features.square().sum() + (output - torch.rand_like(output)).square().sum()).backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0 or "bias" in name or norm == "batch", name


def test_a_context_changes_every_layer():
    encoder = conv.Encoder((1, 16, 16), 2, width=4)
    x = torch.rand(4, 1, 16, 16)
    a, b = (encoder.eval()(x, torch.eye(2)[[k] * 4]) for k in (0, 1))
    assert not torch.allclose(a, b)
    assert sum("context" in name for name, _ in encoder.named_parameters()) == len(encoder.blocks)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((1, 8, 8), [8, 4]),
        ((1, 28, 28), [28, 14, 7]),
        ((3, 45, 45), [45, 22, 11, 5]),
        ((3, 128, 128), [128, 64, 32, 16, 8, 4]),
    ],
)
def test_scales_halve_down_to_four(shape, sizes):
    assert [height for height, _ in conv.scales(shape)] == sizes


def test_images_too_small_for_convolutions_are_refused():
    with pytest.raises(UserError, match="net=fc"):
        conv.Encoder((1, 7, 20))


@pytest.mark.parametrize(
    "make",
    [
        lambda: fc.Encoder((1, 8, 8), widths=[]),
        lambda: fc.Encoder((1, 8, 8), widths=[4, 0]),
        lambda: fc.Encoder((1, 8, 8), norm="layer"),
        lambda: conv.Encoder((1, 8, 8), width=0),
        lambda: conv.Encoder((1, 8, 8), norm="layer"),
    ],
)
def test_bad_options_are_named(make):
    with pytest.raises(UserError, match=r"net\.(widths|norm|width) must"):
        make()
