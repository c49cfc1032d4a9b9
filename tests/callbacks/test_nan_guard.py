"""Trainings that stop being finite, each in its own way."""

import csv
import json
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from autoencoders.callbacks.nan_guard import NaNGuard
from autoencoders.callbacks.nan_report import first_failure
from autoencoders.data.datamodule import ImageDataModule
from autoencoders.models.classifier import Classifier
from autoencoders.models.vae import VAE
from autoencoders.runs import loading
from autoencoders.train import train
from autoencoders.types import Batch, UserError

TINY = ["model=vae", "net.widths=[16]", "trainer=cpu", "logger=none", "test=false", "trainer.max_epochs=2"]
TINY += ["callbacks=[checkpoint,health]", "callbacks.nan_guard.every_n_steps=7", "data.batch_size=64"]  # 19 batches
NAN, INF = float("nan"), float("inf")


class NoGradient(torch.autograd.Function):
    """What it is given, with a gradient of NaN."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * NAN


SPOIL = {
    "distortion": lambda terms: terms._replace(distortion=terms.distortion * INF),
    "rate": lambda terms: terms._replace(rate=terms.rate * NAN),
    "extra": lambda terms: terms._replace(extra=terms.rate * NAN),
    "posterior": lambda terms: terms._replace(distortion=terms.distortion * NAN, rate=terms.rate * INF),
    "gradient": lambda terms: terms._replace(distortion=NoGradient.apply(terms.distortion)),
}


@pytest.fixture
def spoil(monkeypatch):
    """`seen = spoil(how, at)`: training batches as the model sees them, and the one numbered `at` goes wrong."""

    def spoilt(how, at):
        seen, terms = [], VAE.terms

        def wrong(self, batch, eps):
            found = terms(self, batch, eps)
            if self.training:
                seen.append(batch)
                found = SPOIL[how](found) if len(seen) == at else found
            return found

        monkeypatch.setattr(VAE, "terms", wrong)
        return seen

    return spoilt


def all_finite(checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    return all(tensor.isfinite().all() for tensor in state["state_dict"].values()) and state["epoch"] == 0


@pytest.mark.parametrize("how", SPOIL)
def test_the_guard_stops_names_the_term_and_keeps_batch_and_checkpoint(compose, tmp_path, spoil, how):
    seen, folder = spoil(how, 24), tmp_path / "run"
    with pytest.raises(UserError, match=r"at optimizer step 24 \(batch 5 of epoch 2\)") as raised:
        train(compose(*TINY, "corruption=gaussian_noise"))
    assert len(seen) <= 24 + 7
    told = json.loads((folder / "nan/failure.json").read_text())
    assert told["term"] == how
    kept = torch.load(folder / "nan/batch.pt", weights_only=True)
    for name, part in kept.items():
        assert torch.equal(part, getattr(seen[23], name)), name
    assert told["rows"] == seen[23].index.tolist()
    with (folder / "nan/steps.csv").open() as file:
        assert [row["batch"] for row in csv.DictReader(file)][-1] == "5"
    assert (folder / "figures/nan").is_dir()
    for name in ("last", "best"):
        assert all_finite(folder / f"checkpoints/{name}.ckpt")
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["error"]) == ("failed", str(raised.value))
    assert "optimizer.lr" in record["error"]
    assert "checkpoints/last.ckpt was saved before this step" in record["error"]


@pytest.mark.parametrize("options", [[], ["trainer.check_val_every_n_epoch=5"]])
def test_nonfinite_weights_of_the_last_step_are_not_saved(compose, tmp_path, spoil, options):
    """No loss after it tells."""
    spoil("gradient", 38)
    words = ["callbacks.nan_guard.every_n_steps=1000", *options]
    with pytest.raises(UserError, match=r"step 38 .batch 19 of epoch 2.: the gradient is not finite, but the loss is"):
        train(compose(*TINY, *words))
    assert all_finite(tmp_path / "run/checkpoints/last.ckpt")


def test_a_checkpoint_in_the_middle_of_an_epoch_is_not_written_either(compose, tmp_path, spoil):
    spoil("gradient", 10)
    words = ["+callbacks.each={_target_: lightning.pytorch.callbacks.ModelCheckpoint, save_top_k: -1}"]
    words += ["+callbacks.each.every_n_train_steps=5", "+callbacks.each.filename='{step}'"]
    words += [f"+callbacks.each.dirpath='{tmp_path}/each'", "callbacks.nan_guard.every_n_steps=1000"]
    with pytest.raises(UserError, match="optimizer step 10 "):
        train(compose(*TINY, *words))
    assert [path.name for path in Path(tmp_path, "each").iterdir()] == ["step=5.ckpt"]


def test_accumulated_gradients_are_traced_to_their_batch(compose, tmp_path, spoil):
    seen = spoil("gradient", 23)  # the 4th batch of epoch 2; 7 steps an epoch, the last of one batch
    with pytest.raises(UserError, match=r"step 9 \(batch 4 of epoch 2\)"):
        train(compose(*TINY, "trainer.accumulate_grad_batches=3"))
    assert torch.equal(torch.load(tmp_path / "run/nan/batch.pt", weights_only=True)["index"], seen[22].index)


def test_images_with_nan_are_reported(compose, tmp_path, monkeypatch):
    batch = ImageDataModule._batches

    def with_nan(self, split):
        batches = batch(self, split)
        batches.corruption = lambda images, draws: images / (draws.index != 77).view(-1, 1, 1, 1)  # 0 / 0
        batches.corruption.changes = True
        return batches

    monkeypatch.setattr(ImageDataModule, "_batches", with_nan)
    message = (
        r"images or labels of the batch contain NaN or infinity "
        r"\(1 of 64 images; indices in the training split: 77\)\. Repair"
    )
    with pytest.raises(UserError, match=message):
        train(compose(*TINY))
    kept = torch.load(tmp_path / "run/nan/batch.pt", weights_only=True)
    assert kept["index"][~kept["x"].flatten(1).isfinite().all(1)].tolist() == [77]


def test_a_loader_of_the_user_is_searched(compose, tmp_path, monkeypatch):
    def loader(self):
        images = torch.rand(128, 1, 28, 28)
        images[100] = INF
        rows = torch.arange(128).split(32)
        return DataLoader([Batch(images[i], images[i], None, i) for i in rows], batch_size=None)

    monkeypatch.setattr(ImageDataModule, "train_dataloader", loader)
    with pytest.raises(UserError, match="1 of 32 images; indices in the training split: 100"):
        train(compose(*TINY))
    assert torch.load(tmp_path / "run/nan/batch.pt", weights_only=True)["index"].tolist() == list(range(96, 128))


def test_a_learning_rate_that_is_far_too_high(compose, tmp_path):
    with pytest.raises(UserError, match=r"Lower optimizer.lr \(it is 1e\+30\), or set trainer.gradient_clip_val=1"):
        train(compose(*TINY, "optimizer.lr=1e30", "schedule=constant", "trainer.max_epochs=1"))
    assert not (tmp_path / "run/checkpoints").exists()


def test_classifier_is_checked_too(compose, tmp_path, monkeypatch):
    losses, terms = [], Classifier.terms

    def wrong(self, batch):
        loss, logits = terms(self, batch)
        if not self.training:
            return loss, logits
        losses.append(loss)
        return (loss * INF if len(losses) == 24 else loss), logits

    monkeypatch.setattr(Classifier, "terms", wrong)
    with pytest.raises(UserError, match=r"step 24 \(batch 5 of epoch 2\): the loss is not finite\. Lower optimizer.lr"):
        train(compose("model=classifier", "net=mlp", *TINY[1:]))
    with (tmp_path / "run/nan/steps.csv").open() as file:
        kept = [float(row["loss"]) for row in csv.DictReader(file)]
    assert kept[:-1] == pytest.approx([loss.mean().item() for loss in losses[19:23]], rel=1e-5)


def test_a_resumed_run_restores_its_sums(compose, tmp_path, spoil):
    train(compose(*TINY, "trainer.max_epochs=1", "schedule=constant"))
    spoil("rate", 5)
    with pytest.raises(UserError, match=r"step 24 \(batch 5 of epoch 2\): the rate"):
        train(compose(*TINY, "schedule=constant", "trainer.gradient_clip_val=1", f"resume='{tmp_path}/run'"))
    with (tmp_path / "run/nan/steps.csv").open() as file:
        assert all(0 < float(row["distortion"]) < 600 for row in csv.DictReader(file))


def test_earliest_failure_of_several_processes_is_reported():
    names, table = ("distortion", "rate", "loss"), torch.ones(2, 6, 4)
    table[1, 3:, 1] = NAN
    table[0, 4:, :3] = NAN
    found = first_failure(table, names, latest=20, weight="a")
    assert (found.term, found.number, found.weight, len(found.steps)) == ("rate", 18, None, 4)
    found = first_failure(torch.ones(2, 6, 4), names, 20, "a")
    assert (found.term, found.number, found.weight) == ("parameters", 20, "a")


def test_device_is_read_only_every_n_steps(compose, monkeypatch):
    checks = []
    monkeypatch.setattr(
        NaNGuard, "_check", lambda self, *_, weights=False: checks.append(weights) or self._restart(weights)
    )
    train(compose(*TINY, "trainer.max_epochs=1"))
    assert checks[:3] == [False, False, True]  # batches 7 and 14 of 19, then before validation


def test_saved_batch_can_be_passed_to_the_model(compose, tmp_path, spoil):
    spoil("rate", 24)
    with pytest.raises(UserError):
        train(compose(*TINY))
    run = loading.open_run(tmp_path / "run")
    kept = torch.load(tmp_path / "run/nan/batch.pt", weights_only=True)
    with torch.no_grad():
        assert run.model(kept["x"]).isfinite().all()
