import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image
from sklearn.decomposition import PCA

from autoencoders.applications.browse import browse, moments
from autoencoders.config import instantiate
from autoencoders.data.card import describe_files
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


def test_whitened_pca_has_the_variances_of_scikit_learns_codes(run):
    opened = run("data=digits", "data.size=8", "model=ae").prepare()
    train, test = (opened.batch(split).x.flatten(1).double().numpy() for split in ("train", "test"))
    z = PCA(4, whiten=True, svd_solver="full").fit(train).transform(test)
    metrics = browse(opened, count=5).metrics
    assert metrics["variance/whitened PCA-4"] == pytest.approx(z.var(0, ddof=1).mean(), rel=1e-4)


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


def test_the_data_card_describes_classes_brightness_and_duplicates(run):
    opened = run("data=digits", "data.size=8", "model=cvae")
    found = browse(opened, count=5)
    card = found.tables["card"].set_index("item")["value"]
    pixels = opened.data.images("train").double() / 255
    assert card["brightness, train"].startswith(f"mean {pixels.mean().item():.3f}, standard deviation over images ")
    assert card["brightness, train"].endswith(f"{pixels.flatten(1).mean(1).std().item():.3f}")
    assert card["duplicates"] == "train 0, val 0"
    assert card["splits"] == "train 1,258, val 180, test 359"
    width, height = found.figures["data"].get_size_inches() * 100
    assert max(width, height) <= 4000


def test_correlations_of_attributes_are_those_of_numpy(run, tmp_path):
    words = ["data=cartoons", "data.count=60", "data.size=16", f"data.cache='{tmp_path}'", "data.batch_size=8"]
    opened = run(*words, "model=ae")
    table = browse(opened, count=5).tables["correlations"].set_index("attribute")
    expected = np.corrcoef(opened.annotations("train").attributes.double().numpy().T)
    np.testing.assert_allclose(table.to_numpy(), expected, atol=1e-12)


def test_files_of_several_formats_and_sizes_are_described(tmp_path):
    for i, (name, size) in enumerate([("a.png", (20, 10)), ("b.png", (20, 10)), ("c.jpg", (8, 9)), ("d.png", None)]):
        if size is None:
            (tmp_path / name).write_bytes(b"nothing")
        else:
            Image.new("L", size, i).save(tmp_path / name)
    found = describe_files(sorted(tmp_path.iterdir()))
    assert found == {"formats": "PNG 2, JPEG 1, unreadable 1", "sizes": "20 x 10 (2 of 3 files), from 8 x 9 to 20 x 10"}
