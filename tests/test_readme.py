"""The commands of the README run, and its links exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from autoencoders import apply, report, train
from autoencoders.config.compose import config_groups

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.partition(" #")[0].strip() for block in BLOCKS for line in block.splitlines()]
TRAIN = [c.partition("autoencoders.train")[2].strip() for c in COMMANDS if "-m autoencoders.train" in c]
APPLY = [c.partition("autoencoders.apply")[2].strip() for c in COMMANDS if "-m autoencoders.apply" in c]
REPORT = [c.partition("autoencoders.report")[2].strip() for c in COMMANDS if "-m autoencoders.report" in c]
MAKE = [c for c in COMMANDS if c.startswith("make ")]


@pytest.mark.parametrize("words", [pytest.param(w, marks=pytest.mark.slow if "data=lfw" in w else ()) for w in TRAIN])
def test_training_commands_run(words, run_command, tmp_path):
    words = shlex.split(words)
    for name, folder in (("data=mnist", "MNIST/raw"), ("data=lfw", "lfw")):
        if name in words and not os.path.isdir(os.path.join(os.environ.get("AUTOENCODERS_DATA", ""), folder)):
            pytest.skip(f"AUTOENCODERS_DATA names no folder with {folder}/")
    short = []
    if "--help" not in words:
        short = ["trainer.max_epochs=1", "trainer.limit_train_batches=2"]
        short += [] if any("logger=" in word for word in words) else ["logger=none"]
        short += [] if any("callbacks=" in word for word in words) else ["callbacks=progress"]
        short += ["application@after_fit=none"] if any("experiment=" in word for word in words) else []
    if "hydra/launcher=joblib" in words:  # starts processes of its own
        command = [sys.executable, "-m", "autoencoders.train", *words, *short]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    else:
        done = run_command(train, *words, *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_apply_commands_run(run_command, tmp_path):
    words = ["model=vae", "latent_dim=10", "trainer.max_epochs=1", "logger=none", "callbacks=checkpoint"]
    assert run_command(train, *words, "hydra.run.dir=runs/digits", cwd=tmp_path).returncode == 0
    words = ["model=classifier", "trainer.max_epochs=1", "logger=none", "callbacks=checkpoint"]
    assert run_command(train, *words, "hydra.run.dir=runs/classifier", cwd=tmp_path).returncode == 0
    assert len(APPLY) >= 4
    for words in APPLY:
        done = run_command(apply, *shlex.split(words), cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_report_commands_run(run_command, tmp_path):
    for name in ("digits", "ae"):
        folder = tmp_path / "runs" / name
        (folder / "figures/samples").mkdir(parents=True)
        (folder / "config.yaml").write_text("{model: {name: vae}, data: {name: digits}}")
        (folder / "run.json").write_text('{"format": 2, "status": "done"}')
        (folder / "metrics.json").write_text('{"test/neg_elbo": 98, "test/mse": 0.01, "test/active_units": 2}')
        (folder / "figures/samples/000001.png").write_bytes((REPOSITORY / "docs/cvae-mnist-samples.png").read_bytes())
    assert len(REPORT) >= 3
    for words in REPORT:
        done = run_command(report, *shlex.split(words), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert {"report.html", "two.html", "report.md", "report_figures"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("command", MAKE)
def test_make_targets_exist(command):
    target = command.split()[1]
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def test_every_option_is_named():
    missing = [f"{g}={o}" for g, options in config_groups().items() for o in options if f"`{o}`" not in README]
    assert missing == []


def test_no_placeholder_remains():
    assert re.findall(r"\b[A-Z]{3,}_[A-Z_]{3,}\b", README.replace("AUTOENCODERS_DATA", "")) == []


def test_links_exist():
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in t]
    assert [t for t in targets if not (REPOSITORY / t).exists()] == []
    assert any(t.endswith(".png") for t in targets)
