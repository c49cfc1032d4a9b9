"""Tests of application=manifold and application=traverse with codes whose variances are known."""

import pytest
import torch

from autoencoders.applications.latent_ranking import measure_latents
from autoencoders.applications.manifold import find_plane, manifold
from autoencoders.applications.traverse import traverse
from autoencoders.config import instantiate
from autoencoders.runs.run import Run
from autoencoders.types import Codes, UserError


@pytest.fixture
def opened(compose, tmp_path):
    def make(*overrides, size=5):
        config = compose(*overrides, f"latent_dim.size={size}", "data.batch_size=64")
        data = instantiate.build(config["data"])
        data.prepare_data()
        data.setup()
        return Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)

    return make


def set_codes(run, z):
    """Replace the training codes of a run."""
    run._codes["train"] = Codes(z, None, torch.arange(len(z)), torch.zeros(len(z)), torch.zeros(len(z)))


def test_latents_of_an_autoencoder_are_ordered_by_variance(opened):
    run = opened("model=ae")
    set_codes(run, torch.randn(500, 5) * torch.tensor([1.0, 5, 0.1, 3, 2]) + 7)
    latents = measure_latents(run)
    assert (latents.kind, latents.order.tolist()) == ("variance", [1, 3, 4, 0, 2])
    torch.testing.assert_close(latents.mean, run.codes("train").z.mean(0))


def test_latents_of_a_vae_are_ordered_by_the_kl_of_torch_distributions(opened):
    run = opened("model=vae")
    batch = run.batch("train")
    with torch.no_grad():
        q = run.model.posterior(batch.x)
        normal = torch.distributions.Normal(q.mean, (0.5 * q.log_variance).exp())
        kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean(0)
    torch.testing.assert_close(measure_latents(run).measure.float(), kl, atol=1e-4, rtol=1e-3)


def test_the_plane_of_components_equals_scikit_learn(opened):
    from sklearn.decomposition import PCA

    run = opened("model=ae")
    z = torch.randn(300, 5) @ torch.randn(5, 5)
    set_codes(run, z)
    plane, pca = find_plane(run, "components"), PCA(2).fit(z.numpy())
    assert plane.share == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-4)
    expected = torch.from_numpy(pca.transform(z.numpy()) / pca.explained_variance_**0.5).float()
    torch.testing.assert_close(plane.points(z).abs(), expected.abs(), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(plane.points(plane.at(expected)), expected, atol=1e-4, rtol=1e-4)


def test_a_plane_of_two_latents_is_the_complete_code(opened):
    result = manifold(opened("model=vae", size=2), side=3, measured=50)
    table = result.tables["explained"].set_index("method")
    assert table["mse"]["plane"] == pytest.approx(table["mse"]["vae"], rel=1e-5)
    assert table["mse"]["PCA-2"] < table["mse"]["mean image"]


@pytest.mark.parametrize("model", ["ae", "cvae"])
def test_manifold_and_traverse_run_on_every_model(opened, model):
    run = opened(f"model={model}")
    assert set(manifold(run, side=3, measured=20).figures) == {"grid"}
    assert set(traverse(run, latents=3, steps=3, measured=20, row=4).figures) == {"rows"}


def test_effects_of_a_linear_decoder_are_measured(opened, monkeypatch):
    run = opened("model=vae")
    weights = torch.zeros(5, 784)
    weights[2] = 0.1  # only one latent has an effect: the image changes by 2 * 0.1 between -1 and +1
    monkeypatch.setattr(run.model, "decode", lambda z, y: (0.5 + z @ weights).view(-1, 1, 28, 28))
    table = traverse(run, latents=5, steps=3, measured=20).tables["latents"].set_index("latent")
    assert table["change"]["z 2"] == pytest.approx(0.2, rel=1e-4)
    assert table["change"].drop(["z 2", "random direction", "entire code"]).max() == 0
    assert table["mse rise"]["z 2"] == pytest.approx(table["mse rise"]["entire code"], rel=1e-4)


def test_options_out_of_range_are_refused(opened):
    run = opened("model=vae")
    for wrong in ({"row": 10_000}, {"reach": 0}, {"steps": 1}):
        with pytest.raises(UserError):
            traverse(run, **wrong)
    with pytest.raises(UserError, match="axes"):
        manifold(run, axes="tsne")
    with pytest.raises(UserError, match="has one"):
        manifold(opened("model=vae", size=1))
