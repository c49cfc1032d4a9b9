"""Applications on runs whose prior is not the standard normal."""

import pytest
import torch

from autoencoders.applications.code_samples import prior_or_gaussian, sample_codes
from autoencoders.applications.conditional_sample import conditional_sample
from autoencoders.applications.encode import encode
from autoencoders.applications.evaluate import evaluate
from autoencoders.applications.interpolate import interpolate
from autoencoders.applications.latent_ranking import measure_latents
from autoencoders.applications.manifold import manifold
from autoencoders.applications.sample import sample
from autoencoders.applications.traverse import traverse
from autoencoders.config import instantiate
from autoencoders.latent.densities import StandardNormal
from autoencoders.runs.run import Run

RUNS = {
    "vamp": ["model=vae", "prior=vamp", "prior.components=20"],
    "mixture": ["model=vae", "prior=mixture", "prior.components=20"],
    "conditional": ["model=cvae", "prior=conditional"],
}


@pytest.fixture(scope="module")
def opened(compose_into, tmp_path_factory):
    """Return a function that creates an untrained run with a prior, once for each prior."""
    made = {}

    def make(prior):
        if prior not in made:
            folder = tmp_path_factory.mktemp(prior)
            words = [*RUNS[prior], "data=digits", "data.size=8", "data.shift=0", "net.widths=[16]", "latent_dim=3"]
            config = compose_into(*words, "data.batch_size=64", folder=folder)
            data = instantiate.build(config["data"])
            data.setup()
            torch.manual_seed(0)
            model = instantiate.build_model(config, data.shape, data.context).eval()
            if prior == "vamp":
                model.prior.initialize(data.evaluation_batches("train").batch(torch.arange(20)).x, None)
            if prior == "conditional":
                torch.nn.init.normal_(model.prior.net[-1].weight)
            made[prior] = Run(folder, config, model, data)
        return made[prior]

    return make


@pytest.mark.parametrize("prior", RUNS)
def test_evaluate_measures_the_rate_from_the_prior(opened, prior):
    run = opened(prior)
    found = evaluate(run, samples=5, measured=20, drawn=20, codes=2)
    table = found.tables["evaluation"].set_index(["measure", "method"])["value"]
    codes = run.codes("test")
    assert table["rate", run.model.name] == pytest.approx(float(codes.rate.double().mean()), rel=1e-5)
    assert not any(measure == "aggregate gap" for measure, _ in table.index)
    assert "N(0, I)" not in found.tables["protocol"]["protocol"][0]
    assert ("kl" in found.figures) == ("kl" in found.tables["latents"]) == (prior == "conditional")


@pytest.mark.parametrize("prior", RUNS)
def test_sample_shows_the_prior_next_to_the_standard_normal(opened, prior):
    run = opened(prior)
    found = sample(run, densities={"standard_normal": StandardNormal()}, count=20, measured=20, references=50)
    table = found.tables["densities"].set_index("method")
    assert run.model.prior.name in table["note"]["prior"]
    density = prior_or_gaussian(run)
    expected = density.log_density(run.codes("test").z).mean()
    assert table["log-density"]["prior"] == pytest.approx(float(expected), rel=1e-5)
    assert table["log-density"]["prior"] != table["log-density"]["standard_normal"]


def test_codes_of_a_prior_per_label_are_sampled_for_their_labels(opened):
    run = opened("conditional")
    z, y = sample_codes(run, prior_or_gaussian(run), 4000, 1.0, torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = run.model.code_density(torch.arange(10))
    means = torch.stack([z[y == label].mean(0) for label in range(10)])
    torch.testing.assert_close(means, exact.mean, atol=0.35, rtol=0)
    assert (means - exact.mean.mean(0)).abs().max() > 1  # the classes differ


@pytest.mark.parametrize("prior", RUNS)
def test_latents_are_ranked_by_kl_if_it_has_a_closed_form(opened, prior):
    run = opened(prior)
    latents, z = measure_latents(run), run.codes("train").z
    torch.testing.assert_close(latents.mean, z.mean(0))
    torch.testing.assert_close(latents.scale, z.std(0), rtol=1e-4, atol=1e-5)
    assert latents.kind == ("KL" if prior == "conditional" else "variance")
    if prior == "conditional":
        assert latents.measure.sum().item() == pytest.approx(float(run.codes("train").rate.mean()), rel=1e-4)


@pytest.mark.parametrize("prior", RUNS)
def test_other_applications_run(opened, prior, tmp_path):
    run = opened(prior)
    assert "N(0, I)" not in str(manifold(run, side=3, measured=20).tables)
    assert len(traverse(run, latents=2, steps=3, measured=20).tables["latents"]) == 4
    assert interpolate(run, pairs=2, steps=3, measured=10, references=50).figures
    dimensions = encode(run, folder=str(tmp_path)).tables["dimensions"]
    assert ("rate" in dimensions) == (prior == "conditional")
    if prior == "conditional":
        found = conditional_sample(run, codes=2, measured=5)
        assert len(found.tables["labels"]) == 10
