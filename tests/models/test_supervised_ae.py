"""The supervised autoencoder: its loss, its labels and its linear baseline, checked against torch and scikit-learn."""

import math

import pytest
import torch
from lightning import Trainer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import log_loss
from torch.nn.functional import cosine_similarity

import autoencoders
from autoencoders import AE, SupervisedAE, UserError
from autoencoders.data import DigitsDataModule
from autoencoders.latent.discriminants import fit_discriminants
from autoencoders.models.supervised_ae import training_labels
from autoencoders.nets.label_head import LabelHead
from autoencoders.train import train
from autoencoders.types import Annotations, Batch

SHAPE = (1, 4, 4)
QUICK = ["data=digits", "latent_dim=6", "trainer=cpu", "logger=none", "callbacks=[default]", "data.shift=0"]


def batch_of(count):
    x = torch.rand(count, *SHAPE)
    return Batch(x, x, None, torch.arange(count).flip(0))


def supervised(supervision="classes", truth=None, labels=3):
    model = SupervisedAE(SHAPE, latent_dim=5, supervision=supervision, label_weight=0.25)
    model.label_head.build(labels)
    model._truth = truth
    return model


def test_logits_are_scaled_cosines():
    head = LabelHead(5)
    head.build(3)
    z = torch.randn(4, 5)
    expected = torch.stack([cosine_similarity(z, prototype[None]) for prototype in head.prototypes], 1)
    torch.testing.assert_close(head(z), 20 * expected)
    torch.testing.assert_close(head(7 * z), head(z))


def test_the_loss_of_training_batches_contains_the_cross_entropy_of_the_labels_of_their_rows():
    truth = torch.tensor([0, 2, 1, 1, -1])
    model, batch = supervised(truth=truth), batch_of(5)
    terms = model.terms(batch, None)
    probabilities = model.label_head(model.encode(batch.x)).detach().double().softmax(1)
    for row, label, extra in zip(range(5), truth.flip(0).tolist(), terms.extra.tolist(), strict=True):
        loss = 0 if label < 0 else log_loss([label], probabilities[row : row + 1], labels=[0, 1, 2])
        assert extra == pytest.approx(0.25 * 16 * loss, rel=1e-4, abs=1e-5)
    assert model.eval().terms(batch, None).extra is None


def test_unknown_attributes_are_ignored():
    truth = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
    model, batch = supervised("attributes", truth, labels=2), batch_of(2)
    extra = model.terms(batch, None).extra
    p = model.label_head(model.encode(batch.x)).sigmoid()
    known = -(1 - p[0, 0]).log() - p[0, 1].log(), -p[1, 0].log()  # the rows of the batch are in reverse order
    torch.testing.assert_close(extra, 0.25 * 16 * torch.stack(known))


def test_an_untrained_model_reconstructs_as_an_autoencoder():
    x = torch.rand(3, 3, 8, 8)
    options = {"latent_dim": 4, "net": "conv"}
    torch.manual_seed(1)
    plain = AE((3, 8, 8), **options).eval()
    torch.manual_seed(1)
    model = SupervisedAE((3, 8, 8), **options).eval()
    torch.testing.assert_close(model.reconstruct(x), plain.reconstruct(x))


def test_groups_of_one_image_have_no_label():
    groups = torch.tensor([4, 0, 4, 2, 0, 0])
    values, count = training_labels(Annotations(groups=groups), "groups")
    assert (values.tolist(), count) == ([1, 0, 1, -1, 0, 0], 2)
    with pytest.raises(UserError, match="needs two or more groups with several training images each, got 0"):
        training_labels(Annotations(groups=torch.arange(5)), "groups")
    with pytest.raises(UserError, match="needs two or more classes with several training images each, got 1"):
        training_labels(Annotations(classes=torch.tensor([3, 3, 3, 1])), "classes")


def test_attributes_are_binarized():
    attributes = torch.tensor([[0.0, 1.0], [torch.nan, -1.0], [1.0, torch.nan]])
    values, count = training_labels(Annotations(attributes=attributes, attribute_names=("a", "b")), "attributes")
    torch.testing.assert_close(values, torch.tensor([[0, 1], [torch.nan, 0], [1, torch.nan]]), equal_nan=True)
    assert count == 2


def test_wrong_options_are_refused(compose):
    with pytest.raises(UserError, match=r"model.supervision must be one of .*'groups'\], got 'persons'"):
        SupervisedAE(SHAPE, supervision="persons")
    with pytest.raises(UserError, match=r"model\.label_weight must be"):
        SupervisedAE(SHAPE, label_weight=0)
    with pytest.raises(UserError, match=r"model.supervision must be a kind of label of the data: \['classes'\], got"):
        train(compose(*QUICK, "model=supervised_ae", "model.supervision=groups", "trainer.max_epochs=1"))


def test_codes_of_images_with_the_same_class_are_nearer_than_with_the_linear_baseline(compose, tmp_path):
    folder = tmp_path / "run"
    train(compose(*QUICK, "model=supervised_ae", "trainer.max_epochs=12", folder=folder))
    run = autoencoders.load(folder)
    assert run.model.label_head.prototypes.shape == (10, 6)
    table = run.apply("retrieve").tables["retrieval"].set_index("method")["map"]
    assert list(table.index) == ["supervised_ae", "PCA-6", "whitened PCA-6", "LDA of PCA-6", "pixels", "chance"]
    assert table["supervised_ae"] > table["LDA of PCA-6"] + 0.05
    assert table["LDA of PCA-6"] > table["whitened PCA-6"]


def test_discriminants_have_the_identity_as_covariance_within_labels():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat(100)
    z = torch.randn(400, 5, generator=generator) @ torch.randn(5, 5, generator=generator) + 3 * labels[:, None].cos()
    labels[:7] = -1
    coordinates = fit_discriminants(z, labels)(z)
    known = labels >= 0
    expected = LinearDiscriminantAnalysis(solver="eigen").fit(z[known].numpy(), labels[known].numpy())
    torch.testing.assert_close(
        torch.cdist(coordinates, coordinates),
        torch.cdist(*[torch.from_numpy(expected.transform(z.numpy())).float()] * 2),
        rtol=0.02, atol=0.02,
    )  # fmt: skip
    centered = torch.cat([coordinates[labels == k] - coordinates[labels == k].mean(0) for k in range(4)])
    torch.testing.assert_close(centered.T @ centered / (len(centered) - 4), torch.eye(3), rtol=0.02, atol=0.02)
    assert coordinates.shape == (400, 3)
    assert math.isfinite(coordinates.sum())


def test_averaged_weights_have_the_prototypes(compose, tmp_path):
    words = [*QUICK, "model=supervised_ae", "callbacks=[default,ema]", "trainer.max_epochs=1"]
    train(compose(*words, folder=tmp_path / "run"))
    weights = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert weights["label_head.prototypes"].shape == (10, 6)
    assert weights["label_head.prototypes"].norm(dim=1).min() > 0


def test_a_checkpoint_of_a_trainer_is_loaded_without_the_data(tmp_path):
    data = DigitsDataModule(batch_size=256)
    model = SupervisedAE((1, 28, 28), latent_dim=4)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(model, data)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    x = data.take("test", 3).x
    for loaded in (SupervisedAE.load_from_checkpoint(tmp_path / "model.ckpt", weights_only=False),
                   autoencoders.load(tmp_path / "model.ckpt").model):  # fmt: skip
        torch.testing.assert_close(loaded.eval().encode(x), model.encode(x))
        torch.testing.assert_close(loaded.label_head.prototypes, model.label_head.prototypes)


def test_loading_a_head_draws_no_random_numbers():
    head, other = LabelHead(5), LabelHead(5)
    head.build(3)
    state = torch.get_rng_state()
    other.load_state_dict(head.state_dict())
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(other(torch.ones(2, 5)), head(torch.ones(2, 5)))
