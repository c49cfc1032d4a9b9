"""The console command `autoencoders`, or `python -m autoencoders`."""

import os
import subprocess
import sys

import pytest

from autoencoders import __version__

MAIN = [sys.executable, "-m", "autoencoders"]


def run(*arguments, **options):
    return subprocess.run([*MAIN, *arguments], capture_output=True, text=True, timeout=120, **options)


def test_version():
    assert run("--version").stdout == f"autoencoders {__version__}\n"


@pytest.mark.parametrize(("arguments", "message"), [(["fit"], "got 'fit'"), (["completion", "zsh"], "got 'zsh'")])
def test_a_wrong_command_is_one_sentence(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("autoencoders: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    ["autoencoders --help", "autoencoders train --help", "autoencoders.train --help", "autoencoders.train --cfg job"],
)
def test_a_closed_pipe_ends_a_command_without_a_message(arguments, unbuffered):
    command = f"{sys.executable} -m {arguments} | head -1"
    environment = {"PYTHONUNBUFFERED": unbuffered}
    done = run_bash(command, environment)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1


def run_bash(script, environment=None):
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=120, env={**os.environ, **(environment or {})}
    )


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("autoencoders tr", "train"),
        ("autoencoders completion ", "bash"),
        ("autoencoders train data=digits model=c", "classifier cvae"),
        ("autoencoders train trainer.max_", "trainer.max_epochs= trainer.max_steps="),
        ("/usr/bin/autoencoders apply application=re", "reconstruct restore retrieve"),
    ],
)
def test_bash_completion(line, completions):
    script = (
        f'eval "$({sys.executable} -m autoencoders completion bash)"\n'
        f"COMP_LINE='{line}'; COMP_POINT={len(line)}; _autoencoders_completion; echo \"${{COMPREPLY[*]}}\""
    )
    done = run_bash(script)
    assert done.stdout.strip() == completions, done.stderr


@pytest.mark.slow
def test_training_with_two_processes_and_in_a_sweep(tmp_path):
    options = ["model=vae", "net.widths=[8]", "latent_dim=2", "trainer.max_epochs=1", "callbacks=none", "logger=none"]
    options += ["trainer.limit_train_batches=2", "test=false"]
    done = run("train", *options, "trainer=ddp_cpu", "hydra.run.dir=two", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("train", "-m", *options, "trainer=cpu", "beta=1,2", "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "two/metrics.json").is_file()
    assert len(list(tmp_path.glob("sweep/*/metrics.json"))) == 2
