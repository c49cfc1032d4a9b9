import pytest
import torch

from autoencoders.data.loader import Batches, Split
from autoencoders.data.transforms import Draws, Erase, GaussianNoise, NoCorruption, Occlusion, SaltPepper, augment
from autoencoders.types import UserError

X = torch.rand(64, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def draws(seed=0):
    return Draws(seed, torch.arange(64))


def test_gaussian_noise_has_the_given_sigma():
    noise = GaussianNoise(0.2, clamp=False)(X, draws()) - X
    assert noise.mean().item() == pytest.approx(0, abs=2e-3)
    assert noise.std().item() == pytest.approx(0.2, rel=0.01)
    clamped = GaussianNoise(0.5)(X, draws())
    assert clamped.min() == 0
    assert clamped.max() == 1


def test_salt_and_pepper_changes_the_given_share_in_all_channels():
    gray = torch.full((64, 3, 20, 24), 0.5)
    y = SaltPepper(0.2)(gray, draws())
    assert (y != 0.5).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert y[y != 0.5].mean().item() == pytest.approx(0.5, abs=0.02)
    assert torch.equal(y[:, 0], y[:, 2])


def test_occlusion_covers_one_square_inside_the_image():
    covered = Occlusion(0.4, value=1.0)(X, draws()) == 1
    assert (covered[:, 0].flatten(1).sum(1) == 8 * 8).all()
    rows = covered[:, 0].any(2)
    assert (rows.sum(1) == 8).all()
    assert len({int(r.float().argmax()) for r in rows}) > 5  # the position varies


def test_erasing_has_the_given_areas_and_aspect_ratios():
    x = torch.zeros(2000, 1, 64, 64)
    covered = Erase(value=1.0)(x, Draws(0, torch.arange(2000)))[:, 0] == 1
    height, width = covered.any(2).sum(1).float(), covered.any(1).sum(1).float()
    assert torch.equal(height * width, covered.flatten(1).sum(1).float())
    area = height * width / 64**2
    assert 0.015 < area.min() < 0.03
    assert 0.28 < area.max() < 0.35
    assert area.mean().item() == pytest.approx((0.02 + 0.33) / 2, rel=0.05)
    inside = (height < 64) & (width < 64)
    assert (height / width)[inside & (area > 0.05)].log().abs().max() < 1.4  # log 3.3 = 1.19, and rounding


@pytest.mark.parametrize("corruption", [GaussianNoise(), SaltPepper(), Occlusion(), Erase()])
def test_the_corruption_of_a_row_does_not_depend_on_its_batch(corruption):
    corrupted = corruption(X, draws())
    chunks = [corruption(X[i], Draws(0, i)) for i in torch.arange(64).split(7)]
    assert torch.equal(corrupted, torch.cat(chunks))
    assert not torch.equal(corrupted, corruption(X, draws(1)))


def test_batches_corrupt_only_inputs_with_new_noise_per_training_epoch():
    split = Split((X * 255).byte(), None)
    options = {"batch_size": 16, "corruption": GaussianNoise(0.3)}
    training, evaluation = Batches(split, "train", train=True, **options), Batches(split, "val", **options)
    for batch in (*training, *evaluation):
        torch.testing.assert_close(batch.target, split.images[batch.index].float() / 255)
        assert not torch.equal(batch.x, batch.target)
    sort = [torch.cat([b.x for b in training])[torch.cat([b.index for b in training]).argsort()] for _ in range(2)]
    assert torch.equal(*sort)  # the same epoch
    training.set_epoch(1)
    other = torch.cat([b.x for b in training])[torch.cat([b.index for b in training]).argsort()]
    assert not torch.equal(sort[0], other)
    assert torch.equal(*(torch.cat([b.x for b in evaluation]) for _ in range(2)))
    unchanged = next(iter(Batches(split, "val", batch_size=4, corruption=NoCorruption())))
    assert unchanged.x is unchanged.target


def test_augmentation_mirrors_half_of_the_images_and_moves_within_the_range():
    ramp = torch.arange(24.0).expand(400, 1, 20, 24).contiguous()
    flipped = augment(ramp, Draws(0, torch.arange(400)), flip=True, shift=0)
    mirrored = flipped[:, 0, 0, 0] == 23
    assert 0.4 < mirrored.float().mean() < 0.6
    assert torch.equal(flipped[mirrored], ramp[mirrored].flip(3))
    moved = augment(ramp, Draws(0, torch.arange(400)), flip=False, shift=2)
    assert set(moved[:, 0, 0, 10].tolist()) == {8, 9, 10, 11, 12}
    assert moved.shape == ramp.shape


@pytest.mark.parametrize(
    "create",
    [
        lambda: GaussianNoise(-1),
        lambda: SaltPepper(1.5),
        lambda: Occlusion(0),
        lambda: Erase(area=(0.5, 0.2)),
        lambda: Erase(ratio=(0, 1)),
    ],
)
def test_values_out_of_range_raise_an_error(create):
    with pytest.raises(UserError, match=r"corruption\.\w+ must be"):
        create()
