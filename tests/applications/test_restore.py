"""Tests of application=restore with small runs, and of its inpainting methods against closed-form solutions."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from autoencoders.applications.inpainting import CodeFit, Corrupted, corrupted_rows
from autoencoders.applications.restoration import psnr_and_error
from autoencoders.applications.restore import restore
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


def test_a_run_without_corruption_is_refused_with_the_command_to_train_one(run):
    with pytest.raises(UserError, match="corruption=gaussian_noise"):
        restore(run())


def test_the_error_of_noise_is_measured_at_every_level(run):
    opened = run("corruption=gaussian_noise", "corruption.clamp=false")
    result = restore(opened, subset=16, tuning=4, levels=[0.1, 0.5])
    table = result.tables["errors"].set_index("method")
    batch = opened.batch("test")
    expected = (
        (batch.x.clamp(0, 1) - batch.target).square().mean().item()
    )  # outputs are clipped before they are measured
    assert table.loc["input", "mse"] == pytest.approx(expected, rel=1e-4)
    assert set(result.figures) == {"rows", "levels", "level_rows"}
    compared = result.tables["comparison"].set_index("method")
    assert compared.loc["total variation", "mse"] < compared.loc["input", "mse"]
    assert (compared["images"] == 16).all()
    assert compared.loc["total variation", "note"] == "parameters, if any, chosen on validation images"
    assert compared.loc["ae", "note"] == compared.loc["PCA-8", "note"] == ""
    pca = PCA(8, svd_solver="full").fit(opened.data.images("train").flatten(1).numpy() / 255)
    x = batch.x.flatten(1).numpy()
    clipped = pca.inverse_transform(pca.transform(x)).clip(0, 1)
    expected = ((clipped - batch.target.flatten(1).numpy()) ** 2).mean()
    assert table.loc["PCA-8", "mse"] == pytest.approx(expected, rel=1e-4)


def test_methods_are_not_measured_where_their_parameters_were_chosen(run):
    with pytest.raises(UserError, match=r"^split must be test or train, got val, because the best parameter of each"):
        restore(run("corruption=gaussian_noise"), split="val")


@pytest.mark.parametrize("corruption", ["erase", "occlusion", "salt_pepper"])
def test_covers_are_detected_and_known_pixels_are_kept(run, corruption):
    opened = run(f"corruption={corruption}")
    corrupted = corrupted_rows(opened, "test", torch.arange(20))
    changed = (corrupted.batch.x != corrupted.batch.target).any(1, keepdim=True)
    result = restore(opened, subset=8, tuning=4, count=2)
    table = result.tables["comparison"].set_index("method")
    if corruption == "salt_pepper":
        assert corrupted.hidden is None
        return
    assert torch.equal(
        corrupted.hidden, changed
    )  # the mask has the gray level 127.5, which no image contains, so a masked pixel always changes
    kept = table.loc["ae, known kept"]
    assert kept["psnr inside"] == pytest.approx(table.loc["ae", "psnr inside"])
    assert np.isnan(kept["psnr outside"])


def test_the_pca_fill_recovers_images_in_the_subspace_exactly():
    torch.manual_seed(0)
    components = torch.linalg.qr(torch.randn(64, 4, dtype=torch.float64)).Q.T
    mean = torch.full((64,), 0.5, dtype=torch.float64)
    x = (mean + 0.1 * torch.randn(5, 4, dtype=torch.float64) @ components).float().view(5, 1, 8, 8)
    hidden = torch.zeros(5, 1, 8, 8, dtype=torch.bool)
    hidden[:, :, 2:6, 2:6] = True
    filled = pca_fill(torch.where(hidden, 0.0, x), hidden, mean, components, torch.ones(4).double(), 0.0)
    assert torch.allclose(filled, x, atol=1e-5)


def test_the_code_fit_of_a_linear_model_equals_the_pca_fill(linear_run, digits):
    """If the prior is the same and the decoder is PCA, Adam must converge to the closed-form solution of `pca_fill`."""
    opened = linear_run(digits, latents=6)
    fit, pca = CodeFit(opened, steps=400), opened.pca()
    x = opened.batch("test", 20)
    hidden = torch.zeros(20, 1, *digits.shape[1:], dtype=torch.bool)
    hidden[:, :, 8:18, 8:18] = True
    covered = x._replace(x=torch.where(hidden, 0.5, x.target))
    codes = pca.encode(digits.images("train").float() / 255).double()
    variances = (codes - codes.mean(0)).square().mean(0) + 1e-3 * codes.var(0, correction=0).mean()
    expected = pca_fill(covered.x, hidden, pca.mean, pca.components, variances, 0.05)
    assert torch.allclose(fit(Corrupted(covered, hidden), 0.05, 0.0), expected, atol=2e-3)


def test_psnr_of_a_ratio_of_means():
    value, _ = psnr_and_error(torch.tensor([0.01, 0.03]), torch.tensor([0.5, 1.5]))
    assert value == pytest.approx(-10 * np.log10(0.02))
