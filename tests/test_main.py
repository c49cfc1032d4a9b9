"""The console script: `autoencoders <command>`, which is `python -m autoencoders <command>`."""

import os
import subprocess
import sys

import pytest

from autoencoders import __version__


def run_main(*arguments):
    command = [sys.executable, "-m", "autoencoders", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_the_version_is_printed():
    assert run_main("--version").stdout == f"autoencoders {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "command must be one of train, apply, report, dashboard, completion, got 'trian'."),
        (["completion", "fish"], "completion must be followed by bash, got 'fish'."),
    ],
)
def test_wrong_commands_are_one_sentence_with_exit_status_2(arguments, message):
    done = run_main(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"autoencoders: {message}\n")


@pytest.mark.parametrize("module", ["autoencoders", "autoencoders train", "autoencoders.train"])
def test_help_into_a_closed_pipe_prints_no_traceback(module):
    name, *command = module.split()
    read, write = os.pipe()
    os.close(read)
    arguments = [sys.executable, "-m", name, *command, "--help"]
    done = subprocess.run(arguments, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert done.stderr == ""


def complete(line):
    """Return what bash offers for a command line, with the cursor at its end."""
    script = f"""
        eval "$({sys.executable} -m autoencoders completion bash)"
        COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE)
        [[ "$COMP_LINE" == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _autoencoders_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=120).stdout.split()


def test_bash_completes_commands():
    assert complete("autoencoders tr") == ["train"]
    assert {"train", "apply", "report", "dashboard"} <= set(complete("autoencoders "))


def test_bash_completes_options_of_a_command():
    assert {"model=ae", "model=vae", "model=cvae"} <= set(complete("autoencoders train model="))
    assert "trainer.max_epochs=" in complete("autoencoders train model=vae trainer.max_ep")
