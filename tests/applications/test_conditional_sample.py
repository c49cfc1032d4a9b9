"""application=conditional_sample, on decoders that use the label or ignore it by construction."""

import pytest
import torch

from autoencoders.applications.conditional_sample import conditional_sample, label_positions
from autoencoders.applications.label_accuracy import labels_to_decode
from autoencoders.config import instantiate
from autoencoders.runs.run import Run
from autoencoders.types import UserError

SMALL = {"codes": 2, "measured": 10}


@pytest.fixture
def opened(compose, tmp_path):
    def make(*overrides):
        config = compose(*overrides, "latent_dim.size=3", "data.batch_size=64")
        data = instantiate.build(config["data"])
        data.prepare_data()
        data.setup()
        return Run(tmp_path, config, instantiate.build_model(config, data.shape, data.context).eval(), data)

    return make


def test_label_accuracy_of_a_decoder_that_uses_the_label_and_of_one_that_ignores_it(opened, monkeypatch):
    run = opened("model=cvae")
    train = run.prepare().data.evaluation_batches("train").batch(torch.arange(1258))
    means = torch.stack([train.x[train.y == k].mean(0) for k in range(10)])
    monkeypatch.setattr(run.model, "decode", lambda z, y: means[y] + 0.05 * torch.randn(len(z), 1, 28, 28))
    found = conditional_sample(run, **SMALL)
    table = found.tables["accuracy"].set_index("method")
    assert table["accuracy"]["cvae"] > 0.95
    assert table["accuracy"]["real test images"] > 0.9
    assert table["accuracy"]["labels drawn anew"] < 0.3
    spread = table["pixel deviation within a label"]
    assert spread["cvae"] == pytest.approx(0.05, rel=0.02)  # the standard deviation of the added noise
    assert spread["real test images"] > 0.1
    assert table["classifier"]["cvae"].startswith("logistic regression")
    monkeypatch.setattr(run.model, "decode", lambda z, y: means[:1].expand(len(z), *means.shape[1:]))
    assert conditional_sample(run, **SMALL).tables["accuracy"]["accuracy"].iloc[0] == pytest.approx(0.1)


def test_attributes_give_every_combination_of_signs_at_the_means_of_either_side(opened, tmp_path):
    data = ["data=cartoons", "data.count=150", "data.size=16", f"data.cache={tmp_path}"]
    run = opened("model=cvae", *data, "data.attributes=[mouth,glasses]")
    names, y, bits = labels_to_decode(run, 1.0)
    assert names == ["mouth- glasses-", "mouth- glasses+", "mouth+ glasses-", "mouth+ glasses+"]
    told = run.codes("train").y
    assert float(y[2, 0]) == pytest.approx(float(told[told[:, 0] > 0, 0].mean()), abs=1e-5)
    assert y[:, 1].tolist() == pytest.approx([-1, 1, -1, 1], abs=1e-5)
    assert bits.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    stronger = labels_to_decode(run, 2.0)[1]
    torch.testing.assert_close(stronger - told.mean(0), 2 * (y - told.mean(0)))
    found = conditional_sample(run, **SMALL, labels=["mouth+ glasses+"])
    assert {"accuracy of mouth", "accuracy of glasses"} <= set(found.tables["accuracy"])
    assert set(found.figures) == {"grid", "many"}


def test_invalid_options_are_refused(opened):
    with pytest.raises(UserError, match="needs a conditional model, got vae"):
        conditional_sample(opened("model=vae"))
    with pytest.raises(UserError, match=r"^split must be test or train, got val, because the classifier is chosen"):
        conditional_sample(opened("model=cvae"), split="val")
    with pytest.raises(UserError, match=r"has no label 3\. Choose labels from: 5, 7"):
        label_positions(["5", "7"], [3])
