"""SIGKILL at random points: a command that is run again ends as if it had not been killed."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from injection import Point, is_checkpoint, run_command, write_half
from matplotlib.figure import Figure
from PIL import Image

from autoencoders import apply, report, train
from autoencoders.data import image_io
from autoencoders.loggers.wandb import WandbMediaLogger
from autoencoders.models.vae import VAE
from autoencoders.training import pipeline
from autoencoders.utils.startup import load_heavy_libraries

pytestmark = pytest.mark.slow

WORDS = ["model=vae", "net.widths=[32]", "trainer=cpu", "data.batch_size=64", "trainer.max_epochs=3", "beta=warmup"]
WORDS += ["callbacks.last_checkpoint.every_n_steps=7", "callbacks.health.every_n_epochs=0", "callbacks.latents=null"]
WORDS += ["callbacks.samples.every_n_epochs=1", "callbacks.reconstructions.every_n_epochs=1"]
POINTS = {
    "a training step": (Point(VAE, "training_step"), 10),
    "validation": (Point(VAE, "validation_step"), 6),
    "a figure": (Point(Figure, "savefig"), 6),
    "writing a checkpoint": (Point(Path, "write_bytes", is_checkpoint, write_half), 10),
    "logging to W&B": (Point(WandbMediaLogger, "log_metrics"), 4),
    "decoding images into the cache": (Point(image_io, "read_image"), 4),
}
SWEEP_KILLS, APPLY_KILLS, REPORT_KILLS = 4, 4, 4


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """Import the libraries once, before processes are forked. This process does not train."""
    load_heavy_libraries()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with 200 pictures in two classes."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(200):
        file = folder / "ab"[i % 2] / f"{i:03}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(file)
    return folder


def words_of(name, pictures, cache):
    """Return the words of the command that is killed at a point."""
    words = [*WORDS, "resume=auto", "hydra.run.dir=run"]
    if name == "decoding images into the cache":
        return [*words, "data=folder", f"data.path={pictures}", "data.size=16", f"data.cache={cache}", "net=mlp",
                "net.widths=[32]", "logger=none"]  # fmt: skip
    return [*words, "logger=none"] if name != "logging to W&B" else words


def weights(run, name):
    return torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]


def assert_equal_runs(expected, run):
    """Compare the results of two runs: weights, metrics and the files of figures."""
    for name in ("last", "best"):
        first, second = weights(expected, name), weights(run, name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    assert (expected / "metrics.csv").read_text() == (run / "metrics.csv").read_text()
    assert json.loads((expected / "metrics.json").read_text()) == json.loads((run / "metrics.json").read_text())
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    figures = [sorted(f.relative_to(r) for f in (r / "figures").rglob("*.png")) for r in (expected, run)]
    assert figures[0] == figures[1]
    assert not [file for file in run.rglob("*.partial") if file.is_file()]


@pytest.mark.parametrize("name", POINTS)
def test_a_run_killed_at_a_random_point_ends_as_if_it_had_not_been(name, pictures, tmp_path, report_fault):
    point, times = POINTS[name]
    chance, calls = random.Random(name), tmp_path / "calls"
    counting = lambda: point.count(calls)  # noqa: E731
    assert run_command(train, words_of(name, pictures, tmp_path / "cache"), tmp_path / "whole", tmp_path / "log",
                       counting) == 0, (tmp_path / "log").read_text()  # fmt: skip
    total, equal = calls.stat().st_size, 0
    for i in range(times):
        folder, number = tmp_path / str(i), chance.randint(1, total)
        words = words_of(name, pictures, tmp_path / f"cache{i}")
        code = run_command(train, words, folder, folder.with_suffix(".log"), lambda n=number: point.kill(n))
        assert code == -9, (number, total)
        code = run_command(train, words, folder, folder.with_suffix(".log"))
        assert code == 0, folder.with_suffix(".log").read_text()
        assert_equal_runs(tmp_path / "whole/run", folder / "run")
        equal += 1
    report_fault(f"SIGKILL during {name}", times, f"{equal} equal endings")


def test_a_sweep_killed_between_jobs_or_in_a_job_gives_the_same_table(tmp_path, report_fault):
    words = ["-m", *WORDS, "logger=none", "beta=0.5,4", "seed=0,1", "hydra.sweep.dir=sweep"]
    assert run_command(train, words, tmp_path / "whole", tmp_path / "log") == 0, (tmp_path / "log").read_text()
    table = results_of(tmp_path / "whole/sweep")
    points = [Point(pipeline, "train_run"), Point(VAE, "validation_step")]
    for i in range(SWEEP_KILLS):
        folder, point = tmp_path / str(i), points[i % 2]
        number = 2 + i // 2 if i % 2 == 0 else 5 + 2 * i
        assert run_command(train, words, folder, tmp_path / "log", lambda p=point, n=number: p.kill(n)) == -9
        assert run_command(train, words, folder, tmp_path / "log") == 0, (tmp_path / "log").read_text()
        pd.testing.assert_frame_equal(results_of(folder / "sweep"), table)
    report_fault("SIGKILL during a sweep", SWEEP_KILLS, f"{SWEEP_KILLS} equal tables")


def results_of(sweep):
    """Return the table of a sweep without notes and times."""
    table = pd.read_csv(sweep / "sweep.csv")
    return table.drop(columns=[name for name in table if name == "reason" or "seconds" in name])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    words = [*WORDS, "logger=none", "hydra.run.dir=run"]
    assert run_command(train, words, folder, folder / "log") == 0, (folder / "log").read_text()
    return folder / "run"


@pytest.mark.parametrize("kind", ["apply", "report"])
def test_a_killed_application_or_report_is_repeated_with_an_equal_result(kind, trained, tmp_path, report_fault):
    times = APPLY_KILLS if kind == "apply" else REPORT_KILLS
    module = apply if kind == "apply" else report
    words = ["run=run", "application=[reconstruct,sample]"] if kind == "apply" else ["runs=[run]", "out=report.html"]
    replace = Point(Path, "replace")
    calls = tmp_path / "calls"
    before = content_of(trained)

    def copy(name):
        shutil.copytree(trained, tmp_path / name / "run")
        return tmp_path / name

    assert run_command(module, words, copy("whole"), tmp_path / "log", lambda: replace.count(calls)) == 0, (
        tmp_path / "log"
    ).read_text()
    expected = content_of(tmp_path / "whole")
    chance = random.Random(kind)
    for i in range(times):
        folder, number = copy(str(i)), chance.randint(1, calls.stat().st_size)
        assert run_command(module, words, folder, tmp_path / "log", lambda n=number: replace.kill(n)) == -9
        kept = content_of(folder / "run")
        assert {name: kept[name] for name in before} == before, "the run has changed"
        assert run_command(module, words, folder, tmp_path / "log") == 0, (tmp_path / "log").read_text()
        assert content_of(folder) == expected
    report_fault(f"SIGKILL during `autoencoders.{kind}`", times, f"{times} equal results, the run unchanged")


def content_of(folder):
    """Return the content of all files of a folder; for HTML, which contains the time, only whether it is complete."""
    files = {file.relative_to(folder): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    return {
        name: data.rstrip().endswith(b"</html>") if name.suffix == ".html" else data for name, data in files.items()
    }
