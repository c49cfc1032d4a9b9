"""Tests of the output on a terminal. The output without a terminal is tested in tests/test_train.py."""

import io
import re
import sys

import pytest
import torch
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from autoencoders import train
from autoencoders.config import instantiate
from autoencoders.config.arguments import collapse_numbers, expand_numbers
from autoencoders.config.compose import CONF, config_groups
from autoencoders.config.diff import ABSENT_TEXT
from autoencoders.models.layer_summary import summarize_layers
from autoencoders.types import Context, RunStopped
from autoencoders.utils import console
from autoencoders.utils.modes import evaluation_mode

QUICK = ["model=vae", "trainer.max_epochs=2", "trainer=cpu", "logger=none", "net.widths=[16]", "data.batch_size=64"]


class Screen(io.StringIO):
    """A stream that behaves as a terminal and stores its output."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def record_screen(monkeypatch):
    """Return a function that replaces stdout by a recorded terminal with 80 columns and returns the `Screen`."""
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "80"), ("LINES", "40")):
        monkeypatch.setenv(name, value)

    def begin():  # called by the test, because pytest replaces stdout after the fixtures
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        return screen

    return begin


def visible(screen):
    """Return the text on the screen without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("CI", "true"), ("TERM", "dumb"), ("TERM", "")])
def test_plain_lines_are_selected_by_the_environment(record_screen, monkeypatch, name, value):
    record_screen()
    assert console.is_interactive()
    monkeypatch.setenv(name, value)
    assert not console.is_interactive()


def test_plain_lines_without_a_terminal_or_unicode(record_screen, monkeypatch):
    monkeypatch.setattr(record_screen(), "encoding", "ascii")
    assert not console.is_interactive()
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not console.is_interactive()


def test_a_run_on_a_terminal(compose, record_screen):
    screen = record_screen()
    config = compose(*QUICK, "callbacks=[progress,baselines]", "trainer.log_every_n_steps=5")
    metrics = train.train(config, changes=lambda: [("model", "cvae → vae")])
    text = visible(screen)
    assert re.search(r"changed +model +cvae → vae", text)
    assert re.search(r"splits +train 1,258, val 180, test 359", text)
    assert re.search(r"encoder +Linear, BatchNorm1d, ReLU +16 +12,576", text)
    assert re.search(r"classes +0 \(178\), 1 \(182\)", text)
    epochs = re.findall(r"^ +(\d)/2 +([\d.]+) ", text, re.MULTILINE)
    assert [epoch for epoch, _ in epochs] == ["1", "2"]
    assert float(epochs[1][1]) == pytest.approx(metrics["val/objective"], abs=0.01)
    assert re.search(rf"test .*\n +vae +{metrics['test/neg_elbo']:.2f}", text)
    assert re.search(r"PCA-10 +0\.01296", text)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b[?25l" not in screen.getvalue()  # never hidden, because a killed process could not show it again
    assert sys.stdout is screen


def test_the_table_fits_a_terminal_that_becomes_narrow(compose, record_screen, monkeypatch):
    from autoencoders.models.vae import VAE

    screen = record_screen()
    monkeypatch.setattr(VAE, "on_train_epoch_end", lambda self: monkeypatch.setenv("COLUMNS", "30"))
    train.train(compose(*QUICK, "callbacks=progress", "trainer.limit_train_batches=2", "test=false"))
    lines = visible(screen).splitlines()
    assert any("objective  distortion" in line for line in lines)
    assert [line for line in lines if line.split()[:2] == ["epoch", "objective"] and len(line) < 30]
    assert next(len(line) for line in lines if line.split()[:1] == ["2/2"]) < 30


def test_a_stopped_run_restores_the_terminal(compose, record_screen, monkeypatch):
    screen = record_screen()
    from autoencoders.models.vae import VAE

    def stop(self):
        raise RunStopped(2, "here")

    monkeypatch.setattr(VAE, "on_train_epoch_end", stop)
    with pytest.raises(RunStopped):
        train.train(compose(*QUICK, "callbacks=progress"))
    assert "\x1b[?25l" not in screen.getvalue()
    assert sys.stdout is screen


CHANGES = {
    "model=cvae beta=1 latent_dim=4 logger=none": {"logger": "wandb → none", "latent_dim.size": "10 → 4"},
    "data=lfw data.size=45 callbacks=[default,gif] +trainer.fast_dev_run=false": {
        "data": "digits → lfw",
        "net": "mlp → residual",
        "likelihood": "bernoulli → gaussian",
        "data.size": "28 → 45",
        "optimizer.lr": "0.006 → 0.001",
        "trainer.fast_dev_run": f"{ABSENT_TEXT} → false",
        "callbacks": "default → [default,gif]",
    },
}


def test_changed_settings_are_listed():
    for line, expected in CHANGES.items():
        words = expand_numbers(line.split())
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra_compose("train", [*words, "folder=''"], return_hydra_config=True)
            plain = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
            found = train.config_changes(
                OmegaConf.to_container(plain, resolve=True), collapse_numbers(words), config.hydra
            )
        assert dict(found) == expected


@pytest.mark.parametrize("net", config_groups()["net"])
@pytest.mark.parametrize("model", ["ae", "cvae"])
def test_layers_have_all_parameters_and_change_nothing(compose, net, model):
    if (net, model) == ("skip", "cvae"):
        pytest.skip("net=skip is for model=ae")
    words = [f"model={model}", f"net={net}", "likelihood=gaussian", *(["model.join=every_layer"] * (model == "cvae"))]
    made = instantiate.build_model(compose(*words), (3, 32, 32), Context("attributes", ("a", "b")))
    before, chance = {k: v.clone() for k, v in made.state_dict().items()}, torch.random.get_rng_state()
    with evaluation_mode(made):
        found = summarize_layers(made)
    assert torch.equal(torch.random.get_rng_state(), chance)
    assert all(torch.equal(v, before[k]) for k, v in made.state_dict().items())
    assert made.training
    assert not any(module._forward_hooks for module in made.modules())
    assert sum(layer.parameters for layer in found) == sum(p.numel() for p in made.parameters())
    assert found[0].part == "encoder"
    last = next(layer for layer in reversed(found) if layer.part == "decoder" and layer.shape)
    assert last.shape in ((3, 32, 32), (3 * 32 * 32,), (48, 8, 8))  # patches of 4 x 4 pixels


def test_words_are_wrapped_into_lines():
    assert list(console.wrap_words(["loss 1", "rate 22", "beta 3"], 16)) == ["loss 1   rate 22", "beta 3"]
    assert list(console.wrap_words(["too long for it"], 5)) == ["too long for it"]
    assert list(console.wrap_words([], 5)) == []
