"""The same seed, the same weights: in two processes, and with what Lightning's `deterministic` asks for."""

import os
import subprocess
import sys

import pytest
import torch

from autoencoders.train import train

QUICK = ["model=cvae", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=4", "logger=none"]
QUICK += ["trainer.limit_val_batches=1", "test=false", "callbacks=none", "data.size=12", "seed=7"]
NETS = {"conv": ["net=conv", "net.width=4", "model.join=every_layer"], "mlp": ["net=mlp", "net.widths=[32]"]}


def weights(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.slow
@pytest.mark.parametrize("net", ["conv", "mlp"])
def test_two_processes_compute_equal_weights(compose, tmp_path, net):
    words = [*QUICK, *NETS[net]]
    done = subprocess.run(
        [sys.executable, "-m", "autoencoders.train", *words, "hydra.run.dir=command"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    train(compose(*words))
    train(compose(*words, "seed=8", folder=tmp_path / "other"))
    assert same(weights(tmp_path / "command"), weights(tmp_path / "run"))
    assert not same(weights(tmp_path / "other"), weights(tmp_path / "run"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], (False, False)), (["deterministic=true"], (True, False)), (["deterministic=warn"], (True, True)),
     (["deterministic=true", "trainer.deterministic=false"], (False, False))],
)  # fmt: skip
def test_deterministic_holds_within_the_fit_and_not_after(compose, monkeypatch, words, expected):
    from autoencoders.models.vae import VAE

    seen = []
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)

    def look(self):
        algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
        seen.append((algorithms, os.environ.get("CUBLAS_WORKSPACE_CONFIG")))

    monkeypatch.setattr(VAE, "on_train_start", look, raising=False)
    train(compose(*QUICK, *NETS["mlp"], *words))
    assert seen == [(expected, ":4096:8" if expected[0] else None)]
    assert not torch.are_deterministic_algorithms_enabled()
    assert not {"CUBLAS_WORKSPACE_CONFIG", "PL_GLOBAL_SEED"} & set(os.environ)
