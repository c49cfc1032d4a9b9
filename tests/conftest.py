"""Fixtures of all tests: composed configurations, data and trained runs, without network access."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# The workers of pytest share the cores. With more threads, commands that the tests start wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported

import torch
from composing import composed

os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("WANDB_SILENT", "true")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def seeded():
    """Seed torch, so that results do not depend on the order of the tests, and forget the seed of Lightning."""
    torch.manual_seed(0)
    yield
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):  # `seed_everything` sets them
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def compose_into():
    """`compose_into("model=vae", ..., folder=...)`: see `composed`."""
    return composed


@pytest.fixture
def compose(tmp_path):
    """`compose("model=vae", ...)`: see `composed`; the folder is a temporary one."""
    return lambda *overrides, folder=tmp_path / "run": composed(*overrides, folder=folder)


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory):
    """The run folder of a classifier of digits with 8 x 8 pixels."""
    from autoencoders.train import train

    folder = tmp_path_factory.mktemp("classifier") / "run"
    words = ["model=classifier", "data=digits", "data.size=8", "data.shift=0", "net.width=16", "trainer=cpu"]
    words += ["trainer.max_epochs=6", "logger=none", "callbacks=[default]"]
    train(composed(*words, folder=folder))
    return folder


@pytest.fixture
def run_command(monkeypatch, capfd):
    """`run_command(module, *arguments, cwd=...)`: run a command in this process, which has loaded the libraries."""
    from hydra.core.global_hydra import GlobalHydra

    def run(module, *arguments, cwd):
        monkeypatch.setattr(sys, "argv", [module.__name__, *arguments])
        monkeypatch.chdir(cwd)
        GlobalHydra.instance().clear()
        capfd.readouterr()
        code = 0
        try:
            module.main()
        except SystemExit as stop:
            code = stop.code
        finally:
            GlobalHydra.instance().clear()
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(sys.argv, code, out, err)

    return run


@pytest.fixture(scope="session")
def digits():
    """The default data, after `setup`."""
    from autoencoders.data.digits import DigitsDataModule

    data = DigitsDataModule(name="digits", batch_size=32)
    data.setup()
    return data


@pytest.fixture(scope="session")
def mnist_root():
    """The folder with MNIST files. The test is skipped if there is none."""
    root = os.environ.get("AUTOENCODERS_DATA")
    if root is None or not Path(root, "MNIST", "raw", "train-images-idx3-ubyte").is_file():
        pytest.skip("AUTOENCODERS_DATA names no folder with MNIST/raw/")
    return Path(root)
