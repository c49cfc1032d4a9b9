"""Fixtures that write run folders with the files of a finished training."""

import copy
import csv
import json

import numpy as np
import pytest
import yaml
from PIL import Image

CONFIG = {
    "name": "vae-digits-z10-beta1",
    "seed": 0,
    "folder": "somewhere",
    "likelihood": {"_target_": "autoencoders.objectives.likelihoods.Bernoulli"},
    "latent_dim": {"size": 10},
    "beta": {"_target_": "autoencoders.objectives.beta_schedules.Constant", "value": 1},
    "data": {"_target_": "autoencoders.data.digits.DigitsDataModule", "name": "digits", "root": "/a/place", "seed": 0},
    "model": {
        "_target_": "autoencoders.models.vae.VAE",
        "name": "vae",
        "beta_schedule": {"_target_": "autoencoders.objectives.beta_schedules.Constant", "value": 1},
        "seed": 0,
    },
    "trainer": {"max_epochs": 8},
}
METRICS = {
    "val/neg_elbo": 101.0, "test/neg_elbo": 100.0, "test/distortion": 90.0, "test/rate": 10.0, "test/mse": 0.0125,
    "test/psnr": 19.03, "test/active_units": 10.0, "test/mse_pca": 0.0135, "test/mse_mean_image": 0.06,
}  # fmt: skip
DATA = {"name": "digits", "sha256": "4bf620c0", "shape": [1, 8, 8], "images": {"train": 80, "val": 9, "test": 11}}


def apply_changes(base, changes):
    """Return a copy of nested dicts with changes at dotted keys."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        *parents, last = key.split(".")
        node = result
        for parent in parents:
            node = node[parent]
        node[last] = value
    return result


@pytest.fixture
def make_run(tmp_path):
    """Return `make_run("a", {"test/mse": .01}, {"beta.value": 4}, overrides=[...])`, which writes a run folder."""

    def make(name, metrics=None, config=None, overrides=("model=vae",), **record):
        folder = tmp_path / "runs" / name
        (folder / "figures/samples").mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(apply_changes(CONFIG, config or {}), sort_keys=False))
        metadata = {"format": 2, "overrides": list(overrides), "status": "done", "data": DATA}
        metadata |= {"git_commit": "c0ffee", "device": "cpu"}
        (folder / "run.json").write_text(json.dumps(metadata | record))
        (folder / "metrics.json").write_text(json.dumps(METRICS | (metrics or {})))
        for step, gray in ((5, 60), (12, 200)):
            Image.fromarray(np.full((4, 6), gray, np.uint8)).save(folder / f"figures/samples/{step:06d}.png")
        return folder

    return make


@pytest.fixture
def add_curves():
    """Return `add_curves(folder)`, which writes a `metrics.csv` of two epochs."""

    def add(folder):
        (folder / "metrics.csv").write_text("epoch,step,val/neg_elbo,val/mse\n0,5,150,0.05\n1,12,101,0.0125\n")

    return add


@pytest.fixture
def add_table():
    """Return `add_table(folder, "reconstruct/errors", [{...}, ...])`, which writes a table of an application."""

    def add(folder, name, rows):
        file = folder / "tables" / f"{name}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return add


@pytest.fixture
def add_text():
    """Return `add_text(folder, "evaluate/protocol", "...")`, which writes a text of an application."""

    def add(folder, name, text):
        file = folder / "tables" / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return add
