"""Every application on every model, on data with classes and with attributes: it returns a result or a UserError."""

import pytest

from autoencoders.config import instantiate
from autoencoders.config.compose import config_groups
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, UserError

NAMES = [name for name in config_groups()["application"] if name != "none"]
DATA = {
    "digits": ["data.size=16"],
    "cartoons": ["data=cartoons", "data.size=16", "data.count=400", "data.batch_size=64", "net.widths=[16]"],
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Return a function that creates an untrained run for a model and a dataset, once for each pair."""
    made = {}

    def make(compose, model, data):
        if (model, data) not in made:
            words = [f"model={model}", *DATA[data], "net=mlp", "net.widths=[16]", "latent_dim=4"]
            if data == "cartoons":
                words += [f"data.cache='{tmp_path_factory.getbasetemp() / 'cartoons'}'"]
                words += ["data.attributes=[glasses,mouth]"] if model == "cvae" else []
                words += ["model.supervision=attributes"] if model == "supervised_ae" else []
            config = compose(*dict.fromkeys(words), f"application@after_fit=[{','.join(NAMES)}]")
            prepared = instantiate.build(config["data"])
            prepared.setup()
            built = instantiate.build_model(config, prepared.shape, prepared.context).eval()
            built.initialize(prepared.images("train"))
            made[model, data] = Run(tmp_path_factory.mktemp("run"), config, built, prepared)
        return made[model, data]

    return make


@pytest.mark.slow
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", ["ae", "vae", "cvae", "supervised_ae", "pca"])
@pytest.mark.parametrize("name", NAMES)
def test_every_application_returns_a_result_or_a_user_error(compose, opened, name, model, data):
    run = opened(compose, model, data)
    refusal = ""
    try:
        found = instantiate.build(run.config["after_fit"][name], run=run)
    except UserError as error:
        refusal = str(error)
    if refusal:
        assert refusal.endswith((".", ")"))
        return
    assert isinstance(found, ApplicationResult)
    assert found.metrics
    assert all(isinstance(value, (int, float)) for value in found.metrics.values())
    assert found.tables
