"""Files made by somebody else: nothing in them runs, and nothing secret gets out. Every attack leaves a canary."""

import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import autoencoders
from autoencoders.runs import loading
from autoencoders.runs.run import load_codes
from autoencoders.train import train
from autoencoders.types import UserError

QUICK = ["model=vae", "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=2", "net.widths=[16]"]
QUICK += ["trainer.limit_val_batches=1", "trainer.limit_test_batches=1", "logger=none"]


class Bomb:
    """What a pickle runs when it is loaded: a file appears."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return (open, (self.canary, "w"))


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "code-ran"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    from composing import composed

    folder = tmp_path_factory.mktemp("finished") / "run"
    train(composed(*QUICK, "callbacks=checkpoint", folder=folder))
    return folder


def state_of(folder):
    return torch.load(folder / "checkpoints/best.ckpt", weights_only=True)


def test_the_test_pickle_executes_code_if_it_is_loaded(canary):
    pickle.loads(pickle.dumps(Bomb(canary)))
    assert canary.exists()


@pytest.mark.parametrize("kind", ["pickle", "zip", "beside weights", "legacy"])
def test_a_pickle_in_a_checkpoint_never_runs(finished, tmp_path, canary, kind):
    file = tmp_path / "hostile.ckpt"
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Bomb(canary)))
    elif kind == "zip":
        torch.save({"hyper_parameters": Bomb(canary)}, file)
    else:
        torch.save(state_of(finished) | {"extra": Bomb(canary)}, file, _use_new_zipfile_serialization=kind != "legacy")
    for asked in (loading.open_run, autoencoders.load, loading.newest_checkpoint):
        with pytest.raises(UserError, match="is not a checkpoint of this package"):
            asked(file)
    assert not canary.exists()


def test_resuming_a_hostile_folder_runs_nothing_of_its_best_checkpoint(compose, finished, tmp_path, canary):
    """`last.ckpt` is good and read with care; `best.ckpt` is what Lightning loads for the test, by itself."""
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    torch.save(state_of(folder) | {"extra": Bomb(canary)}, folder / "checkpoints/best.ckpt")
    words = [*QUICK, "callbacks=none", f"resume='{folder}'"]
    with pytest.raises((UserError, pickle.UnpicklingError)):
        train(compose(*words, folder=folder))
    assert not canary.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


TARGETS = {
    "a function": {"_target_": "os.system", "command": "touch {canary}"},
    "a loader of pickles": {"_target_": "joblib.load", "filename": "{pickle}"},
    "pandas": {"_target_": "pandas.read_pickle", "filepath_or_buffer": "{pickle}"},
    "a partial": {"_target_": "pathlib.Path.touch", "_args_": ["{canary}"], "_partial_": True},
    "positional": {"_target_": "builtins.open", "_args_": ["{canary}", "w"]},
    "not recursive": {"_target_": "autoencoders.models.vae.VAE", "_recursive_": False, "x": {"_target_": "os.system"}},
    "through a module": {"_target_": "autoencoders.runs.loading.Path.write_text", "_args_": ["{canary}", "x"]},
    "a writer of this package": {
        "_target_": "autoencoders.utils.json_files.write_json",
        "path": "{canary}",
        "content": {},
    },
    "a class that writes": {"_target_": "autoencoders.loggers.csv.MetricsCSVLogger", "path": "{canary}"},
    "an interpolation": {"_target_": "${oc.decode:os.system}", "command": "touch {canary}"},
    "a node made by a resolver": "${oc.create:{_target_: pathlib.Path.touch, _args_: ['{canary}']}}",
    "a secret": "${oc.env:HOME}",
}


@pytest.mark.parametrize("where", ["model.encoder", "model.beta_schedule", "data.corruption", "data", "model.schedule"])
@pytest.mark.parametrize("attack", TARGETS)
def test_targets_of_an_opened_run_are_those_of_this_package(finished, tmp_path, canary, attack, where):
    state = state_of(finished)
    bomb = tmp_path / "bomb.pkl"
    bomb.write_bytes(pickle.dumps(Bomb(canary)))
    text = json.dumps(TARGETS[attack]).replace("{canary}", str(canary)).replace("{pickle}", str(bomb))
    *parents, last = where.split(".")
    node = state["hyper_parameters"]
    for parent in parents:
        node = node[parent]
    node[last] = [{"deep": json.loads(text)}] if where == "model.schedule" else json.loads(text)
    file = tmp_path / "hostile.ckpt"
    torch.save(state, file)
    with pytest.raises(UserError, match=r"names the target|contains an interpolation"):
        loading.open_run(file)
    assert not canary.exists()


def test_an_exported_model_is_checked_like_a_checkpoint(finished, tmp_path, canary):
    from safetensors.torch import save_file

    from autoencoders.runs.exports import CONFIG, WEIGHTS

    state = state_of(finished)["hyper_parameters"]
    config = {k: v for k, v in state.items() if k not in ("format", "shape", "context")}
    config["model"]["beta_schedule"] = {"_target_": "pathlib.Path.touch", "_args_": [str(canary)]}
    (tmp_path / CONFIG).write_text(json.dumps({"format": 2, "shape": [1, 28, 28], "context": None, "config": config}))
    save_file({"x": torch.zeros(1)}, tmp_path / WEIGHTS)
    with pytest.raises(UserError, match="names the target"):
        autoencoders.load(tmp_path)
    assert not canary.exists()


@pytest.mark.parametrize("kind", ["objects", "a pickle", "no archive", "names missing"])
def test_unsafe_codes_are_computed_again(tmp_path, canary, kind):
    file = tmp_path / "train-0.npz"
    if kind == "objects":
        np.savez(file, z=np.array([Bomb(canary)], dtype=object))
    elif kind == "a pickle":
        file.write_bytes(pickle.dumps(Bomb(canary)))
    elif kind == "no archive":
        file.write_bytes(b"PK\x03\x04 and nothing more")
    else:
        np.savez(file, z=np.zeros(3))
    assert load_codes(file) is None
    assert not canary.exists()


def test_a_hostile_cache_of_images_is_not_unpickled(tmp_path, canary):
    from autoencoders.data.image_cache import cached_images

    def ask():
        options = {"cache": str(tmp_path), "memory": 1e9}
        return cached_images("x", ["x"], 2, (1, 8, 8), lambda store: store.fill(7), **options)

    ask()
    (file,) = tmp_path.rglob("*.npy")
    np.save(file, np.array([Bomb(canary)], dtype=object), allow_pickle=True)
    assert ask().images.unique().tolist() == [7]  # made again
    assert not canary.exists()


def test_yaml_that_builds_objects_is_only_read(tmp_path, run_command, canary):
    from autoencoders import report

    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"x: !!python/object/apply:builtins.open ['{canary}', 'w']\n")
    (folder / "run.json").write_text('{"format": 2, "status": "done"}')
    run_command(report, "runs=run", cwd=tmp_path)
    assert not canary.exists()
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load((folder / "config.yaml").read_text())


def test_a_flag_of_hydra_that_loads_a_pickle_is_refused(tmp_path, run_command, canary):
    from autoencoders import train as training

    (tmp_path / "bomb.pickle").write_bytes(pickle.dumps(Bomb(canary)))
    done = run_command(training, "--experimental-rerun", "bomb.pickle", cwd=tmp_path)
    assert done.returncode == 2
    assert "--experimental-rerun loads a pickle" in done.stderr
    assert not canary.exists()


HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>[a](javascript:alert(3))'


def test_a_report_of_a_hostile_folder_escapes_everything_and_follows_no_link(tmp_path, run_command):
    from autoencoders import report

    folder, secret = tmp_path / "run", tmp_path / "secret"
    (folder / "tables/reconstruct").mkdir(parents=True)
    secret.mkdir()
    (secret / "id_rsa.csv").write_text("key,value\nPRIVATE-KEY-OF-MINE,1\n")
    (secret / "metrics.json").write_text('{"PRIVATE-KEY-OF-MINE": 1}')
    Image.new("RGB", (8, 8), (1, 2, 3)).save(secret / "photo.png", pnginfo=None)
    config = {"name": HOSTILE, "model": {"name": HOSTILE}, "data": {"name": HOSTILE}, "latent_dim": {"size": HOSTILE}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    record = {
        "format": 2,
        "status": "failed",
        "error": HOSTILE,
        "overrides": [HOSTILE],
        "notes": [HOSTILE],
        "warnings": [HOSTILE],
    }
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "metrics.json").write_text(json.dumps({HOSTILE: 1.0, "test/mse": 0.1}))
    (folder / "metrics.csv").write_text(f'step,"{HOSTILE.replace(chr(34), chr(34) * 2)}"\n1,2\n')
    cell = HOSTILE.replace('"', '""')
    (folder / "tables/reconstruct/errors.csv").write_text(f'method,"{cell}"\n"{cell}","{cell}"\n')
    (folder / "tables/reconstruct/leak.csv").symlink_to(secret / "id_rsa.csv")
    kind = folder / "figures" / HOSTILE.replace("/", "_")
    kind.mkdir(parents=True)
    Image.new("RGB", (8, 8), (9, 9, 9)).save(kind / "000001.png")
    (folder / "figures/linked").mkdir()
    (folder / "figures/linked/000001.png").symlink_to(secret / "photo.png")
    pages = {}
    for form in ("html", "md"):
        done = run_command(report, "runs=run", f"format={form}", f"out=page.{form}", f"title={HOSTILE}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        pages[form] = re.sub(r"(?ms)^(```+)bash.*?^\1$", "", (tmp_path / f"page.{form}").read_text())  # code is shown
    for page in pages.values():
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "PRIVATE-KEY-OF-MINE" not in page
        assert "linked" not in page
    assert "Content-Security-Policy" in pages["html"]
    assert 'href="javascript:' not in pages["html"]
    assert "](javascript:" not in pages["md"].replace("\\](", "")


@pytest.mark.slow
def test_no_secret_of_the_environment_is_in_a_run(tmp_path):
    """A key, a token in a git remote: neither is in any file of the run, W&B's included."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    remote = "https://me:ghp_TOKENTOKEN@example.org/x.git"
    subprocess.run([*git, "remote", "add", "origin", remote], cwd=tmp_path, check=True)
    secrets = {"WANDB_API_KEY": "5ecret" + "0" * 34, "AWS_SECRET_ACCESS_KEY": "hush-hush-hush"}
    words = [*QUICK[:-1], "callbacks=checkpoint", "logger=[wandb,csv]", "hydra.run.dir=run"]
    environment = {**os.environ, **secrets, "WANDB_MODE": "offline"}
    command = [sys.executable, "-m", "autoencoders.train", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    needles = [value.encode() for value in (*secrets.values(), "ghp_TOKENTOKEN")]
    held = [(file, needle) for file in (tmp_path / "run").rglob("*") if file.is_file()
            for needle in needles if needle in contents(file)]  # fmt: skip
    assert held == []


def contents(file):
    """A file's bytes, unpacked where it is an archive."""
    raw = file.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            raw += b"".join(archive.read(name) for name in archive.namelist())
    return raw
