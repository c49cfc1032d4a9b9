"""Commands whose terminal, pipe or disk does not accept their output, and commands with bad environment variables."""

import importlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from autoencoders import train
from autoencoders.loggers.wandb import WandbMediaLogger

WORDS = ["model=vae", "net.widths=[16]", "trainer=cpu", "data.batch_size=64", "trainer.max_epochs=2", "test=false",
         "trainer.limit_train_batches=3", "callbacks=[checkpoint,progress]"]  # fmt: skip
FIGURE = "+callbacks.samples={_target_: autoencoders.callbacks.samples.Samples}"
BAD_FOLDER = "/dev/null/folder"


def start(*words, cwd, module="autoencoders.train", **options):
    environment = {**os.environ, **options.pop("environment", {})}
    return subprocess.Popen([sys.executable, "-m", module, *words], cwd=cwd, env=environment, **options)


def record(folder):
    return json.loads((folder / "run.json").read_text())


def close_streams():
    for descriptor in (0, 1, 2):
        os.close(descriptor)


# Training -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_training_without_a_terminal_goes_on_to_its_end(tmp_path):
    """Two commands run side by side: stdin is closed and stdout is a closed pipe, and a terminal that disappears."""
    bad = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "COLUMNS": "0"}
    piped = start(
        *WORDS, FIGURE, "logger=none", "hydra.run.dir=piped", cwd=tmp_path, environment=bad, text=True,
        preexec_fn=lambda: os.close(0), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    terminal, other_end = pty.openpty()
    lost = start(
        *WORDS, "logger=none", "trainer.max_epochs=20", "hydra.run.dir=lost", cwd=tmp_path,
        environment={"TERM": "xterm"}, stdin=other_end, stdout=other_end, stderr=other_end,
    )  # fmt: skip
    os.close(other_end)
    read_until(terminal, "2/20")
    os.close(terminal)
    assert piped.stdout.readline().startswith("vae-digits")
    piped.stdout.close()
    assert piped.stderr.read() == ""
    assert [process.wait(120) for process in (piped, lost)] == [0, 0]
    for name in ("piped", "lost"):
        assert record(tmp_path / name)["status"] == "done"
        assert (tmp_path / name / "metrics.json").is_file()
    assert list(tmp_path.glob("piped/figures/samples/*.png"))
    assert record(tmp_path / "lost")["epochs"] == 20


def read_until(terminal, text, limit=120):
    """Read the output of a terminal until it contains a text. Return the output."""
    output, began = "", time.monotonic()
    while text not in output:
        assert time.monotonic() - began < limit, output
        if select.select([terminal], [], [], 1)[0]:
            output += os.read(terminal, 65536).decode(errors="replace")
    return output


@pytest.mark.slow
def test_a_killed_command_and_a_closed_terminal(tmp_path):
    """The cursor stays visible, and a run whose terminal is closed has a checkpoint."""
    words = [*WORDS, "logger=none", "trainer.max_epochs=2000", "schedule=constant"]
    command = [sys.executable, "-m", "autoencoders.train", *words]
    for name, end in (("killed", signal.SIGKILL), ("closed", None)):
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(tmp_path)
            os.environ["TERM"] = "xterm"
            os.execv(sys.executable, [*command, f"hydra.run.dir={name}"])
        output = read_until(terminal, "\x1b[2K")  # the live display draws its second state
        if end is not None:
            os.kill(child, end)
        os.close(terminal)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (128 + signal.SIGHUP if end is None else -end)
        assert "\x1b[?25l" not in output
    assert record(tmp_path / "closed")["status"] == "stopped"
    assert (tmp_path / "closed/checkpoints/last.ckpt").is_file()


@pytest.mark.slow
def test_a_sweep_without_streams_and_parallel_jobs_with_a_closed_pipe(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = ["-m", *WORDS, "logger=none", "beta=1,2"]
    closed = start(*sweep, "hydra.sweep.dir=closed", cwd=tmp_path, preexec_fn=close_streams)
    piped = start(
        *sweep, "hydra/launcher=joblib", "hydra.sweep.dir=piped", cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    piped.stdout.readline()
    piped.stdout.close()
    assert piped.stderr.read() == ""
    assert [process.wait(120) for process in (closed, piped)] == [0, 0]
    assert len(list(tmp_path.glob("*/*/metrics.json"))) == 4


# Other commands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [["--help"], ["train", "--help"], ["report", "--help"], ["explore", "--help"], ["train", "--cfg", "job"]]
)
def test_output_that_is_lost_on_a_full_disk_is_an_error(words, tmp_path):
    with open("/dev/full", "w") as full:
        done = start(*words, cwd=tmp_path, module="autoencoders", stdout=full, stderr=subprocess.PIPE, text=True)
        _, err = done.communicate(timeout=60)
    assert (done.returncode, err) == (2, "autoencoders: The output could not be written (No space left on device).\n")


def run_script(script, **options):
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_closed_streams_are_opened_on_the_null_device(tmp_path, unbuffered):
    """Otherwise a file of this process, or of a process that it starts, would receive the output."""
    (tmp_path / "script.py").write_text(
        "import os, subprocess, sys\n"
        "from autoencoders.utils.streams import protect_streams\n"
        "protect_streams()\n"
        "protect_streams()\n"
        "file = open('file', 'w')\n"
        "print('lost', flush=True)\n"
        "print('lost', file=sys.stderr)\n"
        "os.write(1, b'lost')\n"
        "subprocess.run(['sh', '-c', 'echo lost; echo lost >&2'], check=True)\n"
        "file.write(f'{file.fileno() > 2} {sys.stdin.read()!r}')\n"
    )
    script = tmp_path / "script.py"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, check=True, preexec_fn=close_streams)
    assert (tmp_path / "file").read_text() == "True ''"


def test_output_to_a_full_pipe_that_does_not_block_is_complete():
    script = (
        "import os\n"
        "from autoencoders.utils.streams import protect_streams\n"
        "os.set_blocking(1, False)\n"
        "protect_streams()\n"
        "print('x' * 1_000_000)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    time.sleep(0.5)  # the pipe is full now
    assert len(process.communicate(timeout=60)[0]) == 1_000_001
    assert process.returncode == 0


# Environment variables --------------------------------------------------------------------------------------------


def test_a_library_that_cannot_be_imported_is_one_sentence(run_command, tmp_path, monkeypatch):
    """As SKLEARN_WORKING_MEMORY=abc: the library converts the value of a variable when it is imported."""
    package = tmp_path / "site-packages/broken"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ValueError('\\nnot a number: abc')\n")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(train, "load_heavy_libraries", lambda *_: importlib.import_module("broken"))
    done = run_command(train, *WORDS, "hydra.run.dir=run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "autoencoders: The library broken could not be imported (ValueError: not a number: abc). Check its "
        "installation and the environment variables that it reads.\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["HOME", "WANDB_CACHE_DIR"])
def test_wandb_has_a_folder_for_its_cache_if_the_usual_one_cannot_be_written(tmp_path, monkeypatch, name):
    for variable in ("WANDB_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, "")  # so that the variable is restored after the test
        monkeypatch.delenv(variable)
    monkeypatch.setenv(name, BAD_FOLDER)
    WandbMediaLogger(str(tmp_path))
    assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path / "wandb/cache")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "mine"))
    WandbMediaLogger(str(tmp_path))
    assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path / "mine")


def test_wandb_is_offline_if_its_mode_does_not_exist(tmp_path, monkeypatch, capsys):
    (tmp_path / "run.json").write_text('{"status": "running"}')
    monkeypatch.setenv("WANDB_MODE", "garbage")
    logger = WandbMediaLogger(str(tmp_path))
    assert logger.experiment.offline
    logger.close({}, tmp_path / "none", failed=False)
    (warning,) = record(tmp_path)["warnings"]
    assert warning.startswith("W&B could not start garbage (WANDB_MODE must be one of online, run, shared, offline, ")
    assert warning.endswith("W&B is offline for this run, but metrics.csv and figures/ are complete.")
    assert capsys.readouterr().err == f"autoencoders: warning: {warning}\n"


def test_wandb_settings_that_cannot_be_read_are_found_when_the_run_starts(tmp_path, monkeypatch):
    import wandb

    def refuse(**_):
        raise ValueError("WANDB_SILENT")

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb, "login", refuse)
    assert WandbMediaLogger(str(tmp_path))._init["mode"] == "offline"
