"""Environment variables of launchers: those of a real launcher are used, all others are ignored."""

import json
import os
import subprocess
import sys

import pytest

from autoencoders import apply
from autoencoders.utils import launchers

TORCHRUN = {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a",
            "MASTER_PORT": "1"}  # fmt: skip
SRUN = {"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2", "SLURM_PROCID": "1",
        "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}  # fmt: skip
BATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
ONE, TWO_NODES = {"num_nodes": 1}, {"num_nodes": 2}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """`environment(**variables)`: only these variables about ranks exist."""
    known = {*launchers.TORCH, launchers.STARTED_BY, *SRUN, *launchers.REQUIRED["jsrun"]}

    def replace(**variables):
        for name in known:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    replace()
    return replace


@pytest.mark.parametrize(
    ("variables", "trainer", "launcher"),
    [
        ({}, ONE, None),
        (TORCHRUN, ONE, "torchrun"),
        ({**TORCHRUN, "TORCHELASTIC_RUN_ID": ""}, ONE, None),
        (SRUN, ONE, "srun"),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, ONE, None),
        (BATCH, ONE, None),  # a batch script that requests two tasks, and starts the command without srun
        ({launchers.STARTED_BY: str(os.getppid()), "RANK": "1"}, ONE, "autoencoders"),
        ({launchers.STARTED_BY: "1", "RANK": "1"}, ONE, None),  # a command that a callback of rank one has started
        ({"NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, TWO_NODES, "user"),
        ({"NODE_RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, ONE, None),
    ],
)
def test_launchers_are_told_from_leftover_variables(variables, trainer, launcher, environment, capsys):
    environment(**variables)
    assert launchers.detect_launcher(trainer["num_nodes"]) == launcher
    launchers.ignore_leftovers(trainer)
    kept = {name: os.environ[name] for name in variables if name in os.environ}
    if launcher is None:
        assert not {"RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"} & kept.keys()
        assert kept.get("SLURM_PROCID", "0") == "0"
    else:
        assert kept == variables
    assert ("warning" in capsys.readouterr().err) == (kept != variables and "RANK" in str(variables))


@pytest.mark.slow
def test_leftover_variables_do_not_silence_a_run(tmp_path):
    variables = {"RANK": "1", "LOCAL_RANK": "x", "SLURM_PROCID": "1", "WORLD_SIZE": "2", "NODE_RANK": "1"}
    words = ["model=pca", "trainer=cpu", "callbacks=none", "logger=none", "hydra.run.dir=run"]
    done = subprocess.run(
        [sys.executable, "-m", "autoencoders.train", *words],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "test" in done.stdout
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "done"
    assert (tmp_path / "run/metrics.json").is_file()
    for name, value in variables.items():
        assert f"{name}={value}" in done.stderr


def test_apply_needs_one_process(run_command, tmp_path, environment):
    environment(**TORCHRUN)
    done = run_command(apply, "run=runs/x", "application=sample", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "autoencoders: autoencoders apply needs one process, got 2. Start the command without"
    )
