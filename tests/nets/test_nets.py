import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from autoencoders.nets import base, blocks, burgess, conv, mlp, pyramid, residual, skip
from autoencoders.nets.heads import CodeHead
from autoencoders.types import UserError

SHAPES = [(3, 8, 8), (1, 28, 28), (1, 28, 20), (1, 62, 47), (3, 64, 64), (3, 128, 128)]
SHAPES += [(3, 96, 128), (3, 61, 37), (2, 17, 9), (1, 8, 256), (5, 11, 8)]


@pytest.mark.parametrize("context_size", [0, 5])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("net", [mlp, conv], ids=["mlp", "conv"])
def test_nets_accept_any_shape_and_every_parameter_has_a_gradient(net, shape, norm, context_size):
    small = {"widths": [16, 8]} if net is mlp else {"width": 8, "max_width": 16}
    encoder = net.Encoder(shape, context_size, norm=norm, **small)
    decoder = net.Decoder(7, shape, context_size, norm=norm, **small)
    context = torch.randn(9, context_size) if context_size else None
    features = encoder(torch.rand(9, *shape), context)
    assert features.shape == (9, encoder.features)
    output = decoder(3 * torch.randn(9, 7), context)
    assert output.shape == (9, *shape)
    (features.square().sum() + (output - torch.rand_like(output)).square().sum()).backward()
    for module in (encoder, decoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0 or "bias" in name or norm == "batch", name


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 45, 45)], ids=str)
def test_depth_adds_convolutions_and_keeps_shapes(shape):
    encoder, deep = (conv.Encoder(shape, width=4, depth=d) for d in (1, 2))
    assert len(deep.blocks) == 2 * len(encoder.blocks)
    assert deep(torch.rand(2, *shape)).shape == (2, encoder.features)
    assert conv.Decoder(5, shape, width=4, depth=2)(torch.randn(2, 5)).shape == (2, *shape)


@pytest.mark.parametrize("context_size", [0, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nets_whose_features_are_a_code_accept_any_shape(shape, context_size):
    context = torch.randn(3, context_size) if context_size else None
    for encoder, decoder in (
        (
            residual.Encoder(shape, context_size, components=6, width=8),
            residual.Decoder(6, shape, context_size, components=6, width=8, blocks=1),
        ),
        (
            pyramid.Encoder(shape, context_size, components=6, widths=[8, 12, 16]),
            pyramid.Decoder(6, shape, context_size, components=6, widths=[8, 12, 16]),
        ),
        (
            pyramid.Encoder(shape, context_size, components=6, widths=[8, 12, 16], separable=True),
            pyramid.Decoder(6, shape, context_size, components=6, widths=[8, 12, 16], separable=True),
        ),
        (
            e := skip.Encoder(shape, context_size, bottleneck=6, widths=[8]),
            skip.Decoder(e.code, shape, context_size, bottleneck=6, widths=[8]),
        ),
    ):
        features = encoder(torch.rand(3, *shape), context)
        assert features.shape == (3, encoder.features)
        output = decoder(features[:, : encoder.code], context)
        assert output.shape == (3, *shape)
        output.square().sum().backward()
        assert [n for n, p in [*encoder.named_parameters(), *decoder.named_parameters()] if p.grad is None] == []


def test_a_separable_convolution_has_the_parameters_of_its_two_convolutions():
    layer = blocks.convolution(16, 32, stride=2, separable=True)
    assert sum(p.numel() for p in layer.parameters()) == 16 * 9 + 16 + 16 * 32 + 32
    assert layer(torch.rand(2, 16, 7, 9)).shape == (2, 32, 4, 5)
    options = {"components": 8, "separable": True}
    for net in (pyramid.Encoder((3, 64, 64), **options), pyramid.Decoder(8, (3, 64, 64), **options)):
        full = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d) and m.groups == 1]
        assert {m.kernel_size for m in full} == {(1, 1)}


@pytest.mark.parametrize(
    ("module", "options"),
    [(residual, {"width": 4}), (pyramid, {"widths": [4, 8]}), (pyramid, {"widths": [4, 8], "separable": True})],
)
def test_residual_and_pyramid_start_as_pca(module, options, digits):
    images = digits.images("train")
    encoder = module.Encoder((1, 28, 28), components=12, **options)
    decoder = module.Decoder(12, (1, 28, 28), components=12, **options)
    for net in (encoder, decoder):
        net.initialize(images)
    train, test = (digits.images(s).flatten(1).double().numpy() / 255 for s in ("train", "test"))
    reference = PCA(12, svd_solver="full").fit(train)
    x = torch.from_numpy(test).float().unflatten(1, (1, 28, 28))
    code = encoder.eval()(x)[:, :12]
    expected = reference.inverse_transform(reference.transform(test))
    np.testing.assert_allclose(decoder.eval()(code).flatten(1).detach(), expected, atol=1e-5)
    np.testing.assert_allclose(code.std(0).detach(), np.ones(12), atol=0.25)  # each latent has unit variance


@pytest.mark.parametrize("shape", [(3, 10, 13), (1, 28, 28), (2, 9, 4)], ids=str)
def test_patches_convert_back_to_the_same_image(shape):
    patches = blocks.Patches(shape, 4)
    x = torch.rand(2, *shape)
    maps = patches.split(x)
    assert maps.shape == (2, patches.channels, *patches.size)
    assert torch.equal(patches.join(maps), x)


def test_the_code_of_a_skip_net_contains_every_map():
    """Check the code size and the number of parameters (3.68 million) of the published net.

    It has maps with 32, 64 and 256 channels and a bottleneck, and pooling factors 4, 4, 2 and 2.
    """
    encoder = skip.Encoder((3, 64, 64), bottleneck=1024)
    decoder = skip.Decoder(encoder.code, (3, 64, 64), bottleneck=1024)
    assert encoder.code == 32 * 16 * 16 + 64 * 4 * 4 + 256 * 2 * 2 + 1024
    assert sum(p.numel() for net in (encoder, decoder) for p in net.parameters()) == pytest.approx(3.68e6, abs=5e3)
    code = encoder(torch.rand(1, 3, 64, 64)).detach()
    image = decoder(code)
    for start in (0, 8192, 8192 + 1024, 8192 + 2048):  # start of each map in the code
        other = code.clone()
        other[:, start : start + 50] += 1
        assert not torch.equal(decoder(other), image)


@pytest.mark.parametrize("numbers", [1, 2])
def test_a_code_is_the_posterior_mean_until_the_context_shifts_it(numbers):
    head, h = CodeHead(3, features=5, context_size=2, numbers=numbers), torch.randn(4, 7)
    assert torch.equal(head(h), torch.cat([h[:, :3], torch.zeros(4, 3 * (numbers - 1))], dim=1))
    torch.nn.init.ones_(head.shift.weight)
    torch.testing.assert_close(head(h)[:, :3], h[:, :3] + h[:, 5:].sum(1, keepdim=True))


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


def test_images_too_small_for_convolutions_raise_a_user_error():
    with pytest.raises(UserError, match="net=mlp"):
        conv.Encoder((1, 7, 20))


@pytest.mark.parametrize(
    "make",
    [
        lambda: mlp.Encoder((1, 8, 8), widths=[]),
        lambda: mlp.Encoder((1, 8, 8), widths=[4, 0]),
        lambda: mlp.Encoder((1, 8, 8), norm="layer"),
        lambda: conv.Encoder((1, 8, 8), width=0),
        lambda: residual.Encoder((1, 8, 8), components=4, patch=9),
        lambda: pyramid.Encoder((1, 8, 8), components=4, widths=[]),
        lambda: pyramid.Decoder(4, (1, 8, 8), components=4, widths=[8, 0]),
        lambda: pyramid.Encoder((1, 8, 8), components=65),
        lambda: skip.Encoder((1, 8, 8), widths=[]),
        lambda: conv.Encoder((1, 8, 8), norm="layer"),
    ],
)
def test_options_out_of_range_raise_a_user_error(make):
    with pytest.raises(UserError, match=r"net\.(widths|norm|width|patch) must|latent_dim must"):
        make()


def test_tanh_nets_are_initialized_by_glorot_and_at_the_mean_image():
    images = torch.randint(0, 256, (300, 1, 8, 8), dtype=torch.uint8)
    options = {"widths": [200, 50], "norm": "none", "activation": "tanh", "init": "glorot"}
    encoder, decoder = mlp.Encoder((1, 8, 8), **options), mlp.Decoder(3, (1, 8, 8), mean_start=True, **options)
    assert encoder(100 * torch.randn(9, 1, 8, 8)).abs().max() <= 1
    for layer in (*encoder.modules(), *decoder.modules(), encoder.linear(50, 6)):
        if isinstance(layer, torch.nn.Linear):
            bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
            assert 0.9 * bound < layer.weight.abs().max() <= bound
            assert layer.bias.abs().max() == 0
    decoder.initialize(images)
    with torch.no_grad():
        mean = decoder.output(torch.zeros(200)).sigmoid().numpy()
    np.testing.assert_allclose(mean, images.numpy().reshape(300, -1).mean(0) / 255, atol=1e-6)
    with pytest.raises(UserError, match=r"net\.activation must be one of"):
        mlp.Encoder((1, 8, 8), activation="gelu")


def test_a_plain_module_gets_the_defaults_of_a_net():
    plain = torch.nn.Linear(3, 4)
    assert base.code_size(plain) == base.code_size(base.Net()) == 0
    assert base.context_shift(plain) is None
    assert base.posterior_layer(plain, 3, 2).weight.shape == (2, 3)
    base.initialize_net(plain, torch.zeros(5, 1, 2, 2, dtype=torch.uint8))


def test_attributes_of_a_plain_module_are_used():
    plain = torch.nn.Identity()
    plain.features, plain.code, plain.linear = 7, 2, lambda inputs, outputs: (inputs, outputs)
    plain.initialize = lambda images: setattr(plain, "images", len(images))
    base.initialize_net(plain, torch.zeros(5, 1, 2, 2))
    assert (base.feature_size(plain), base.code_size(plain), plain.images) == (7, 2, 5)
    assert base.posterior_layer(plain, 3, 2) == (3, 2)


@pytest.mark.parametrize("context_size", [0, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_burgess_accepts_any_shape_and_every_parameter_has_a_gradient(shape, context_size):
    encoder = burgess.Encoder(shape, context_size, channels=[4, 6, 8, 8], hidden=[16, 12])
    decoder = burgess.Decoder(7, shape, context_size, channels=[4, 6, 8, 8], hidden=[16, 12])
    context = torch.randn(9, context_size) if context_size else None
    features = encoder(torch.rand(9, *shape), context)
    assert features.shape == (9, encoder.features) == (9, 12)
    output = decoder(3 * torch.randn(9, 7), context)
    assert output.shape == (9, *shape)
    (features.square().sum() + (output - torch.rand_like(output)).square().sum()).backward()
    parameters = [*encoder.named_parameters(), *decoder.named_parameters()]
    assert [name for name, p in parameters if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_burgess_equals_the_published_layers():
    """Build the layers of Burgess et al. (2018), appendix A.1, for 64 x 64 pixels from torch only."""
    nn, relu = torch.nn, torch.nn.ReLU

    def conv(inputs):
        return nn.Sequential(nn.Conv2d(inputs, 32, 4, 2, 1), relu())

    def up(outputs):
        return nn.ConvTranspose2d(32, outputs, 4, 2, 1)

    hidden = [nn.Linear(512, 256), relu(), nn.Linear(256, 256), relu()]
    published = nn.Sequential(conv(1), conv(32), conv(32), conv(32), nn.Flatten(), *hidden)
    start = [nn.Linear(10, 256), relu(), nn.Linear(256, 256), relu(), nn.Linear(256, 512), relu()]
    ups = [up(32), relu(), up(32), relu(), up(32), relu(), up(1)]
    mirrored = nn.Sequential(*start, nn.Unflatten(1, (32, 4, 4)), *ups)
    x, z = torch.rand(3, 1, 64, 64), torch.randn(3, 10)
    for ours, theirs, inputs in (
        (burgess.Encoder((1, 64, 64)), published, x),
        (burgess.Decoder(10, (1, 64, 64)), mirrored, z),
    ):
        with torch.no_grad():
            for own, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
                own.copy_(reference)
        torch.testing.assert_close(ours(inputs), theirs(inputs))
    assert len(burgess.Encoder((1, 32, 32)).blocks) == len(burgess.Encoder((1, 28, 28)).blocks) == 3


@pytest.mark.parametrize("options", [{"channels": []}, {"channels": [0, 4]}, {"hidden": [2.5]}], ids=str)
def test_burgess_rejects_invalid_options(options):
    with pytest.raises(UserError, match=r"net\.(channels|hidden) must be a list of integers >= 1"):
        burgess.Encoder((1, 28, 28), **options)
    with pytest.raises(UserError, match="at least 6 x 6 pixels with net=burgess, got 5 x 9"):
        burgess.Decoder(3, (1, 5, 9))
