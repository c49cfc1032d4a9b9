"""Every experiment composes and trains a few steps; studies refer to existing runs; results follow their rule."""

import json
import math
import os
import re
import shlex
import shutil

import pytest
import rebuild
import yaml
from pages import format_claim, format_sections, write_page
from pictures import time_lines
from results import Results
from studies import HERE, Study, gain_in_errors

from autoencoders.config.compose import CONF, config_groups
from autoencoders.train import train
from autoencoders.training.pipeline import instantiate_section
from autoencoders.types import UserError

EXPERIMENTS = config_groups()["experiment"]
STUDIES = sorted(file.parent.name for file in HERE.glob("*/study.yaml"))
SHORT = ["trainer.max_epochs=1", *(f"trainer.limit_{split}_batches=2" for split in ("train", "val", "test"))]
SHORT += ["logger=none", "callbacks=checkpoint", "application@after_fit=none"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_budget_sets_the_number_of_epochs(compose, name):
    config = compose(f"experiment={name}", "budget=full")
    if "epochs" in config:  # other experiments have their own schedule
        assert config["trainer"]["max_epochs"] == config["epochs"]["full"] > config["epochs"]["small"]


def test_the_small_budget_is_the_default_and_can_be_overridden(compose):
    config = compose("experiment=s0_faces")
    assert config["trainer"]["max_epochs"] == config["epochs"]["small"]
    assert compose("experiment=s0_faces", "trainer.max_epochs=2")["trainer"]["max_epochs"] == 2


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n != "compare" else ()) for n in EXPERIMENTS],
)
def test_every_experiment_trains_a_few_steps(compose, name):
    config = compose(f"experiment={name}", *SHORT)
    folder = {"mnist": "MNIST/raw", "lfw": "lfw"}.get(config["data"]["name"])
    if folder and not os.path.isdir(os.path.join(os.environ.get("AUTOENCODERS_DATA", ""), folder)):
        pytest.skip(f"AUTOENCODERS_DATA is not a folder with {folder}/")
    assert math.isfinite(train(config)["test/mse"])


def test_options_of_an_experiment_for_a_callback_that_is_not_selected_are_skipped(compose):
    config = compose("experiment=disentanglement", "callbacks=none")
    assert config["callbacks"]["health"] == {"every_n_epochs": 0}
    assert instantiate_section(config, "callbacks") == []
    for words in ("+callbacks.helth.every_n_epochs=0", "+callbacks.helth=3", "+after_fit.reconstructing.count=3"):
        with pytest.raises(UserError, match=r"must be (one of|a group)"):
            train(compose("model=vae", "data=digits", "callbacks=none", words))


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_refers_to_existing_runs_and_experiments(compose, name, tmp_path):
    study = Study(name, tmp_path)
    for arguments in study.runs.values():
        chosen = [a.partition("=")[2] for a in shlex.split(arguments) if a.startswith("experiment=")]
        assert chosen in [[known] for known in EXPERIMENTS] or "model=classifier" in arguments
    known = set(study.runs) | set(study.applications)
    patterns = [figure["run"] for figure in study.spec.get("figures", []) if "run" in figure]
    patterns += [pattern for table in study.spec.get("tables", []) for pattern in table["rows"].values()]
    for claim in study.spec["claims"]:
        assert claim["source"]["by"]
        assert "trend" in claim or claim["better"] in ("lower", "higher")
        if "trend" in claim:
            assert claim["trend"]["direction"] in ("up", "down")
            patterns += claim["trend"]["over"]
        else:
            numbers = [claim["measured"], *claim.get("baselines", []), *claim.get("references", [])]
            patterns += [number["run"] for number in numbers if "run" in number]
            patterns += [pattern for number in numbers for pattern in number.get("over", [])]
    unknown = [
        p for p in patterns if not p.startswith("../") and not any(re.fullmatch(p.replace("*", ".*"), k) for k in known)
    ]
    assert unknown == []
    assert (study.folder / "README.md").is_file()


def test_every_experiment_belongs_to_a_study(tmp_path):
    used = {a for name in STUDIES for arguments in Study(name, tmp_path).runs.values() for a in shlex.split(arguments)}
    assert [name for name in EXPERIMENTS if f"experiment={name}" not in used and not (HERE / name).is_dir()] == []


def test_the_commands_of_the_pages_compose(compose):
    """A command with more than the name of an experiment; `test_every_experiment_trains_a_few_steps` has the others."""
    pages = [page.read_text() for page in HERE.glob("*/README.md")]
    blocks = [block for page in pages for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)]
    commands = {line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()}
    assert len(commands) >= len(STUDIES)
    for command in sorted(commands):
        words = shlex.split(command.removeprefix("python -m autoencoders.train "))
        assert command.startswith("python -m autoencoders.train ")
        words = [word for word in words if word != "-m" and not word.startswith("hydra.")]
        if words not in [[f"experiment={name}"] for name in EXPERIMENTS]:
            config = compose(*(re.sub(r"(?<==)([^\[,]+),.*", r"\1", word) for word in words))  # first value of a sweep
            assert config["trainer"]["max_epochs"] >= 1


@pytest.fixture
def study(tmp_path):
    """Three runs with different seeds and one other run, with errors over images."""
    spec = {
        "title": "t", "question": "q", "command": "python -m autoencoders.train experiment=compare", "claims": [],
        "runs": {
            "a{seed}": {"train": "experiment=compare seed={seed}", "over": {"seed": [0, 1, 2]}},
            "b": "experiment=compare",
        },
    }  # fmt: skip
    study = Study("study", tmp_path / "runs", spec, pages=tmp_path)
    study.folder.mkdir()
    for name, value in {"a0": 1.0, "a1": 2.0, "a2": 3.0, "b": 8.0}.items():
        reconstruct = {"mse/ae": value, "mse_error/ae": 0.5, "mse/PCA-2": 1.5 * value, "mse_error/PCA-2": 0.5}
        study.results[name] = Results(metrics={"test/mse": value}, tables={"reconstruct": reconstruct})
    return study


def test_errors_are_over_seeds_or_over_images(study):
    several = study.number({"run": "a*", "key": "tables/reconstruct: mse/ae", "times": 10})
    assert (several.mean, several.runs) == (20, 3)
    assert several.error == pytest.approx(10 / math.sqrt(3))  # the standard deviation of three values is 1
    one = study.number({"run": "b", "key": "tables/reconstruct: mse/ae"})
    assert (one.mean, one.error, one.runs) == (8, 0.5, 1)
    assert study.number({"run": "c*", "key": "metrics: test/mse"}) is None
    assert study.results["b"].metric("metrics: test/neg_elbo") is None


def test_a_deviation_is_over_seeds_or_over_means(study):
    key = "tables/reconstruct: mse/ae"
    seeds = study.number({"run": "a*", "key": key, "statistic": "deviation"})
    assert (seeds.mean, seeds.runs) == (1, 3)  # of 1, 2, 3
    assert seeds.error == pytest.approx(0.5)
    means = study.number({"over": ["a*", "b"], "key": key, "statistic": "deviation"})
    assert means.mean == pytest.approx(math.sqrt(18))  # of 2 and 8
    assert study.number({"over": ["a*", "c*"], "key": key, "statistic": "deviation"}) is None
    assert study.number({"run": "b", "key": key, "statistic": "deviation"}) is None


@pytest.mark.parametrize("metric", ["mse/ae", "subset/mse/ae", "accuracy/vae/100"])
def test_the_error_of_a_metric_is_read_with_it(metric):
    errors = {"mse/ae": "mse_error/ae", "subset/mse/ae": "subset/mse_error/ae"}
    metrics = {metric: 2.0, errors.get(metric, "accuracy_error/vae/100"): 0.25}
    assert Results(metrics=metrics).metric(f"metrics: {metric}") == (2.0, 0.25)


@pytest.mark.parametrize(
    ("run", "source", "better", "result"),
    [
        ("b", 20.0, "lower", "met"),  # 8 +- .5 below 20, and below PCA's 12 +- .5 by 5.7 errors
        ("b", 6.0, "lower", "missed (S)"),
        ("b", 8.5, "lower", "undecided (S)"),  # one error
        ("b", 7.0, "higher", "missed (PCA)"),
        ("c", 7.0, "lower", "not run here"),
    ],
)
def test_results_of_claims(study, run, source, better, result):
    key = {"run": run, "key": "tables/reconstruct: mse/ae"}
    baseline = {"name": "PCA", "run": run, "key": "tables/reconstruct: mse/PCA-2"}
    source = {"by": "S", "value": source}
    claim = {"claim": "x", "source": source, "measured": key, "baselines": [baseline], "better": better}
    assert str(study.evaluate(claim)) == result
    assert format_claim(study, claim)[-1] == f"**{result}**"
    assert str(study.evaluate(claim | {"statement": True})) in ("true", "false", "undecided", "not run here")
    few = "" if run == "c" else ", 1 of 3 seeds"
    assert format_claim(study, claim | {"seeds": 3})[-1] == f"**{result}**{few}"


def test_a_paired_difference_replaces_the_difference_of_means(study):
    metrics = study.results["b"].tables["reconstruct"]
    metrics |= {"mse/PCA-2": 8.5, "above/PCA-2": 0.5, "above_error/PCA-2": 0.1}
    baseline = {"name": "PCA", "run": "b", "key": "tables/reconstruct: mse/PCA-2"}
    measured = {"run": "b", "key": "tables/reconstruct: mse/ae"}
    claim = {"claim": "x", "source": {"by": "S"}, "measured": measured, "baselines": [baseline], "better": "lower"}
    assert str(study.evaluate(claim)) == "undecided (PCA)"
    baseline["paired"] = "tables/reconstruct: above/PCA-2"
    assert str(study.evaluate(claim)) == "met"  # by five errors
    metrics["above/PCA-2"] = -0.5
    assert str(study.evaluate(claim)) == "missed (PCA)"


@pytest.mark.parametrize(
    ("baseline", "runs", "result"),
    [
        (8 + 5 * math.sqrt(1 / 3), 3, "met"),  # the error of the measurement is the only one
        (8 + 3 * math.sqrt(1 / 3), 3, "met"),
        (8 + 3 * math.sqrt(1 / 3), 1, "undecided (S, 1 seed)"),
        (8 + 5 * math.sqrt(1 / 3), 1, "met"),
        (8 + 1 * math.sqrt(1 / 3), 1, "undecided (S)"),
    ],
)
def test_a_difference_below_four_errors_needs_three_seeds(study, baseline, runs, result):
    values = {3: [7.0, 8.0, 9.0], 1: [8.0]}[runs]  # the standard error of the mean of three is sqrt(1 / 3)
    for seed, value in enumerate(values):
        study.results[f"d{seed}"] = Results(tables={"x": {"mse/ae": value, "mse_error/ae": math.sqrt(1 / 3)}})
    measured = {"run": "d*", "key": "tables/x: mse/ae"}
    claim = {"claim": "x", "source": {"by": "S", "value": baseline}, "measured": measured, "better": "lower"}
    assert str(study.evaluate(claim)) == result


def test_a_target_must_be_reached_and_has_a_column_of_its_own(study):
    measured = {"run": "b", "key": "metrics: test/mse"}
    claim = {"claim": "x", "source": {"by": "S"}, "target": 9, "measured": measured, "better": "lower",
             "references": [{"name": "R", "run": "a0", "key": "metrics: test/mse"}]}  # fmt: skip
    assert format_claim(study, claim) == ["x", "S", "9", "", "R 1", "8", "1", "**met**"]
    assert format_claim(study, claim | {"target": 7})[-1] == "**missed (target)**"


def test_results_are_kept_without_the_paths_of_a_machine(study):
    folder = study.runs_folder / "b"
    config = {"folder": "/home/me/runs/a", "data": {"root": "/data"}, "names": ["/x/y.png", "a/b"], "lr": 1}
    record = {"parameters": 3, "seconds": 5.0, "data": {"name": "d", "origin": "/data", "shape": [1, 8, 8]}}
    files = {"metrics.json": {"test/mse": 2.0}, "run.json": record, "tables/sample/metrics.json": {"KID/ae": 1.0}}
    (folder / "tables/sample").mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    study.keep_results()
    assert study.results == {
        "b": Results(
            {"folder": "a", "data": {"root": "data"}, "names": ["y.png", "a/b"], "lr": 1},
            {"parameters": 3, "data": {"name": "d", "shape": [1, 8, 8]}},
            {"test/mse": 2.0},
            {"sample": {"KID/ae": 1.0}},
        )
    }


def test_the_curve_of_a_metric_is_kept_with_minutes_of_training(study, tmp_path):
    plot = {"name": "p", "curve": "val/mse", "times": 10, "runs": {"net": "b"}}
    plot["baselines"] = {"PCA": {"run": "b", "key": "metrics: val/mse_pca"}}
    study.spec["figures"] = [{"plot": plot, "caption": "c"}]
    study.results.clear()
    folder = tmp_path / "runs/study/b"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("lr: 1")
    (folder / "metrics.json").write_text(json.dumps({"val/mse_pca": 5.0}))
    (folder / "run.json").write_text(json.dumps({"epochs": 2, "training_seconds": 240.0, "data": {}}))
    (folder / "metrics.csv").write_text("epoch,step,step/loss,val/mse\n0,9,3,\n0,9,,4.0\n1,19,,2.0\n")
    study.keep_results()
    lines = time_lines(study, plot)
    assert lines["net"].tolist() == [[2, 40, 0], [4, 20, 0]]  # 120 s per epoch
    assert lines["PCA"].tolist() == [[0, 50, 0], [4, 50, 0]]


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_is_that_of_the_kept_results(name, monkeypatch, tmp_path):
    for folder in HERE.iterdir():
        if folder.is_dir() and folder.name != name:
            (tmp_path / folder.name).symlink_to(folder)
    shutil.copytree(HERE / name, tmp_path / name)  # plots are saved there
    study = Study(name, "nowhere", pages=tmp_path)
    monkeypatch.setattr("pictures.compress", lambda source, target: None)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *arguments, **options: None)
    page = "\n\n".join(section for section in format_sections(study) if section) + "\n"
    assert page == (HERE / name / "README.md").read_text()
    assert json.loads((HERE / name / "claims.json").read_text()) == [
        format_claim(study, claim) for claim in study.spec["claims"]
    ]


def test_a_trend_must_hold_at_every_step(study):
    trend = {"over": ["a0", "a1", "b"], "key": "metrics: test/mse", "direction": "up"}
    claim = {"claim": "x", "source": {"by": "S"}, "trend": trend, "statement": True}
    assert str(study.evaluate(claim)) == "true"
    assert str(study.evaluate(claim | {"trend": trend | {"direction": "down"}})) == "false"
    assert str(study.evaluate(claim | {"trend": trend | {"over": ["a0", "a2", "a1"]}})) == "false"
    assert str(study.evaluate(claim | {"trend": trend | {"over": ["a0", "c"]}})) == "not run here"


def test_numbers_without_errors_are_exact(study):
    exact = study.number({"value": 3})
    assert gain_in_errors(-1, exact, study.number({"value": 4})) == math.inf
    assert gain_in_errors(-1, exact, exact) == 0


def test_a_page_has_only_the_conclusions_of_its_results(study):
    claim = {"claim": "lower", "source": {"by": "S", "value": 20}, "measured": {"run": "b", "key": "metrics: test/mse"},
             "better": "lower", "conclusion": {"met": "It is so.", "missed": "It is not."}}  # fmt: skip
    study.spec["claims"] = [claim]
    for results in study.results.values():  # further values that a page reads
        config = {"model": {"name": "ae", "encoder": None}, "seed": 0, "beta": {"value": 1}, "epochs": {"full": 9}}
        data = {"name": "d", "shape": [1, 8, 8], "images": {"train": 5}}
        results.config.update(config)
        results.record.update({"data": data, "code": 2, "parameters": 3, "epochs": 1})
    page = write_page(study).read_text()
    assert "It is so." in page
    assert "It is not." not in page
    assert "| lower | S: 20 |  |  |  | 8 | 1 | **met** |" in page
    assert "Not run here" not in page


def test_finished_runs_are_not_trained_again(study, monkeypatch):
    commands = []
    monkeypatch.setattr(rebuild, "run_command", lambda *command: commands.append(command) or 0)
    study.spec["runs"]["c"] = "experiment=compare model=ae"
    study.spec["applications"] = {
        "of_b": {"run": "b", "apply": "application=sample"},
        "of_c": {"run": "c", "apply": "application=sample"},  # skipped, since the run does not exist
    }
    folder = study.runs_folder
    for name in ("a0", "a1", "a2", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "metrics.json").write_text("{}")
    assert rebuild.run_study(study, ["budget=full"]) == 0
    assert commands == [
        ("train", ["experiment=compare", "model=ae", "logger=none", "budget=full", f"hydra.run.dir='{folder / 'c'}'"]),
        ("apply", [f"run={folder / 'b'}", "application=sample", f"folder={folder / 'of_b'}"]),
    ]


def test_conf_and_experiments_are_in_the_same_folder():
    assert (CONF / "experiment").is_dir()
    assert HERE == CONF.parent / "experiments"
