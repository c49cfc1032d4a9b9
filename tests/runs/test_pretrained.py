"""The pretrained models of the package: files, cards, samples, and metrics on the data of the training."""

import hashlib
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open

import autoencoders
from autoencoders import apply
from autoencoders.runs.pretrained import FOLDER
from autoencoders.types import UserError

NAMES = ["cartoons-cvae", "digits-ae", "digits-cvae", "digits-vae-2", "mnist-classifier", "mnist-cvae", "mnist-vae-2"]
REPOSITORY = Path(__file__).resolve().parents[2]


def test_all_models_are_listed_and_small():
    assert autoencoders.list_pretrained() == NAMES
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 10_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_model_loads_without_its_data(name, monkeypatch, tmp_path):
    monkeypatch.setenv("AUTOENCODERS_DATA", str(tmp_path / "nothing"))
    run = autoencoders.load(f"pretrained:{name}")
    if name.endswith("classifier"):
        assert run.model.probabilities(torch.rand(2, *run.model.shape)).shape == (2, 10)
    elif name == "digits-ae":
        assert run.model.encode(torch.rand(2, *run.model.shape)).shape == (2, 10)
    else:
        code = re.search(r"```python\n(.*?)```", (FOLDER / name / "README.md").read_text(), re.DOTALL)[1]
        results: dict = {}
        exec(code, results)
        assert results["images"].shape == (16, *run.model.shape)
    assert not list(tmp_path.iterdir())
    assert any(key.startswith("test/") for key in run.metrics)


def test_the_page_states_the_numbers_of_the_models():
    page = (REPOSITORY / "docs/share.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (\w.*) \|$", page, re.MULTILINE))
    for name in NAMES:
        metrics = autoencoders.load(f"pretrained:{name}").metrics
        measured, baseline, size, _ = rows[name].split(" | ")
        stated = dict(part.rsplit(" ", 1) for part in [*measured.split(", "), baseline])
        for label, key in (("neg_elbo", "neg_elbo"), ("MSE", "mse"), ("PCA", "mse_pca"), ("accuracy", "accuracy")):
            if label in stated:
                tolerance = 0.005 if label == "neg_elbo" else 0.00005
                number = float(stated[label].replace(",", "").replace("\u2212", "-"))
                assert number == pytest.approx(metrics[f"test/{key}"], abs=1.02 * tolerance), (name, label)
        assert size == f"{sum(file.stat().st_size for file in (FOLDER / name).iterdir()):,}"


@pytest.mark.parametrize("name", NAMES)
def test_cards_and_types(name):
    folder = FOLDER / name
    card = (folder / "README.md").read_text()
    assert f'autoencoders.load("pretrained:{name}")' in card
    assert yaml.safe_load(card.split("---")[1])["license"] == "mit"
    assert "python -m autoencoders.train" in card
    for file, digest in re.findall(r"^\| `([^`]+)` \| [\d,]+ \| `(\w+)` \|$", card, re.MULTILINE):
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest
    nats = float(re.search(r"float16 change the loss by ([-+.\de]+) nats", card)[1])
    assert abs(nats) < 0.05
    with safe_open(folder / "weights.safetensors", "pt") as weights:
        for key in weights.keys():  # noqa: SIM118
            shape, dtype = weights.get_slice(key).get_shape(), weights.get_slice(key).get_dtype()
            if len(shape) > 1:
                assert dtype == ("F16" if math.prod(shape) >= 1024 else "F32"), key


@pytest.mark.parametrize("name", ["digits-ae", "digits-cvae", "digits-vae-2"])
def test_models_of_digits_have_their_metrics(name):
    run = autoencoders.load(f"pretrained:{name}")
    loss = float((run.codes("test").distortion.double() + run.codes("test").rate.double()).mean())
    key = "test/neg_elbo" if run.model.has_prior else "test/distortion"
    assert loss == pytest.approx(run.metrics[key], abs=0.05)
    assert run.metrics["test/mse"] < run.metrics["test/mse_pca"]


@pytest.mark.slow
def test_models_of_mnist_have_their_metrics(mnist_root):
    run = autoencoders.load("pretrained:mnist-cvae")
    loss = float((run.codes("test").distortion.double() + run.codes("test").rate.double()).mean())
    assert loss == pytest.approx(run.metrics["test/neg_elbo"], abs=0.05)
    options = {"classifier": "pretrained:mnist-classifier", "samples": 2, "measured": 10, "drawn": 500, "codes": 50}
    metrics = run.apply("evaluate", **options).metrics
    assert metrics["label accuracy/cvae"] > 0.9
    assert metrics["FID, samples/cvae"] < 0.2 * metrics["FID, samples/PCA-10"]


def test_a_pretrained_model_is_applied_by_name(run_command, tmp_path):
    done = run_command(apply, "run=pretrained:digits-vae-2", "application=traverse", "device=cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "runs/pretrained-digits-vae-2/figures").rglob("*.png"))


def test_wrong_names_are_refused():
    with pytest.raises(
        UserError, match=r"There is no pretrained model 'mnist-cvea'\. Did you mean pretrained:mnist-cvae"
    ):
        autoencoders.load("pretrained:mnist-cvea")


def test_the_list_needs_no_torch():
    script = "import sys, autoencoders; autoencoders.load; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, text=True, capture_output=True, timeout=60)
    assert done.stdout == "False\n"
