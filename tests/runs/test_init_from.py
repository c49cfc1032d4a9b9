"""A new run that starts from the weights of another run."""

import json

import pytest
import torch

from autoencoders import train
from autoencoders.runs.loading import find_checkpoint
from autoencoders.runs.pretrained import pretrained_folder
from autoencoders.runs.references import load, load_weights
from autoencoders.types import UserError

WORDS = [
    *(
        "model=ae",
        "net=residual",
        "net.width=8",
        "net.blocks=1",
        "latent_dim=10",
        "trainer=cpu",
        "trainer.max_epochs=1",
    ),
    *("trainer.max_epochs=1", "trainer.limit_train_batches=2", "logger=none", "callbacks=checkpoint"),
]


@pytest.fixture(scope="module")
def trained(compose_into, tmp_path_factory):
    """Folder of a trained AE with `net=residual`, whose first weights are those of PCA."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    train.train(compose_into(*WORDS, folder=folder))
    return folder


@pytest.fixture
def start(run_command, tmp_path, trained):
    def run(*words):
        given = [] if any(word.startswith("init_from=") for word in words) else [f"init_from={trained}"]
        return run_command(train, *WORDS, *given, "hydra.run.dir=new", *words, cwd=tmp_path)

    return run


def test_a_run_starts_from_the_weights_of_another_with_any_schedule(start, trained, tmp_path):
    done = start("optimizer.lr=1e-30", "schedule=constant", "seed=7")
    assert done.returncode == 0, done.stderr
    before, after = load(trained).model.state_dict(), load(tmp_path / "new").model.state_dict()
    assert all(torch.allclose(before[name], after[name], rtol=0, atol=1e-20) for name in before if "metric" not in name)
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (trained, tmp_path / "new")]
    assert metrics[1]["test/mse"] == pytest.approx(metrics[0]["test/mse"], rel=1e-6)
    assert f"init_from: {trained}" in (tmp_path / "new/config.yaml").read_text()


def test_a_resume_continues_the_new_run_and_not_the_other(start, tmp_path):
    assert start("schedule=constant").returncode == 0
    first = torch.load(tmp_path / "new/checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert start("schedule=constant", "trainer.max_epochs=2", "resume=new").returncode == 0
    assert torch.load(tmp_path / "new/checkpoints/last.ckpt", weights_only=True)["global_step"] == 2 * first
    done = start("schedule=constant", "resume=new", "init_from=new")
    assert done.returncode == 2
    assert "init_from must not be set for a resumed run, whose weights are those of " in done.stderr


def test_other_weights_and_a_wrong_path_are_refused(start, trained, tmp_path):
    done = start("latent_dim=3")
    assert done.returncode == 2
    assert "init_from must contain weights of the same model for images of the same shape, but in " in done.stderr
    assert "has shape (10,) instead of shape (3,)" in done.stderr
    done = start("init_from=nowhere")
    assert done.returncode == 2
    assert "nowhere must be a checkpoint or a run folder" in done.stderr
    assert "data " not in done.stdout


def test_missing_weights_are_named(trained):
    model = load(trained).model
    model.extra = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(UserError, match=r"extra has no weights instead of shape \(2,\)"):
        load_weights(model, find_checkpoint(trained))


@pytest.mark.parametrize("form", ["name", "folder"])
def test_a_run_starts_from_an_export(run_command, tmp_path, form):
    reference = "pretrained:digits-vae-2" if form == "name" else str(pretrained_folder("digits-vae-2"))
    words = ["model=vae", "latent_dim=2", "net.widths=[192,96]", "train=false", "logger=none", "callbacks=checkpoint"]
    done = run_command(train, *words, "trainer=cpu", f"init_from={reference}", "hydra.run.dir=new", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    stated = load(reference).metrics["test/neg_elbo"]
    found = json.loads((tmp_path / "new/metrics.json").read_text())["test/neg_elbo"]
    assert found == pytest.approx(stated, abs=0.05)  # the stated value is that of float32 weights
    assert f"init_from: {reference}" in (tmp_path / "new/config.yaml").read_text()
