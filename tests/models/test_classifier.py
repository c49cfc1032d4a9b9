"""model=classifier: training, metrics and resuming."""

import json
import shutil

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

from autoencoders.applications.base import run_application
from autoencoders.config import instantiate
from autoencoders.metrics.classification import (
    ClassifierMeans,
    classification_metrics,
    classification_terms,
    cross_entropy,
)
from autoencoders.runs import loading
from autoencoders.train import train
from autoencoders.types import Context, UserError


def test_classifier_learns_digits_and_loads_from_its_run_folder(classifier_folder):
    metrics = json.loads((classifier_folder / "metrics.json").read_text())
    assert metrics["test/accuracy"] > 0.95
    assert metrics["test/majority"] < 0.15
    run = loading.open_run(classifier_folder)
    test = run.batch("test")
    with torch.no_grad():
        probabilities, features = run.model.probabilities(test.x).double(), run.model.features(test.x)
    assert features.shape == (len(test.x), 64)
    assert float((probabilities.argmax(1) == test.y).double().mean()) == pytest.approx(metrics["test/accuracy"])
    assert log_loss(test.y, probabilities / probabilities.sum(1, keepdim=True)) == pytest.approx(
        metrics["test/loss"], rel=1e-4
    )
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


def test_callbacks_for_decoded_images_skip_a_classifier(classifier_folder):
    assert sorted(p.name for p in (classifier_folder / "figures").iterdir()) == ["data", "loss_curves"]
    assert pd.read_csv(classifier_folder / "metrics.csv")["train/accuracy"].dropna().iloc[-1] > 0.9


def test_terminal_shows_test_accuracy_with_the_majority_baseline(compose, capsys, tmp_path):
    overrides = [
        "model=classifier",
        "data=cartoons",
        "data.count=120",
        "data.size=16",
        "data.attributes=[mouth,glasses]",
    ]
    overrides += [
        f"data.cache='{tmp_path}'",
        "data.batch_size=20",
        "trainer.max_epochs=1",
        "logger=none",
        "callbacks=none",
    ]
    metrics = train(compose(*overrides))
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("test "))
    for name in ("mouth", "glasses"):
        accuracy, majority = metrics[f"test_accuracy/{name}"], metrics[f"test_majority/{name}"]
        assert f"{name} {accuracy:.3f} +- {(accuracy * (1 - accuracy) / 12) ** 0.5:.3f}" in line
        assert f"(majority {majority:.3f}), AUROC" in line


def test_attributes_are_learned_at_the_threshold_of_the_training_images(compose, tmp_path):
    overrides = [
        "model=classifier",
        "data=cartoons",
        "data.count=400",
        "data.size=16",
        "data.attributes=[glasses,skin]",
    ]
    overrides += [f"data.cache='{tmp_path}'", "data.batch_size=20", "optimizer.lr=3e-3"]
    config = compose(*overrides)
    data = instantiate.build(config["data"])
    data.setup()
    model = instantiate.build_model(config, data.shape, data.context)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    pl.Trainer(max_epochs=4, enable_model_summary=False, **quiet).fit(model, datamodule=data)
    glasses = data.annotations("train").attribute("glasses")
    assert model.majority[0] == float((glasses > 0).float().mean() > 0.5)
    test = data.take("test", 1000)
    with torch.no_grad():
        predicted = model.eval().probabilities(test.x) > 0.5
    assert ((test.y > 0) == predicted).float().mean(0).min() > 0.9


@pytest.mark.parametrize("batches", [1, 3])
def test_metrics_equal_those_of_scikit_learn_and_ignore_unknown_values(batches):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(-20, 20, (90, 2), generator=generator) / 5  # equal logits of several images
    truth = (torch.rand(90, 2, generator=generator) < torch.sigmoid(logits)).float()
    truth[:30, 1] = torch.nan
    metric, majority = ClassifierMeans(), torch.tensor([1.0, 0.0])
    for a, b in zip(logits.chunk(batches), truth.chunk(batches), strict=True):
        metric.update(classification_terms(cross_entropy(a, b), a, b, majority), len(a), a, b)
    metrics = classification_metrics("test", metric.compute(), Context("attributes", ("a", "b")))
    for i, name in enumerate("ab"):
        known = truth[:, i].isfinite()
        y, score = truth[known, i], logits[known, i]
        assert metrics[f"test_auroc/{name}"] == pytest.approx(roc_auc_score(y, score))
        assert metrics[f"test_accuracy/{name}"] == pytest.approx(float(((score > 0) == y.bool()).double().mean()))
        assert metrics[f"test_majority/{name}"] == pytest.approx(float((y == 1 - i).double().mean()))
    known = truth.flatten().isfinite()
    expected = log_loss(truth.flatten()[known], logits.flatten()[known].sigmoid().double(), normalize=False)
    assert metrics["test/loss"] == pytest.approx(expected / 90, rel=1e-5)


def test_extreme_logits_have_a_finite_loss():
    logits, truth = torch.tensor([[-1e4], [1e4]]), torch.tensor([[0.0], [0.0]])
    assert cross_entropy(logits, truth).tolist() == [0, 1e4]


def test_invalid_combinations_raise_a_user_error(compose, classifier_folder):
    with pytest.raises(UserError, match="model=classifier needs labels"):
        instantiate.build_model(compose("model=classifier"), (1, 28, 28), None)
    with pytest.raises(UserError, match=r"model\.features must be an integer >= 1, got 0"):
        instantiate.build_model(
            compose("model=classifier", "model.features=0"), (1, 28, 28), Context("classes", ("a", "b"))
        )
    with pytest.raises(UserError, match="needs an autoencoder, got model=classifier"):
        train(compose("model=classifier", "application@after_fit=[reconstruct]"))
    node = compose("application@after_fit=[reconstruct]")["after_fit"]["reconstruct"]
    with pytest.raises(UserError, match="needs the run of an autoencoder, got a classifier"):
        run_application(loading.open_run(classifier_folder), "reconstruct", node)


def test_resumed_training_is_equal_bit_for_bit(compose, tmp_path):
    overrides = [
        "model=classifier",
        "data=digits",
        "data.size=8",
        "net.width=8",
        "trainer=cpu",
        "logger=none",
        "test=false",
    ]
    overrides += ["callbacks=checkpoint", "trainer.max_epochs=2", "data.batch_size=250"]
    overrides += ["+callbacks.every={_target_: lightning.pytorch.callbacks.ModelCheckpoint}"]
    overrides += ["+callbacks.every.filename='{step}'", "+callbacks.every.every_n_train_steps=3"]
    overrides += ["+callbacks.every.save_top_k=-1", f"+callbacks.every.dirpath='{tmp_path}/every'"]
    train(compose(*overrides, folder=tmp_path / "uninterrupted"))
    shutil.copytree(tmp_path / "uninterrupted", tmp_path / "resumed")
    train(compose(*overrides, f"resume='{tmp_path}/every/step=3.ckpt'", folder=tmp_path / "resumed"))
    states = [
        torch.load(tmp_path / name / "checkpoints/last.ckpt")["state_dict"] for name in ("uninterrupted", "resumed")
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert (tmp_path / "uninterrupted/metrics.csv").read_text() == (tmp_path / "resumed/metrics.csv").read_text()
