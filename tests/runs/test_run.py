"""Runs that can be asked."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from autoencoders.config import instantiate
from autoencoders.runs.run import Run
from autoencoders.types import UserError


@pytest.fixture
def run(compose, tmp_path):
    """An untrained CVAE on digits, with a checkpoint."""
    config = compose("model=cvae", "net.widths=[16]", "latent_dim=4")
    data = instantiate.build(config["data"])
    data.setup()
    model = instantiate.build_model(config, data.shape, data.context).eval()
    torch.save({"hyper_parameters": dict(model.hparams), "state_dict": model.state_dict()}, tmp_path / "best.ckpt")
    return Run(tmp_path, config, model, data, tmp_path / "best.ckpt")


def test_codes_are_the_models_in_the_order_of_the_rows(run):
    codes = run.codes("test")
    batch = run.batch("test")
    assert torch.equal(codes.index, torch.arange(len(batch.x)))
    assert torch.equal(codes.y, batch.y)
    torch.testing.assert_close(codes.z, run.model.encode(batch.x, batch.y), rtol=1e-4, atol=1e-5)
    assert torch.equal(run.annotations("test").classes, batch.y)


def test_codes_are_what_validation_measures(run):
    import lightning.pytorch as pl

    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False)
    measured = trainer.test(run.model, run.data, verbose=False)[0]
    codes = run.codes("test")
    assert codes.distortion.mean().item() == pytest.approx(measured["test/distortion"], rel=1e-5)
    assert codes.rate.mean().item() == pytest.approx(measured["test/rate"], rel=1e-5)


def test_codes_are_read_again_until_the_weights_change(run, tmp_path):
    run.codes("val")
    files = list((tmp_path / "codes").iterdir())
    assert len(files) == 1
    again = Run(tmp_path, run.config, None, run.data, tmp_path / "best.ckpt", _ready=True)
    np.testing.assert_array_equal(again.codes("val").z, run.codes("val").z)  # no model was needed
    (tmp_path / "best.ckpt").write_bytes((tmp_path / "best.ckpt").read_bytes() + b" ")
    Run(tmp_path, run.config, run.model, run.data, tmp_path / "best.ckpt").codes("val")
    now = list((tmp_path / "codes").iterdir())
    assert len(now) == 1
    assert now != files


def test_codes_of_weights_that_a_training_has_replaced_are_not_those_of_the_new_weights(run, tmp_path):
    (tmp_path / "best.ckpt").write_bytes((tmp_path / "best.ckpt").read_bytes() + b" ")  # after `run` was loaded
    run.codes("val")
    (old,) = (tmp_path / "codes").iterdir()
    Run(tmp_path, run.config, run.model, run.data, tmp_path / "best.ckpt").codes("val")
    (new,) = (tmp_path / "codes").iterdir()
    assert new != old


def test_the_pca_baseline_is_scikit_learns(run):
    train, test = (run.batch(split).x for split in ("train", "test"))
    reference = PCA(4).fit(train.flatten(1).numpy())
    expected = reference.inverse_transform(reference.transform(test.flatten(1).numpy())).clip(0, 1)
    pca = run.pca()
    assert pca.name == "PCA-4"
    np.testing.assert_allclose(pca.reconstruct(test).flatten(1), expected, atol=1e-4)


def test_other_images_than_the_models_are_refused(run, compose):
    other = instantiate.build(compose("data.size=16")["data"])
    with pytest.raises(UserError, match="The images must have shape"):
        Run(run.path, run.config, run.model, other).prepare()
