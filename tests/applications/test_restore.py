import numpy as np
import pytest
import torch

from autoencoders.applications.inpainting import CodeFit, Seen, seen
from autoencoders.applications.restore import in_decibels, restore
from autoencoders.config import instantiate
from autoencoders.metrics.classical_restoration import pca_fill
from autoencoders.runs.run import Run
from autoencoders.types import UserError

pytest.importorskip("skimage")


@pytest.fixture
def run(compose, tmp_path):
    def make(*overrides):
        config = compose("data=digits", "data.size=12", "latent_dim=8", "model=ae", *overrides)
        data = instantiate.build(config["data"])
        data.setup()
        return Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)

    return make


def test_a_run_without_corruption_is_told_how_to_train_one(run):
    with pytest.raises(UserError, match="corruption=gaussian_noise"):
        restore(run())


def test_noise_has_its_known_error_and_its_levels(run):
    opened = run("corruption=gaussian_noise", "corruption.clamp=false")
    found = restore(opened, subset=16, tuning=4, levels=[0.1, 0.5])
    table = found.tables["errors"].set_index("method")
    batch = opened.batch("test")
    expected = (batch.x.clamp(0, 1) - batch.target).square().mean().item()  # clipped when measured
    assert table.loc["input", "mse"] == pytest.approx(expected, rel=1e-4)
    assert set(found.figures) == {"rows", "levels", "level_rows"}
    compared = found.tables["comparison"].set_index("method")
    assert compared.loc["total variation", "mse"] < compared.loc["input", "mse"]
    assert (compared["images"] == 16).all()


@pytest.mark.parametrize("corruption", ["erase", "occlusion", "salt_pepper"])
def test_covers_are_found_and_kept_pixels_are_exact(run, corruption):
    opened = run(f"corruption={corruption}")
    part = seen(opened, "test", torch.arange(20))
    changed = (part.batch.x != part.batch.target).any(1, keepdim=True)
    found = restore(opened, subset=8, tuning=4, count=2)
    table = found.tables["comparison"].set_index("method")
    if corruption == "salt_pepper":
        assert part.hidden is None
        return
    assert torch.equal(part.hidden, changed)  # 127.5 is no gray level: a covered pixel always changes
    kept = table.loc["ae, known kept"]
    assert kept["psnr inside"] == pytest.approx(table.loc["ae", "psnr inside"])
    assert np.isnan(kept["psnr outside"])


def test_a_fill_recovers_what_lies_in_the_subspace_exactly():
    torch.manual_seed(0)
    components = torch.linalg.qr(torch.randn(64, 4, dtype=torch.float64)).Q.T
    mean = torch.full((64,), 0.5, dtype=torch.float64)
    x = (mean + 0.1 * torch.randn(5, 4, dtype=torch.float64) @ components).float().view(5, 1, 8, 8)
    hidden = torch.zeros(5, 1, 8, 8, dtype=torch.bool)
    hidden[:, :, 2:6, 2:6] = True
    filled = pca_fill(torch.where(hidden, 0.0, x), hidden, mean, components, torch.ones(4).double(), 0.0)
    assert torch.allclose(filled, x, atol=1e-5)


def test_a_linear_models_fit_is_the_fill_in_closed_form(linear_run, digits):
    """The same Gaussian prior and a decoder that is PCA: Adam must find what `principal_fill` solves for."""
    opened = linear_run(digits, latents=6)
    fit, pca = CodeFit(opened, steps=400), opened.pca()
    x = opened.batch("test", 20)
    hidden = torch.zeros(20, 1, *digits.shape[1:], dtype=torch.bool)
    hidden[:, :, 8:18, 8:18] = True
    covered = x._replace(x=torch.where(hidden, 0.5, x.target))
    codes = pca.encode(digits.images("train").float() / 255).double()
    variances = (codes - codes.mean(0)).square().mean(0) + 1e-3 * codes.var(0, correction=0).mean()
    expected = pca_fill(covered.x, hidden, pca.mean, pca.components, variances, 0.05)
    assert torch.allclose(fit(Seen(covered, hidden), 0.05, 0.0), expected, atol=2e-3)


def test_decibels_of_a_ratio():
    value, _ = in_decibels(torch.tensor([0.01, 0.03]), torch.tensor([0.5, 1.5]))
    assert value == pytest.approx(-10 * np.log10(0.02))
