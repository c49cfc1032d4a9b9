"""The door that asks: paths of any spelling, what it writes, what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from autoencoders import apply
from autoencoders.train import train
from autoencoders.types import UserError

ODD = "a run, with [brackets] = 'quotes' (1)"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small trained VAE in a folder of an unlucky name."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from autoencoders.config.compose import CONF

    folder = tmp_path_factory.mktemp("runs") / ODD
    words = ["model=vae", "net.widths=[32]", "trainer.max_epochs=1", "callbacks=[checkpoint]", "logger=none"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*words, "latent_dim=3"])
    plain = OmegaConf.to_container(config, resolve=False)
    plain["folder"] = str(folder)
    train(OmegaConf.to_container(OmegaConf.create(plain), resolve=True))
    return folder


def asked(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "autoencoders.apply", *words], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_it_writes_figures_tables_and_numbers_into_the_runs_folder(run):
    done = asked(f"run={run}", "application=reconstruct", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(run / "tables/reconstruct/errors.csv")
    assert table["method"].tolist() == ["vae", "PCA-3", "mean image"]
    metrics = json.loads((run / "tables/reconstruct/metrics.json").read_text())
    final = json.loads((run / "metrics.json").read_text())
    assert metrics["mse/vae"] == pytest.approx(final["test/mse"], rel=1e-5)
    assert (
        metrics["mse/mean image"] == pytest.approx(final["test/mse_mean_image"], rel=1e-5)
        if final.get("test/mse_mean_image")
        else metrics["mse/mean image"] > 0
    )
    assert len(list((run / "figures/reconstruct").glob("*/*.png"))) == 2
    assert "PCA-3" in done.stdout
    assert sorted(p.name for p in run.parent.iterdir()) == [run.name]  # nothing lies about


def test_own_pictures_are_shown(run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    for name in ("one", "two"):
        Image.fromarray(pixels).save(tmp_path / f"{name}, [x].png")
    words = [f"run={run}", "application=reconstruct", f"folder={tmp_path / 'out=here'}"]
    done = asked(*words, f"images={tmp_path}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out=here/figures/reconstruct").glob("*/*.png"))) == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run={tmp}"], "neither a checkpoint nor the folder of a run"),
        (["run={tmp}/other.ckpt"], "is not a checkpoint of a run of this package"),
        (["run={run}", "images={tmp}/none.png"], "there is no"),
        (["run={run}", "images={tmp}/broken.png"], "image files cannot be read"),
        (["run={run}", "split=all"], "split must be train, val or test"),
        (["run={run}", "application.reconstruct.count=two"], "count must be a number, got 'two'"),
        (["run={run}", "application.reconstruct.count=null"], "count must be a whole number, got None"),
    ],
)
def test_bad_input_is_one_sentence(run, run_command, tmp_path, words, sentence):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    words = [word.format(tmp=tmp_path, run=run) for word in words]
    done = run_command(apply, *words, "application=reconstruct", f"folder={tmp_path}/out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_attribute_is_refused_with_those_there_are():
    from autoencoders.types import Annotations

    with pytest.raises(UserError, match=r"have no attribute 'Hat'\. They have: Male, Smiling"):
        Annotations(attributes=torch.zeros(1, 2), attribute_names=("Male", "Smiling")).attribute("Hat")
