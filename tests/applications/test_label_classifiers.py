"""Tests of the label classifiers (a trained classifier, or logistic regression), and of `evaluate` with classifiers."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from autoencoders.applications import attribute_editing
from autoencoders.applications.attribute import attribute
from autoencoders.applications.conditional_sample import conditional_sample
from autoencoders.applications.evaluate import evaluate
from autoencoders.applications.evaluation.features import real_images
from autoencoders.applications.label_classifiers import (
    attribute_logits,
    correct_predictions,
    fit_pixel_classifier,
    get_classifier,
    load_classifier,
)
from autoencoders.applications.sample import sample_images
from autoencoders.config import instantiate
from autoencoders.latent.densities import GaussianFull
from autoencoders.metrics.generation import frechet_distance, kernel_distance
from autoencoders.runs import loading
from autoencoders.runs.run import Run
from autoencoders.types import Annotations, Context, UserError

SMALL = {"samples": 2, "measured": 10, "drawn": 120, "codes": 20}


@pytest.fixture
def opened(compose, tmp_path):
    def make(*overrides):
        config = compose("data.size=8", *overrides, "net=mlp", "net.widths=[32]", "latent_dim.size=4")
        data = instantiate.build(config["data"])
        data.setup()
        torch.manual_seed(0)
        model = instantiate.build_model(config, data.shape, data.context).eval()
        model.initialize(data.images("train"))
        return Run(tmp_path, config, model, data).prepare()

    return make


@pytest.mark.parametrize("model", ["ae", "vae", "cvae", "pca"])
def test_evaluate_with_a_classifier(opened, classifier_folder, model, monkeypatch):
    run = opened(f"model={model}")
    monkeypatch.setattr(run, "reconstruct", lambda x, y: x)
    found = evaluate(run, classifier=str(classifier_folder), **SMALL)
    metrics, table = found.metrics, found.tables["evaluation"].set_index(["measure", "method"])
    for measure in ("FID", "KID", "density", "coverage"):
        # Perfect reconstructions of validation images are validation images.
        real = metrics[f"{measure}, samples/real val images"]
        assert metrics[f"{measure}, reconstructions/{model}"] == pytest.approx(real, abs=1e-9)
        better = max if measure in ("density", "coverage") else min
        assert better(metrics[f"{measure}, samples/{name}"] for name in ("PCA-4", "noise", "real val images")) == real
    note = table["note"]["FID, samples", model]
    assert ("N(0, I)" in note) == (model in ("vae", "cvae"))
    assert ("fitted to the codes" in note) == (model in ("ae", "pca"))
    assert metrics["classifier/majority"] < 0.2
    words = found.tables["protocol"]["protocol"][0]
    accuracy = next(v for k, v in metrics.items() if k.startswith("classifier/classifier-digits"))
    assert f"correct on {accuracy:.2%} of 359 real test images" in words
    assert "compared with 120 evenly spaced test images; all sets have the same number of images" in words
    assert "samples with seed 0" in words
    assert ("label accuracy/cvae" in metrics) == (model == "cvae")


def test_evaluate_measures_what_was_drawn(opened, classifier_folder):
    run = opened("model=ae")
    metrics = evaluate(run, classifier=str(classifier_folder), **SMALL).metrics
    classifier = loading.open_run(classifier_folder).model
    with torch.no_grad():
        real = classifier.features(real_images(run, "test", 120))
        drawn = classifier.features(
            sample_images(run, GaussianFull().fit(run.codes("train").z), 120, 1.0, 0).clamp(0, 1)
        )
    assert metrics["FID, samples/ae"] == pytest.approx(frechet_distance(real, drawn), rel=1e-5)
    value, error = kernel_distance(real, drawn)
    assert (metrics["KID, samples/ae"], metrics["KID, samples_error/ae"]) == pytest.approx((value, error), rel=1e-5)


def test_without_a_classifier_the_table_says_what_to_give_and_a_stand_in_uses_labels(opened):
    found = evaluate(opened("model=cvae"), **SMALL)
    table = found.tables["evaluation"].set_index(["measure", "method"])
    assert table["note"]["FID, samples", "cvae"] == (
        "n/a: set classifier=<run of model=classifier data=digits> or features=inception:<weights>"
    )
    assert table["note"]["label accuracy", "cvae"].startswith("by logistic regression on pixels")
    assert not any(name.startswith(("FID", "KID", "classifier")) for name in found.metrics)
    assert found.metrics["label accuracy/real test images"] > 0.85


def test_too_few_images_have_no_neighbors(opened, classifier_folder):
    found = evaluate(opened("model=ae"), classifier=str(classifier_folder), **{**SMALL, "drawn": 5})
    assert "5 images are too few" in found.tables["evaluation"].set_index("measure")["note"]["FID, samples"]


def test_a_conditional_grid_is_evaluated_with_the_given_classifier(opened, classifier_folder):
    run = opened("model=cvae")
    found = conditional_sample(run, classifier=str(classifier_folder), codes=2, measured=5)
    table = found.tables["accuracy"].set_index("method")
    assert table["classifier"].iloc[0].startswith("classifier-digits, step")
    classifier = load_classifier(run, str(classifier_folder))
    test = run.batch("test", torch.linspace(0, 358, 50).round().long())
    expected = correct_predictions(classifier, test.x, test.y).mean()
    assert table["accuracy"]["real test images"] == pytest.approx(float(expected))


def test_edits_are_measured_with_its_features(opened, classifier_folder, monkeypatch):
    monkeypatch.setattr(attribute_editing, "bootstrap_error", lambda *arguments: 0.0)  # it takes seconds
    run = opened("model=pca")
    found = attribute(run, attribute="3", classifier=str(classifier_folder), measured=10, count=2, alphas=[0, 1])
    edits = found.tables["edits"].set_index("method")
    edited = edits.drop("whitened PCA-4")  # its edit equals that of PCA
    assert (edited["classifier"].str.startswith("classifier-digits, step")).all()
    for space in ("", ", features"):
        assert edits[f"identity unedited{space}"]["pixels"] == 1  # every image is its own nearest image
    assert edits["shift per unit"]["PCA-4"] > 0.2
    assert found.tables["leakage"].set_index("attribute")["classifier auroc"].min() > 0.9


def test_a_class_against_all_others_is_the_logit_of_its_probability(opened, classifier_folder):
    run = opened("model=ae")
    classifier, x = load_classifier(run, str(classifier_folder)), run.batch("test", 20).x
    probabilities = classifier.logits(x).double().softmax(1)
    torch.testing.assert_close(attribute_logits(classifier, x).double(), probabilities.logit(), rtol=1e-4, atol=1e-4)


def test_the_stand_in_recognizes_planted_classes_and_a_trace_of_noise_does_not_disturb_it(opened):
    run = opened("model=ae")
    classifier, test = fit_pixel_classifier(run), run.batch("test")
    plain = float(correct_predictions(classifier, test.x, test.y).mean())
    noisy = test.x + 0.05 * torch.randn(test.x.shape)
    assert plain > 0.9
    assert float(correct_predictions(classifier, noisy, test.y).mean()) > plain - 0.05
    assert float(correct_predictions(classifier, test.x, (test.y + 1) % 10).mean()) < 0.1


def test_labels_that_are_unknown_are_neither_right_nor_wrong(compose, opened, tmp_path):
    words = ["data=cartoons", "data.count=60", "data.size=16", f"data.cache='{tmp_path}'", "data.batch_size=20"]
    run = opened(*words, "model=ae")
    classifier, x = get_classifier(run, None), run.batch("test", 3).x
    seen = (classifier.logits(x) > 0).float()
    labels = seen.clone()
    labels[0, 0], labels[1, 1] = torch.nan, 1 - labels[1, 1]
    found = correct_predictions(classifier, x, labels)
    assert found[0, 0].isnan()
    assert found[1, 1] == 0
    assert found.nansum() == found.numel() - 2


def untrained(compose, folder, data, *words):
    config = compose("model=classifier", *words)
    torch.manual_seed(0)
    model = instantiate.build_model(config, data.shape, data.context)
    state = {"hyper_parameters": dict(model.hparams), "state_dict": model.state_dict(), "global_step": 7}
    torch.save(state, folder / "classifier.ckpt")
    return str(folder / "classifier.ckpt")


def test_a_classifier_that_does_not_fit_is_one_sentence(
    compose, opened, classifier_folder, digits, tmp_path, monkeypatch
):
    run = opened("model=vae")
    with pytest.raises(UserError, match="classifier=nowhere cannot be loaded: nowhere must be a checkpoint"):
        evaluate(run, classifier="nowhere", **SMALL)
    with pytest.raises(UserError, match=r"must take images of shape \(1, 8, 8\), got \(1, 28, 28\)"):
        evaluate(run, classifier=untrained(compose, tmp_path, digits), **SMALL)
    state = {"hyper_parameters": dict(run.model.hparams), "state_dict": run.model.state_dict()}
    torch.save(state, tmp_path / "vae.ckpt")
    with pytest.raises(UserError, match=r"classifier must be a run of model=classifier, got vae in"):
        evaluate(run, classifier=str(tmp_path / "vae.ckpt"), **SMALL)
    known = run.annotations
    monkeypatch.setattr(run, "annotations", lambda split: replace(known(split), class_names=tuple("abcdefghij")))
    with pytest.raises(UserError, match=r"must predict the classes a, b, .* of the run's data, got the classes 0, 1,"):
        evaluate(run, classifier=str(classifier_folder), **SMALL)
    monkeypatch.setattr(run, "annotations", lambda split: Annotations())
    found = evaluate(run, classifier=str(classifier_folder), **SMALL)
    assert "accuracy not measured because the data have no labels" in found.tables["protocol"]["protocol"][0]
    assert "FID, samples/vae" in found.metrics
    with pytest.raises(UserError, match="neither classes nor attributes"):
        fit_pixel_classifier(run)


def test_a_classifier_of_other_attributes_is_one_sentence(compose, opened, tmp_path):
    words = ["data=cartoons", "data.count=500", "data.size=16", f"data.cache='{tmp_path}'", "data.batch_size=20"]
    run = opened(*words, "model=cvae", "data.attributes=[mouth,glasses]")
    data = opened(*words, "data.attributes=[glasses]").data
    classifier = untrained(compose, tmp_path, data, *words, "data.attributes=[glasses]")
    with pytest.raises(UserError, match=r"does not predict mouth\. Its attributes: glasses"):
        conditional_sample(run, classifier=classifier)
    with pytest.raises(UserError, match=r"does not predict mouth.* It predicts: glasses"):
        attribute(run, attribute="mouth", classifier=classifier)


def test_logits_of_classes_are_those_against_all_other_classes():
    logits = 8 * torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[0, 0] = 60.0  # a probability that rounds to 1
    classifier = SimpleNamespace(labels=Context("classes", tuple("abcdefg")), logits=lambda x: logits)
    expected = torch.stack(
        [logits[:, i] - logits[:, [j for j in range(7) if j != i]].logsumexp(1) for i in range(7)], 1
    )
    torch.testing.assert_close(attribute_logits(classifier, torch.zeros(5)), expected)
