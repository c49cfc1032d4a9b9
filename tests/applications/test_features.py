"""application=features on PCA models, whose codes are known in closed form."""

import numpy as np
import pytest

from autoencoders.applications.features import NOTE, features
from autoencoders.data.cartoons import FACTORS, CartoonsDataModule
from autoencoders.types import Annotations, UserError


def test_accuracy_grows_with_the_number_of_labels_and_codes_are_exported(digits_run):
    result = features(digits_run, sizes=[50, 5000], draws=2)
    table = result.tables["accuracy"].set_index(["labels", "method"])["accuracy"]
    most = len(digits_run.data.images("train"))
    assert table[most, "pca"] > table[50, "pca"] > 0.5 > table[most, "commonest label"]
    np.testing.assert_allclose(table[most, "pca"], table[most, "PCA-16"], atol=0.02)
    assert table[most, "whitened PCA-16"] == pytest.approx(table[most, "PCA-16"], abs=1e-6)  # both are standardized
    assert f"accuracy/whitened PCA-16/{most}" in result.metrics
    assert set(result.tables["accuracy"]["note"]) == {NOTE, ""}
    codes = result.tables["codes"]
    assert len(codes) == len(digits_run.data.images("test"))
    np.testing.assert_array_equal(codes[[f"z{i}" for i in range(16)]], digits_run.codes("test").z)
    assert codes["class"][0] == str(digits_run.annotations("test").classes[0].item())


def test_attributes_are_exported(linear_run, tmp_path):
    data = CartoonsDataModule(name="cartoons", count=300, size=16, batch_size=8, cache=str(tmp_path))
    data.setup()
    result = features(linear_run(data, 8), attribute="skin", sizes=[200])
    assert set(FACTORS) < set(result.tables["codes"])


def test_labels_of_validation_images_are_not_predicted(digits_run, monkeypatch):
    sentence = r"^split must be test or train, got val, because the regularization .* is chosen on validation images\."
    with pytest.raises(UserError, match=sentence):
        features(digits_run, split="val")
    monkeypatch.setattr(digits_run, "annotations", lambda split: Annotations())
    assert "codes" in features(digits_run, split="val").tables  # nothing is chosen without labels


def test_sizes_below_ten_are_refused(digits_run):
    with pytest.raises(UserError, match="sizes"):
        features(digits_run, sizes=[0])
