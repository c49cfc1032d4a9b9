import numpy as np
import pytest
import scipy.stats
import torch

from autoencoders.applications.browse import browse, moments
from autoencoders.config import instantiate
from autoencoders.runs.run import Run
from autoencoders.types import UserError


@pytest.fixture
def run(compose, tmp_path):
    def make(*overrides):
        config = compose("latent_dim=4", *overrides)
        data = instantiate.build(config["data"])
        data.setup()
        return Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)

    return make


def test_moments_are_scipys():
    z = torch.from_numpy(np.random.default_rng(0).gamma(2.0, size=(500, 3)))
    expected = [z.mean(0), z.var(0), scipy.stats.skew(z), scipy.stats.kurtosis(z)]
    assert np.allclose(moments(z), np.stack([np.asarray(e) for e in expected], 1))


def test_classes_are_counted(run):
    found = browse(run("data=digits", "data.size=8", "model=cvae"), count=5)
    counts = found.tables["classes"]
    assert counts[["train", "val", "test"]].to_numpy().sum() == 1797
    normal = found.tables["moments"].set_index("method").loc["standard normal"]
    assert normal["variance"] == pytest.approx(1, abs=0.15)


def test_attributes_are_described(run, tmp_path):
    opened = run(
        "data=cartoons", "data.count=60", "data.size=16", f"data.cache='{tmp_path}'", "data.batch_size=8", "model=ae"
    )
    table = browse(opened, count=5).tables["attributes"].set_index("attribute")
    assert table.loc["mouth", "count"] == 60
    with pytest.raises(UserError, match=r"no attribute 'hat'.*mouth"):
        browse(opened, attributes=["hat"])
