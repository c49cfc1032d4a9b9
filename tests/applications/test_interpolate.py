"""Tests of application=interpolate with decoders for which the decoded paths are known in closed form."""

import pytest
import torch

from autoencoders.applications.interpolate import interpolate
from autoencoders.applications.interpolation_ends import random_pairs
from autoencoders.config import instantiate
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, UserError

SMALL = {"pairs": 2, "steps": 4, "measured": 12, "references": 200}


@pytest.fixture
def opened(compose, tmp_path):
    def make(*overrides):
        config = compose(*overrides, "latent_dim.size=4", "data.batch_size=64")
        data = instantiate.build(config["data"])
        data.prepare_data()
        data.setup()
        return Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)

    return make


def test_paths_of_a_linear_decoder_are_cross_fades(opened, monkeypatch):
    run = opened("model=ae")
    weights = 0.01 * torch.randn(4, 784)
    monkeypatch.setattr(run.model, "decode", lambda z, y: (0.5 + 0.05 * torch.tanh(z) @ weights).view(-1, 1, 28, 28))
    assert interpolate(run, **SMALL).tables["paths"]["length"][0] >= 1
    monkeypatch.setattr(run.model, "decode", lambda z, y: (0.5 + z @ weights).view(-1, 1, 28, 28))
    table = interpolate(run, **SMALL).tables["paths"].set_index("method")
    for column in ("length", "largest step over mean"):
        assert table[column]["linear"] == pytest.approx(1, abs=1e-4)
    same = table["to nearest"]
    assert same["linear"] == pytest.approx(same["reconstruction cross-fade"], abs=1e-5)
    assert table["length"]["spherical"] > 1.001


@pytest.mark.parametrize("model", ["vae", "cvae"])
def test_strips_join_images_persons_and_sampled_codes(opened, monkeypatch, model):
    run = opened(f"model={model}")
    persons = Annotations(groups=torch.arange(359) % 6, group_names=tuple("abcdef"))
    monkeypatch.setattr(run, "annotations", lambda split: persons)
    figures = set(interpolate(run, **SMALL).figures)
    assert figures == ({"images", "random", "groups"} if model == "vae" else {"images", "random"})


def test_animations_play_forward_and_backward(opened, tmp_path):
    from PIL import Image

    from autoencoders.loggers.media import MediaWriter

    result = interpolate(opened("model=vae"), **SMALL, gif=True)
    assert {len(frames) for frames in result.animations.values()} == {2 * SMALL["steps"] - 2}
    files = MediaWriter(tmp_path, []).save_result("interpolate", result, 7)
    animations = [file for file in files if file.suffix == ".gif"]
    assert len(animations) == len(result.animations)
    for file in animations:
        with Image.open(file) as image:
            assert image.n_frames == 2 * SMALL["steps"] - 2


def test_pairs_of_a_model_conditioned_on_classes_share_a_class(opened):
    run = opened("model=cvae")
    a, b = random_pairs(run, "test", 30, torch.Generator().manual_seed(0))
    y = run.codes("test").y
    assert torch.equal(y[a], y[b])
    assert (a != b).all()


def test_own_images_are_paired_in_order(opened, tmp_path):
    from PIL import Image

    run = opened("model=vae")
    folder = tmp_path / "own, pictures"
    folder.mkdir()
    for i in range(3):
        Image.new("L", (40, 40), 80 * i).save(folder / f"{i}.png")
    assert "images" in interpolate(run, images=str(folder), **SMALL).figures
    with pytest.raises(UserError, match="needs two images"):
        interpolate(run, images=str(folder / "0.png"), **SMALL)


def test_a_strip_of_two_images_is_refused(opened):
    with pytest.raises(UserError, match="steps"):
        interpolate(opened("model=ae"), **{**SMALL, "steps": 2})
