import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from autoencoders.applications import attribute_editing
from autoencoders.applications.attribute import attribute
from autoencoders.applications.attribute_editing import fit_editors, hyperplane_normal
from autoencoders.applications.representations import binary_attributes
from autoencoders.data.arrays import ArraysDataModule
from autoencoders.data.cartoons import FACTORS, CartoonsDataModule, draw
from autoencoders.latent.directions import attribute_direction
from autoencoders.metrics.labels import attribute_threshold
from autoencoders.types import UserError

SIZE, GRID = 24, torch.linspace(-1, 1, 17)
MEASURED = ("mouth", "hair_length", "skin", "eyes", "pose", "background")


@pytest.fixture(scope="module")
def cartoons(tmp_path_factory):
    def made(**options):
        cache = str(tmp_path_factory.mktemp("cartoons"))
        data = CartoonsDataModule(name="cartoons", count=1000, size=SIZE, batch_size=32, cache=cache, **options)
        data.setup()
        return data

    return made


@pytest.fixture
def without_bootstrap(monkeypatch):
    """Leave out the standard errors of AUROCs, which take seconds."""
    monkeypatch.setattr(attribute_editing, "bootstrap_error", lambda *arguments: 0.0)


def measured(images, truth, name):
    """Return the value of one factor of each image: the value in GRID whose cartoon has the smallest pixel distance.

    The other factors of the cartoon are equal to those in `truth`.
    """
    which, found = FACTORS.index(name), []
    for image, values in zip(images, truth, strict=True):
        candidates = values.repeat(len(GRID), 1)
        candidates[:, which] = GRID
        found.append(GRID[(draw(candidates, SIZE) - image).flatten(1).square().sum(1).argmin()])
    return torch.stack(found)


def moved(run, names, orthogonal=(), count=12, strength=1.5):
    """Return how much an edit of `mouth` changes each factor, which is measured on the decoded images."""
    known, _ = binary_attributes(run)
    others = [FACTORS.index(name) for name in orthogonal]
    editor = fit_editors(run, "test", known, FACTORS.index("mouth"), others, "mean_difference")[0][0]
    rows = (run.annotations("test").attribute("mouth") < -0.3).nonzero().flatten()[:count]
    truth, batch = run.annotations("test").attributes[rows], run.batch("test", rows)
    before, after = editor.edit(batch, 0.0), editor.edit(batch, strength)
    start = truth.clone()
    mouths = [measured(images, start, "mouth") for images in (before, after)]
    changes = {"mouth": float((mouths[1] - mouths[0]).mean())}
    for name in names[1:]:
        values = []
        for images, mouth in zip((before, after), mouths, strict=True):
            start = truth.clone()
            start[:, 0] = mouth
            values.append(measured(images, start, name))
        changes[name] = float((values[1] - values[0]).mean())
    return changes


@pytest.mark.usefixtures("without_bootstrap")
def test_the_direction_bends_the_drawn_mouth_and_leaves_the_rest(cartoons, linear_run):
    changes = moved(linear_run(cartoons(), 64), MEASURED)
    assert changes["mouth"] > 0.3
    assert max(abs(v) for k, v in changes.items() if k != "mouth") < 0.15


@pytest.mark.usefixtures("without_bootstrap")
def test_orthogonal_keeps_a_correlated_factor(cartoons, linear_run):
    run = linear_run(cartoons(correlated=["mouth", "hair_length"], correlation=0.8), 64)
    plain = moved(run, ("mouth", "hair_length"))
    clean = moved(run, ("mouth", "hair_length"), ["hair_length"])
    assert plain["hair_length"] > 0.25
    assert abs(clean["hair_length"]) < 0.4 * plain["hair_length"], (plain, clean)
    assert clean["mouth"] > 0.1, (plain, clean)


@pytest.mark.usefixtures("without_bootstrap")
def test_findings_on_cartoons(cartoons, linear_run):
    found = attribute(linear_run(cartoons(), 64), attribute="mouth", measured=40, count=3, alphas=[0, 0.5, 1])
    assert set(found.figures) == {"add", "subtract", "strip", "dose"}
    edits = found.tables["edits"].set_index("method")
    assert edits.index[0] == "pca"
    assert list(edits.index[1:]) == ["PCA-64", "whitened PCA-64", "pixels"]
    # The model is a PCA model, so its results equal those of the PCA baseline.
    np.testing.assert_allclose(edits.loc["pca", "auroc"], edits.loc["PCA-64", "auroc"], atol=1e-3)
    np.testing.assert_allclose(edits.loc["pca", "shift per unit"], edits.loc["PCA-64", "shift per unit"], atol=1e-2)
    assert 0.5 < edits.loc["pca", "shift per unit"] < 1.5
    assert np.isnan(edits.loc["whitened PCA-64", "shift per unit"])
    assert edits.loc["whitened PCA-64", "note"] == "the edit equals that of PCA"
    assert np.isfinite(found.metrics["predicted share/PCA-64"])
    dose = found.tables["dose"]["pca"].to_numpy()
    assert dose[0] == 0
    assert (np.diff(dose) > 0).all()
    leaks = found.tables["leakage"].set_index("attribute")["shift, pca"]
    assert leaks.abs().idxmax() == "mouth"


@pytest.mark.usefixtures("without_bootstrap")
def test_the_auroc_of_whitened_pca_is_that_of_scikit_learns_codes(digits_run):
    known, names = binary_attributes(digits_run)
    editors, aurocs = fit_editors(digits_run, "test", known, names.index("3"), [], "mean_difference")
    train, test = digits_run.batch("train"), digits_run.batch("test")
    codes = PCA(16, whiten=True, svd_solver="full").fit(train.x.flatten(1).double().numpy())
    z, new = (codes.transform(batch.x.flatten(1).double().numpy()) for batch in (train, test))
    step = z[train.y == 3].mean(0) - z[train.y != 3].mean(0)
    assert aurocs["whitened PCA-16"][0] == pytest.approx(roc_auc_score(test.y == 3, new @ step), abs=1e-3)
    assert aurocs["whitened PCA-16"][0] > aurocs["PCA-16"][0] + 0.005
    # Adding the whitened difference to whitened codes gives the image that PCA gives, so there is no such editor.
    pca, whitened = digits_run.pca(), digits_run.pca(whiten=True)
    x = test.x[:5]
    edited = whitened.decode(whitened.encode(x) + torch.from_numpy(step * signs(whitened, codes)).float())
    linear = next(editor for editor in editors if editor.name == pca.name)
    torch.testing.assert_close(edited.clamp(0, 1), linear.edit(test.select(slice(0, 5)), 1.0), atol=1e-3, rtol=0)
    assert [editor.name for editor in editors] == ["pca", "PCA-16", "pixels"]


def signs(whitened, codes):
    """Return the signs by which the components of scikit-learn differ."""
    return np.sign((whitened.components.numpy() * codes.components_).sum(1))


@pytest.mark.usefixtures("without_bootstrap")
def test_the_normal_of_a_classifier_depends_on_whitening(digits_run):
    found = attribute(digits_run, attribute="3", measured=10, count=2, alphas=[0, 1], method="logistic")
    edits = found.tables["edits"].set_index("method")
    assert list(edits.index) == ["pca", "PCA-16", "whitened PCA-16", "pixels"]
    assert abs(edits.loc["whitened PCA-16", "shift per unit"] - edits.loc["PCA-16", "shift per unit"]) > 0.01


@pytest.mark.usefixtures("without_bootstrap")
def test_two_classes_have_no_leakage(linear_run, tmp_path):
    """The logit of one of two classes is the negative of the other, so that `leakage` would equal the shift."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    images = (rng.integers(0, 120, (400, 8, 8)) + 100 * labels[:, None, None]).astype(np.uint8)
    np.savez(tmp_path / "two.npz", images=images, labels=labels)
    path, cache = str(tmp_path / "two.npz"), str(tmp_path / "cache")
    data = ArraysDataModule(name="two", path=path, cache=cache, batch_size=32, test=0.2)
    data.prepare_data()
    data.setup()
    found = attribute(linear_run(data, 4), measured=10, count=2, alphas=[0, 1])
    edits = found.tables["edits"].set_index("method")
    assert edits["leakage"].isna().all()
    assert edits["leakage per shift"].isna().all()
    assert "leakage n/a: the shifts of two classes are opposite" in edits.loc["pca", "note"]
    assert not any(key.startswith("leakage") for key in found.metrics)
    table = found.tables["leakage"].set_index("attribute")
    assert table["shift, pca"].isna().tolist() == [True, False]


def test_validation_images_are_not_edited(digits_run):
    with pytest.raises(UserError, match=r"^split must be test or train, got val, because the classifier is chosen on"):
        attribute(digits_run, split="val")


@pytest.mark.usefixtures("without_bootstrap")
def test_classes_are_attributes_and_conditional_models_get_the_label(cvae_run):
    found = attribute(cvae_run, attribute="7", measured=20, count=2, alphas=[0, 1], method="logistic")
    assert len(found.tables["leakage"]) == 10


def test_the_mean_difference_is_that_and_orthogonal_is_orthogonal():
    rng = np.random.default_rng(0)
    z, a, b = rng.normal(size=(400, 5)), rng.random(400) > 0.5, rng.random(400) > 0.5
    z[:, 0] += a
    z[:, 1] += a + 2 * b
    step = attribute_direction(z, a)
    np.testing.assert_allclose(step, z[a].mean(0) - z[~a].mean(0))
    both = LinearRegression().fit(np.column_stack([a, b]), z)
    np.testing.assert_allclose(attribute_direction(z, a, [b.astype(float)]), both.coef_[:, 0])
    normal = hyperplane_normal(torch.from_numpy(z), torch.from_numpy(a)[:, None])
    along = attribute_direction(z, a, normal=normal)
    np.testing.assert_allclose(along @ normal / np.linalg.norm(along) / np.linalg.norm(normal), 1)
    np.testing.assert_allclose(along @ normal, step @ normal)  # both directions change the score by the same amount
    expected = LogisticRegression(C=0.1, max_iter=1000, tol=1e-8).fit((z - z.mean(0)) / z.std(0), a)
    np.testing.assert_allclose(normal, expected.coef_[0] / z.std(0), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize(
    ("values", "at"),
    [([-1.0, 1.0, 1.0], 0.0), ([0.0, 1.0, 1.0], 0.5), (list(np.linspace(-2, 3, 60)), 0.0), ([5.0, 6.0, 7.0], 6.0)],
)
def test_the_threshold_of_an_attribute(values, at):
    assert attribute_threshold(torch.tensor([*values, float("nan")])) == at


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attribute": "Smiling"}, "no attribute or class 'Smiling'. Choose one of: 0, 1"),
        ({"method": "svm"}, "mean_difference"),
        ({"attribute": "3", "orthogonal": ["3"]}, "must not contain the edited attribute"),
        ({"alphas": ["much"]}, "list of numbers"),
    ],
)
def test_wrong_options_are_reported(digits_run, options, words):
    with pytest.raises(UserError, match=words):
        attribute(digits_run, **options)
