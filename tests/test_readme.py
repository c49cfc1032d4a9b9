"""The commands of the README and of the pages in docs/ run or say why not, and their links exist."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoencoders import apply, dashboard, explore, report, train
from autoencoders.config.compose import config_groups

REPOSITORY = Path(__file__).resolve().parent.parent
GENERATED = ("_build", "api", "experiments", "options")
"""Folders in docs/ that a build of the site writes."""
FILES = sorted(f for f in REPOSITORY.glob("docs/**/*.md") if f.relative_to(REPOSITORY).parts[1] not in GENERATED)
PAGES = {page: page.read_text() for page in (REPOSITORY / "README.md", *FILES)}
README = PAGES[REPOSITORY / "README.md"]
FENCE = re.compile(r"(<!-- not run: [^>]+ -->\n+)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {page: [m.groups() for m in FENCE.finditer(text)] for page, text in PAGES.items()}
"""Page -> the reason why a block is not run, if any, its language, and its content."""


def command_lines(block):
    """Return the commands of a block, without comments."""
    return list(filter(None, (line.partition(" #")[0].strip() for line in block.splitlines())))


RUN = [c for blocks in BLOCKS.values() for reason, language, block in blocks if language == "bash" and not reason
       for c in command_lines(block)]  # fmt: skip
COMMANDS = list(dict.fromkeys(RUN))
IN_README = {c for reason, language, block in BLOCKS[REPOSITORY / "README.md"] if language == "bash" and not reason
             for c in command_lines(block)}  # fmt: skip
"""Commands that `make test` runs. It composes those of the pages in docs/, and `make test-slow` runs these."""
PYTHON = re.findall(r"```python\n(import autoencoders\n.*?)```", README, re.DOTALL)
PYTHON_PAGE = re.findall(r"```python\n(.*?)```", PAGES[REPOSITORY / "docs/python.md"], re.DOTALL)


def select(module, commands=tuple(COMMANDS)):
    """Return the arguments of the commands of a module."""
    return [c.partition(module)[2].strip() for c in commands if f"-m {module}" in c]


TRAIN, APPLY = select("autoencoders.train"), select("autoencoders.apply")
REPORT, EXPLORE = select("autoencoders.report"), select("autoencoders.explore")
DASHBOARD = select("autoencoders.dashboard")
FAST = [words for words in select("autoencoders.train", IN_README) if "data=lfw" not in words]
"""Trainings that `make test` runs, shortened. LFW takes long to read."""
FEW_SPRITES = ["data.count=600", "data.test=200", "data.validation=100"]
MAKE = [c for c in COMMANDS if c.startswith("make ")]


def save_photos(folder, count):
    """Save random color images."""
    folder.mkdir(parents=True)
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 256, (24, 24, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")


@pytest.mark.parametrize(
    "words", [pytest.param(words, marks=() if words in FAST else pytest.mark.slow) for words in TRAIN]
)
def test_training_commands_run(words, run_command, tmp_path):
    words = ["seed=0" if word.startswith("seed=") else word for word in shlex.split(words)]
    for name, folder in (("data=mnist", "MNIST/raw"), ("data=lfw", "lfw")):
        if name in words and not os.path.isdir(os.path.join(os.environ.get("AUTOENCODERS_DATA", ""), folder)):
            pytest.skip(f"AUTOENCODERS_DATA names no folder with {folder}/")
    if "data.path=my/photos" in words:
        save_photos(tmp_path / "my/photos", 40)
    if "data.path=my/images.npz" in words:
        (tmp_path / "my").mkdir()
        images = np.random.default_rng(0).integers(0, 256, (200, 16, 16), "uint8")
        np.savez(tmp_path / "my/images.npz", images=images, labels=np.arange(200) % 3)
    short = []
    if "hparams_search=optuna" in words:
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra optuna")
        short += ["hydra.sweeper.n_trials=2"]
    if "--help" not in words:
        short += ["trainer.max_epochs=1", *(f"trainer.limit_{stage}_batches=2" for stage in ("train", "val", "test"))]
        short += FEW_SPRITES if "data=sprites" in words else []
        short += [] if any("logger=" in word for word in words) else ["logger=none"]
        short += [] if any("callbacks=" in word for word in words) else ["callbacks=progress"]
        short += ["application@after_fit=none"] if any("experiment=" in word for word in words) else []
    if "hydra/launcher=joblib" in words:  # starts processes of its own
        command = [sys.executable, "-m", "autoencoders.train", *words, *short]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    else:
        done = run_command(train, *words, *short, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [words for words in TRAIN if words not in FAST and "--help" not in words])
def test_training_commands_of_the_pages_compose(words, run_command, tmp_path):
    words = [word for word in shlex.split(words) if word not in ("-m", "--multirun")]
    if "hparams_search=optuna" in words:
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs the extra optuna")
    # a job of a sweep has one value per option; numbers in lists and intervals are not changed
    words = [word if "[" in word or "(" in word else word.partition(",")[0] for word in words]
    done = run_command(train, *words, "--cfg", "job", "--resolve", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("pages", ["readme", pytest.param("all", marks=pytest.mark.slow)])
def test_apply_commands_run(pages, run_command, tmp_path):
    save_photos(tmp_path / "my/photos", 60)
    save_photos(tmp_path / "my/new/photos", 20)
    for i in range(20):
        (tmp_path / "my/masks").mkdir(exist_ok=True)
        Image.fromarray(np.eye(24, dtype="uint8") * 255).save(tmp_path / f"my/masks/{i:03d}_mask.png")
    chosen = APPLY if pages == "all" else select("autoencoders.apply", IN_README)
    assert len(chosen) >= (6 if pages == "all" else 2)
    short = ["trainer.max_epochs=1", "logger=none", "callbacks=checkpoint"]
    for words in TRAIN:
        folder = words.partition("hydra.run.dir=")[2]
        if folder and any(folder in command for command in [*chosen, *PYTHON]) and not (tmp_path / folder).exists():
            sprites = FEW_SPRITES if "data=sprites" in words else []
            assert run_command(train, *shlex.split(words), *sprites, *short, cwd=tmp_path).returncode == 0
    for words in chosen:
        short = []
        if "application=factors" in words:
            short = ["application.factors.resamples=0"]
        done = run_command(apply, *shlex.split(words), *short, cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    assert len(PYTHON) == 1
    results: dict = {}
    exec(PYTHON[0], results)  # in the folder of the last command
    assert results["images"].shape == results["outputs"].shape == (16, 1, 28, 28)
    assert results["codes"].shape == (16, 10)


def test_the_page_of_the_python_api_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(PYTHON_PAGE) >= 5
    results: dict = {}
    for block in PYTHON_PAGE:
        exec(block, results)
    assert results["new"].shape == results["digits"].shape == (16, 1, 28, 28)
    assert results["between"].shape == (5, 1, 28, 28)
    assert "vae" in set(results["table"]["method"])
    assert results["run"].metrics["test/neg_elbo"] > 0
    assert results["figure"].axes


def test_report_commands_run(run_command, tmp_path):
    for name in ("digits", "ae", "beta/0_vae-seed0"):
        folder = tmp_path / "runs" / name
        (folder / "figures/samples").mkdir(parents=True)
        (folder / "config.yaml").write_text("{model: {name: vae}, data: {name: digits}}")
        (folder / "run.json").write_text('{"format": 2, "status": "done"}')
        (folder / "metrics.json").write_text('{"test/neg_elbo": 98, "test/mse": 0.01, "test/active_units": 2}')
        (folder / "figures/samples/000001.png").write_bytes((REPOSITORY / "docs/cvae-mnist-samples.png").read_bytes())
    assert len(REPORT) >= 3
    for words in REPORT:
        if "explorer=true" in words:
            continue  # needs a trained model: see the next test
        done = run_command(report, *shlex.split(words), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert {"report.html", "two.html", "report.md", "report_figures"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_explore_commands_run(run_command, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra export")
    training = next(shlex.split(words) for words in TRAIN if "hydra.run.dir=runs/explored" in words)
    short = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "logger=none", "callbacks=checkpoint"]
    assert run_command(train, *training, *short, cwd=tmp_path).returncode == 0
    assert len(EXPLORE) >= 2
    reports = [words for words in REPORT if "explorer=true" in words]
    for module, words in [*((explore, words) for words in EXPLORE), *((report, words) for words in reports)]:
        done = run_command(module, *shlex.split(words), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert {"explorer.html", "small.html", "report.html", "report_explorer.html"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert 'href="report_explorer.html"' in (tmp_path / "report.html").read_text()


def test_dashboard_commands_run(run_command, tmp_path):
    assert DASHBOARD
    for words in DASHBOARD:
        done = run_command(dashboard, *shlex.split(words), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "workspace" in done.stdout.lower() or done.stdout.lstrip().startswith(("{", "["))


def test_the_example_of_a_model_runs(run_command, tmp_path, monkeypatch):
    page = REPOSITORY / "docs/configure.md"
    files = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGES[page], re.DOTALL))
    assert set(files) == {"mine.py", "myconf/model/mine.yaml"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    [command] = re.findall(r"`python -m autoencoders\.train (model=mine [^`]*)`", PAGES[page])
    monkeypatch.syspath_prepend(tmp_path)
    words = shlex.split(command.replace("/path/to/myconf", f"{tmp_path}/myconf"))
    done = run_command(train, *words, "trainer.max_epochs=1", "trainer.limit_train_batches=2", "logger=none",
                       "callbacks=none", cwd=tmp_path)  # fmt: skip
    sys.modules.pop("mine", None)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_block_runs_or_says_why_not(page):
    for reason, language, block in BLOCKS[page]:
        if reason:
            continue
        if language == "":
            assert not re.search(r"^(\.venv/bin/)?(python|make|pip|autoencoders) ", block, re.MULTILINE)
        elif language == "bash":
            tested = [c for c in command_lines(block) if c.startswith("make ") or "python -m autoencoders." in c]
            assert command_lines(block) == tested
        elif block.startswith(">>>"):
            assert page.name == "loss-conventions.md"  # tests/objectives/test_loss_conventions.py runs them
        else:
            assert block in PYTHON + PYTHON_PAGE or re.match(r"# (mine\.py|myconf/model/mine\.yaml)\n", block)


@pytest.mark.parametrize("command", MAKE)
def test_make_targets_exist(command):
    target = command.split()[1]
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)


def test_every_option_is_named():
    text = "\n".join(PAGES.values())
    missing = [f"{g}={o}" for g, options in config_groups().items() for o in options if f"`{o}`" not in text]
    assert missing == []
    assert len(README.splitlines()) < 150


def test_no_placeholder_remains():
    assert re.findall(r"\b[A-Z]{3,}_[A-Z_]{3,}\b", README.replace("AUTOENCODERS_DATA", "")) == []


def heading_ids(page):
    """Return the ids that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_exist(page):
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not heading or heading in heading_ids(linked), target
