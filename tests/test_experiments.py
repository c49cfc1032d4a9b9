"""Every experiment composes and trains a few steps; studies name what exists; verdicts follow their rule."""

import json
import math
import os
import re
import shlex

import pytest
import rebuild
import yaml
from pages import claim_row, write_page
from studies import HERE, Study, gain, read

from autoencoders.config.compose import CONF, config_groups
from autoencoders.train import train

EXPERIMENTS = config_groups()["experiment"]
STUDIES = sorted(file.parent.name for file in HERE.glob("*/study.yaml"))
SHORT = ["trainer.max_epochs=1", *(f"trainer.limit_{part}_batches=2" for part in ("train", "val", "test"))]
SHORT += ["logger=none", "callbacks=checkpoint", "application@after_fit=none"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_budgets_say_how_long_an_experiment_trains(compose, name):
    config = compose(f"experiment={name}", "budget=full")
    if "epochs" in config:  # the others have a schedule of their own
        assert config["trainer"]["max_epochs"] == config["epochs"]["full"] > config["epochs"]["small"]


def test_the_small_budget_is_what_an_experiment_takes_unless_told(compose):
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
        pytest.skip(f"AUTOENCODERS_DATA names no folder with {folder}/")
    assert math.isfinite(train(config)["test/mse"])


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_asks_for_what_there_is(compose, name, tmp_path):
    study = Study(name, tmp_path)
    for words in study.runs.values():
        chosen = [w.partition("=")[2] for w in shlex.split(words) if w.startswith("experiment=")]
        assert chosen in [[known] for known in EXPERIMENTS] or "model=classifier" in words
    known = set(study.runs) | set(study.asks)
    patterns = [figure["run"] for figure in study.told.get("figures", []) if "run" in figure]
    patterns += [pattern for table in study.told.get("tables", []) for pattern in table["rows"].values()]
    for claim in study.told["claims"]:
        assert claim["source"]["by"]
        told = (
            [claim["ours"], *claim.get("bars", [])] if "ours" in claim else [{"run": r} for r in claim["trend"]["over"]]
        )
        assert "trend" in claim or claim["better"] in ("lower", "higher")
        patterns += [bar["run"] for bar in told if "run" in bar]
    lost = [
        p for p in patterns if not p.startswith("../") and not any(re.fullmatch(p.replace("*", ".*"), k) for k in known)
    ]
    assert lost == []
    assert (study.folder / "README.md").is_file()


def test_every_experiment_belongs_to_a_study(tmp_path):
    asked = {w for name in STUDIES for words in Study(name, tmp_path).runs.values() for w in shlex.split(words)}
    assert [name for name in EXPERIMENTS if f"experiment={name}" not in asked and not (HERE / name).is_dir()] == []


@pytest.fixture
def study(tmp_path):
    """Three seeds of a setting, one run of another, with errors over images."""
    told = {
        "title": "t", "question": "q", "command": "python -m autoencoders.train experiment=compare", "claims": [],
        "runs": {
            "a{seed}": {"train": "experiment=compare seed={seed}", "over": {"seed": [0, 1, 2]}},
            "b": "experiment=compare",
        },
    }  # fmt: skip
    for name, value in {"a0": 1.0, "a1": 2.0, "a2": 3.0, "b": 8.0}.items():
        folder = tmp_path / "study" / name
        (folder / "tables" / "reconstruct").mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps({"test/mse": value}))
        found = {"mse/ae": value, "mse_error/ae": 0.5, "mse/PCA-2": 1.5 * value, "mse_error/PCA-2": 0.5}
        (folder / "tables" / "reconstruct" / "metrics.json").write_text(json.dumps(found))
    made = Study("study", tmp_path, told)
    made.folder = tmp_path / "page"
    made.folder.mkdir()
    return made


def test_numbers_over_seeds_and_over_images(study):
    several = study.number({"run": "a*", "key": "tables/reconstruct: mse/ae", "times": 10})
    assert (several.mean, several.runs) == (20, 3)
    assert several.error == pytest.approx(10 / math.sqrt(3))  # standard deviation 1, of three
    one = study.number({"run": "b", "key": "tables/reconstruct: mse/ae"})
    assert (one.mean, one.error, one.runs) == (8, 0.5, 1)
    assert study.number({"run": "c*", "key": "metrics: test/mse"}) is None
    assert read(study.runs_folder / "b", "metrics: test/neg_elbo") is None


@pytest.mark.parametrize("metric", ["mse/ae", "subset/mse/ae", "accuracy/vae/100"])
def test_errors_are_found_beside_their_metric(tmp_path, metric):
    errors = {"mse/ae": "mse_error/ae", "subset/mse/ae": "subset/mse_error/ae"}
    found = {metric: 2.0, errors.get(metric, "accuracy_error/vae/100"): 0.25}
    (tmp_path / "metrics.json").write_text(json.dumps(found))
    assert read(tmp_path, f"metrics: {metric}") == (2.0, 0.25)


@pytest.mark.parametrize(
    ("run", "source", "better", "verdict"),
    [
        ("b", 20.0, "lower", "met"),  # 8 +- .5 below 20, and below PCA's 12 +- .5 by 5.7 errors
        ("b", 6.0, "lower", "missed (S)"),
        ("b", 8.5, "lower", "level (S)"),  # one error
        ("b", 7.0, "higher", "missed (PCA)"),
        ("c", 7.0, "lower", "not run here"),
    ],
)
def test_verdicts(study, run, source, better, verdict):
    key = {"run": run, "key": "tables/reconstruct: mse/ae"}
    bar = {"name": "PCA", "run": run, "key": "tables/reconstruct: mse/PCA-2"}
    claim = {"claim": "x", "source": {"by": "S", "value": source}, "ours": key, "bars": [bar], "better": better}
    assert str(study.verdict(claim)) == verdict
    assert claim_row(study, claim)[-1] == f"**{verdict}**"
    assert str(study.verdict(claim | {"statement": True})) in ("true", "false", "undecided", "not run here")
    few = "" if run == "c" else ", 1 of 3 seeds"
    assert claim_row(study, claim | {"seeds": 3})[-1] == f"**{verdict}**{few}"


def test_a_difference_of_the_same_images_decides_where_there_is_one(study):
    file = study.runs_folder / "b" / "tables" / "reconstruct" / "metrics.json"
    found = {"mse/ae": 8.0, "mse_error/ae": 0.5, "mse/PCA-2": 8.5, "mse_error/PCA-2": 0.5,
             "above/PCA-2": 0.5, "above_error/PCA-2": 0.1}  # fmt: skip
    file.write_text(json.dumps(found))
    bar = {"name": "PCA", "run": "b", "key": "tables/reconstruct: mse/PCA-2"}
    ours = {"run": "b", "key": "tables/reconstruct: mse/ae"}
    claim = {"claim": "x", "source": {"by": "S"}, "ours": ours, "bars": [bar], "better": "lower"}
    assert str(study.verdict(claim)) == "level (PCA)"
    bar["paired"] = "tables/reconstruct: above/PCA-2"
    assert str(study.verdict(claim)) == "met"  # by five errors
    file.write_text(json.dumps(found | {"above/PCA-2": -0.5}))
    assert str(study.verdict(claim)) == "missed (PCA)"


def test_trends_hold_at_every_step_or_not_at_all(study):
    trend = {"over": ["a0", "a1", "b"], "key": "metrics: test/mse", "goes": "up"}
    claim = {"claim": "x", "source": {"by": "S"}, "trend": trend, "statement": True}
    assert str(study.verdict(claim)) == "true"
    assert str(study.verdict(claim | {"trend": trend | {"goes": "down"}})) == "false"
    assert str(study.verdict(claim | {"trend": trend | {"over": ["a0", "a2", "a1"]}})) == "false"
    assert str(study.verdict(claim | {"trend": trend | {"over": ["a0", "c"]}})) == "not run here"


def test_exact_numbers_are_compared_without_errors(study):
    exact = study.number({"value": 3})
    assert gain(-1, exact, study.number({"value": 4})) == math.inf
    assert gain(-1, exact, exact) == 0


def test_a_page_says_a_conclusion_only_where_it_came_out(study):
    claim = {"claim": "lower", "source": {"by": "S", "value": 20}, "ours": {"run": "b", "key": "metrics: test/mse"},
             "better": "lower", "conclusion": {"met": "It is so.", "missed": "It is not."}}  # fmt: skip
    study.told["claims"] = [claim]
    for name in study.runs:  # what else a run leaves behind, as far as a page reads it
        config = {"model": {"name": "ae", "encoder": None}, "seed": 0, "beta": {"value": 1}, "epochs": {"full": 9}}
        metadata = {"data": {"name": "d", "shape": [1, 8, 8], "images": {"train": 5}}, "code": 2, "parameters": 3,
                "epochs": 1, "seconds": 4.0}  # fmt: skip
        (study.runs_folder / name / "config.yaml").write_text(yaml.safe_dump(config))
        (study.runs_folder / name / "run.json").write_text(json.dumps(metadata))
    page = write_page(study).read_text()
    assert "It is so." in page
    assert "It is not." not in page
    assert "| lower | S: 20 |  | 8 | 1 | **met** |" in page
    assert "Not run here" not in page


def test_a_page_of_runs_that_are_elsewhere_is_kept(study, tmp_path):
    study.runs_folder = tmp_path / "nowhere"
    for name in ("README.md", "claims.json", "picture.png"):
        (study.folder / name).write_text("as published")
    assert write_page(study) is None
    assert {file.read_text() for file in study.folder.iterdir()} == {"as published"}


def test_what_is_finished_is_not_trained_again(study, monkeypatch):
    called = []
    monkeypatch.setattr(rebuild, "call", lambda run_command, words: called.append((run_command, words)) or 0)
    study.told["runs"]["c"] = "experiment=compare model=ae"
    study.told["asks"] = {
        "of_b": {"run": "b", "apply": "application=sample"},
        "of_c": {"run": "c", "apply": "application=sample"},
    }
    assert rebuild.run(study, ["budget=full"]) == 0
    (train_door, trained), (apply_door, asked) = called
    assert (train_door, apply_door) == ("train", "apply")
    assert trained == ["experiment=compare", "model=ae", "logger=none", "budget=full",
                       f"hydra.run.dir='{study.runs_folder / 'c'}'"]  # fmt: skip
    assert asked[0] == f"run={study.runs_folder / 'b'}"  # c has no run yet that could be asked


def test_conf_is_where_the_script_expects_it():
    assert (CONF / "experiment").is_dir()
    assert HERE == CONF.parent / "experiments"
