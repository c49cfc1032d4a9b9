"""application=factors on small runs."""

import re

import numpy as np
import pandas as pd
import pytest
import torch

from autoencoders.applications.factor_codes import code_sets, known_factors
from autoencoders.applications.factors import factors
from autoencoders.config import instantiate
from autoencoders.data.sprites import SpritesDataModule
from autoencoders.runs.run import Run
from autoencoders.types import UserError

SMALL = {"groups": 100, "test_groups": 200, "group_size": 16, "resamples": 0}
SCORES = [
    "MIG", "SAP", "modularity", "disentanglement", "completeness", "informativeness", "FactorVAE", "BetaVAE",
    "explicitness",
]  # fmt: skip
NAMES = ("shape", "scale", "x", "y")


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    data = SpritesDataModule(size=16, scales=3, orientations=1, positions=6, count=None, batch_size=32, test=0.6,
                             validation=0.1, cache=str(tmp_path_factory.mktemp("sprites")))  # fmt: skip
    data.setup()
    return data


@pytest.fixture
def made(compose, tmp_path, sprites):
    """Return a function that creates the run of an untrained model on sprites."""

    def make(*words):
        config = compose("data=sprites", "net=mlp", "net.widths=[16]", "latent_dim=5", *words)
        torch.manual_seed(1)
        model = instantiate.build_model(config, sprites.shape, sprites.context).eval()
        return Run(tmp_path, config, model, sprites).prepare()

    return make


def scores_of(found):
    return pd.concat([found.tables[name].set_index("method") for name in ("gaps", "dci", "classifiers")], axis=1)


def test_the_tables_have_every_score_and_every_reference(made):
    found = factors(made("model=vae"), **SMALL)
    table = scores_of(found)
    assert list(table.index) == ["vae", "true factors", "PCA-5", "untrained network", "random codes"]
    assert [c for c in table.columns if not c.endswith("+-")] == SCORES
    assert table[[f"{name} +-" for name in SCORES]].isna().all(axis=None)
    true, noise = table.loc["true factors"], table.loc["random codes"]
    assert true["MIG"] > 0.96  # not 1, because the factors of 288 images are not exactly independent
    assert all(true[name] > 0.98 for name in ("disentanglement", "completeness", "informativeness", "FactorVAE"))
    assert all(noise[name] < 0.2 for name in ("MIG", "disentanglement", "completeness", "SAP"))
    assert found.metrics["MIG/true factors"] == true["MIG"]
    assert set(found.figures) == {"matrices", "traversals"}


def test_resamples_give_standard_errors(made):
    found = factors(made("model=vae"), count=60, **SMALL | {"resamples": 2, "groups": 20, "test_groups": 20})
    table = scores_of(found)
    assert (table[[f"{name} +-" for name in SCORES]] >= 0).all(axis=None)
    assert found.metrics["MIG_error/vae"] == table["MIG +-"]["vae"] > 0


def test_the_protocol_states_numbers_factors_and_papers(made):
    found = factors(made("model=vae"), bins=7, count=200, **SMALL)
    text = dict(line.split(": ", 1) for line in found.tables["protocol"]["protocol"])
    text = {name.partition(" (")[0]: f"{name}: {line}" for name, line in text.items()}
    assert set(SCORES) <= set(text)
    assert all(re.search(r"\(.* 201\d", text[name]) for name in SCORES)
    for score, words in {
        "MIG": "7 bins of equal width",
        "disentanglement": "ExtraTreesClassifier, 10 trees",
        "SAP": "R^2 of one latent over all codes for scale, x, y",
        "FactorVAE": "100 training groups, 200 test groups",
        "explicitness": "129 training codes, 65 test codes",
        "all scores": "194 evenly spaced test images; mean codes; seed 0; factors: shape (3), scale (3), x (6), y (6); "
        "constant and left out: orientation",
    }.items():
        assert words in text[score]
    assert "by chance 0.250" in text["FactorVAE"]


def test_latents_are_sorted_by_kl_and_name_their_factor(made):
    table = factors(made("model=vae"), **SMALL).tables["latents"]
    assert table["KL"].is_monotonic_decreasing
    for row in table.to_dict("records"):
        assert row["MI"] == max(row[f"MI {name}"] for name in NAMES)
        assert row["factor"] == "none" or row[f"MI {row['factor']}"] == row["MI"]
    assert table[[f"importance {name}" for name in NAMES]].sum().to_numpy() == pytest.approx(np.ones(4))


def test_a_latent_that_shows_one_factor_is_named_after_it(made, monkeypatch):
    """Give a VAE the encoder that measures the horizontal position of the sprite."""
    run = made("model=vae")
    kind = type(run.model.posterior(torch.zeros(2, 1, 16, 16)))

    def posterior(x, y=None):
        axis = torch.linspace(-1, 1, 16)
        mean = torch.zeros(len(x), 5)
        mean[:, 3] = (x[:, 0].sum(1) * axis).sum(1) / x.sum((1, 2, 3))
        return kind(mean, torch.where(torch.arange(5) == 3, -4.0, 0.0).expand(len(x), 5))

    monkeypatch.setattr(run.model, "posterior", posterior)
    found = factors(run, **SMALL)
    first = found.tables["latents"].iloc[0]
    assert (first["latent"], first["factor"]) == (3, "x")
    assert first["MI"] > 0.8
    assert set(found.tables["latents"]["factor"][1:]) == {"none"}
    assert found.tables["dci"]["completeness"][0] == pytest.approx(1)  # no other latent is used


def test_codes_are_means_or_samples(made):
    run = made("model=vae")
    known = known_factors(run, "test", 50)
    mean, sample = (code_sets(run, "test", known, kind, 0) for kind in ("mean", "sample"))
    np.testing.assert_allclose(mean["vae"], run.codes("test").z[known.rows], atol=1e-5)
    batch = run.batch("test", known.rows)
    with torch.no_grad():
        deviation = (0.5 * run.model.posterior(batch.x).log_variance).exp().numpy()
    noise = (sample["vae"] - mean["vae"]) / deviation
    assert abs(noise.mean()) < 0.25
    assert noise.std() == pytest.approx(1, abs=0.2)
    np.testing.assert_array_equal(mean["true factors"], known.indices)


def test_the_untrained_network_has_other_weights_and_leaves_the_model_unchanged(made):
    run = made("model=vae")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    state = torch.get_rng_state()
    known = known_factors(run, "test", 50)
    first, again, other = (code_sets(run, "test", known, "mean", seed)["untrained network"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
    assert np.abs(first - code_sets(run, "test", known, "mean", 0)["vae"]).max() > 0.01
    assert all(torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_a_pca_run_scores_as_its_reference(linear_run, sprites):
    table = scores_of(factors(linear_run(sprites, 4), **SMALL))
    assert list(table.index) == ["pca", "true factors", "PCA-4", "random codes"]
    for name in ("SAP", "explicitness"):
        assert table[name]["pca"] == pytest.approx(table[name]["PCA-4"], abs=0.02)


def test_a_conditional_model_and_an_ae_have_scores(made):
    assert factors(made("model=cvae"), **SMALL).tables["dci"]["method"][0] == "cvae"
    found = factors(made("model=ae"), row=3, **SMALL)
    assert list(found.tables["latents"].columns[:3]) == ["latent", "variance", "factor"]


def test_data_without_factors_are_refused(digits_run):
    with pytest.raises(UserError, match=r"needs data whose generating factors are known, got data=digits\."):
        factors(digits_run)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": "both"}, "codes must be one of .'mean', 'sample'., got 'both'"),
        ({"bins": 1}, "bins must be an integer >= 2, got 1"),
        ({"count": 5}, "count must be an integer >= 20, got 5"),
        ({"held_out": 1.0}, "held_out must be a share of the codes between 0 and 1, got 1.0"),
        ({"resamples": -1}, "resamples must be an integer >= 0, got -1"),
        ({"codes": "sample"}, "codes=sample needs a model whose codes are sampled, got ae"),
    ],
)
def test_invalid_options_are_named(made, options, message):
    with pytest.raises(UserError, match=message):
        factors(made("model=ae"), **SMALL | options)
