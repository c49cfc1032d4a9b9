"""Presets for debugging, runs without training, hyperparameter search, names of runs, and averages of weights."""

import json
import os
import sqlite3
import subprocess
import sys

import lightning.pytorch as pl
import pandas as pd
import pytest
import torch

from autoencoders import apply as apply_module
from autoencoders import train as train_module
from autoencoders.config.arguments import replace_synonyms
from autoencoders.train import train
from autoencoders.types import UserError

WORDS = ["model=vae", "data=digits", "data.size=8", "net.widths=[16]", "trainer=cpu", "logger=none"]
SHORT = ["callbacks=checkpoint", "trainer.max_epochs=1", "trainer.limit_train_batches=3"]


def read(folder, name="metrics.json"):
    return json.loads((folder / name).read_text())


@pytest.fixture
def order(monkeypatch):
    """The pixel sums of every training batch of a run."""
    from autoencoders.data.loader import Batches

    sums, plain = [], Batches.serve

    def serve(self, *arguments):
        batch = plain(self, *arguments)
        if self.train:
            sums.append(batch.x.sum().item())
        return batch

    monkeypatch.setattr(Batches, "serve", serve)
    return sums


def test_fdr_runs_one_batch_of_every_stage_and_all_figures(compose, tmp_path, order):
    train(compose("debug=fdr", *WORDS[:-1]))
    assert len(order) == 1
    assert {"test/mse", "val/mse"} <= read(tmp_path / "run").keys()
    assert {"reconstructions", "samples", "latents"} <= {p.name for p in (tmp_path / "run/figures").iterdir()}
    assert not (tmp_path / "run/wandb").exists()


def test_overfit_trains_on_the_same_batch_in_every_epoch(compose, tmp_path, order):
    train(compose("debug=overfit", *WORDS, "trainer.max_epochs=60", "trainer.log_every_n_steps=1"))
    assert len(order) == 60
    torch.testing.assert_close(order, [order[0]] * 60)
    loss = pd.read_csv(tmp_path / "run/metrics.csv")["train/loss"].dropna()
    assert loss.iloc[-1] < 0.7 * loss.iloc[0]


def test_profile_writes_the_times_of_lightning(compose, tmp_path):
    train(compose("debug=profile", *WORDS, "trainer.limit_train_batches=2"))
    assert "run_training_batch" in next((tmp_path / "run").glob("*profile*")).read_text()


@pytest.mark.parametrize("preset", ["fdr", "limit", "overfit", "profile"])
@pytest.mark.parametrize("experiment", [None, "s0_faces"])
def test_presets_change_every_experiment(compose, preset, experiment):
    words = [f"experiment={experiment}"] if experiment else ["trainer=cpu"]
    config = compose(*words, f"debug={preset}")
    assert config["traceback"] is True
    assert config["logger"] == {}
    assert config["trainer"]["max_epochs"] == {"fdr": 1, "limit": 3, "overfit": 200, "profile": 1}[preset]


def test_a_run_without_training_has_the_test_metrics_of_the_weights(compose, tmp_path):
    first = train(compose(*WORDS, *SHORT, folder=tmp_path / "trained"))
    words = ["train=false", f"init_from={tmp_path / 'trained'}"]
    second = train(compose(*WORDS, *SHORT, *words, folder=tmp_path / "evaluated"))
    tested = {name: value for name, value in first.items() if name.startswith("test/")}
    assert {name: second[name] for name in tested} == pytest.approx(tested)
    assert read(tmp_path / "evaluated", "run.json")["epochs"] == 0


@pytest.mark.parametrize("words", [[], ["resume=auto"], ["resume=auto", "init_from=somewhere"]])
def test_a_run_without_training_and_weights_is_refused(compose, words):
    with pytest.raises(UserError, match="train=false needs the weights of a trained run, got"):
        train(compose(*WORDS, "train=false", *words))


def test_ckpt_path_means_resume_or_the_weights_to_evaluate():
    assert replace_synonyms(["model=vae", "ckpt_path=runs/a"]) == ["model=vae", "resume=runs/a"]
    assert replace_synonyms(["ckpt_path=a.ckpt", "train=False"]) == ["init_from=a.ckpt", "train=False"]


def test_ckpt_path_of_apply_is_the_run(compose, tmp_path, run_command):
    train(compose(*WORDS, *SHORT))
    done = run_command(apply_module, "ckpt_path=run", "application=reconstruct", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/tables/reconstruct").is_dir()


def test_names_have_no_beta_without_a_rate_and_jobs_have_the_seed(run_command, compose, tmp_path):
    assert compose("model=ae", "data=mnist")["name"] == "ae-mnist-z10"
    assert compose("model=vae", "data=mnist", "beta=4")["name"] == "vae-mnist-z10-beta4"
    words = [*WORDS, *SHORT, "model=ae", "seed=3,4", "test=false", "hydra.sweep.dir=sweep"]
    done = run_command(train_module, "-m", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {p.name for p in (tmp_path / "sweep").iterdir() if p.is_dir()} == {
        "0_ae-digits-z10-seed3",
        "1_ae-digits-z10-seed4",
    }


def test_a_metric_that_does_not_exist_cannot_be_optimized(run_command, tmp_path):
    words = [*WORDS, *SHORT, "model=ae", "optimized_metric=val/neg_elbo", "hydra.run.dir=run"]
    done = run_command(train_module, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "optimized_metric must be a metric of the run, got val/neg_elbo. Choose from:" in done.stderr


@pytest.mark.slow
def test_optuna_minimizes_the_negative_elbo(run_command, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="needs hydra-optuna-sweeper")
    words = ["hydra.sweeper.n_trials=3", "hydra.sweep.dir=search", "test=false"]
    done = run_command(train_module, "hparams_search=optuna", *WORDS, *SHORT, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = [read(job)["val/neg_elbo"] for job in (tmp_path / "search").iterdir() if job.is_dir()]
    assert len(values) == 3
    assert f"best_value: {min(values)}" in (tmp_path / "search/optimization_results.yaml").read_text()


EMA = [*WORDS, "callbacks=[checkpoint,ema]", "callbacks.ema.decay=0.9", "trainer.max_epochs=3"]


def test_the_average_of_the_weights_is_that_of_its_definition(compose, tmp_path, monkeypatch):
    from autoencoders.models.vae import VAE

    steps = []
    copies = lambda self, *_: steps.append({k: v.clone() for k, v in self.decoder.state_dict().items()})  # noqa: E731
    monkeypatch.setattr(VAE, "on_train_batch_end", copies)
    train(compose(*EMA, "trainer.max_epochs=1", "trainer.limit_train_batches=8", "test=false"))
    name = next(k for k, v in steps[0].items() if v.dtype == torch.float32)
    expected = steps[0][name]
    for n, step in enumerate(steps[1:], 1):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * step[name]
    state = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(state[f"decoder.{name}"], expected)


def test_an_averaged_run_is_tested_with_the_average_and_resumes_exactly(compose, tmp_path, monkeypatch):
    whole = train(compose(*EMA, folder=tmp_path / "whole"))
    best = torch.load(tmp_path / "whole/checkpoints/best.ckpt", weights_only=True)
    again = ["train=false", f"init_from={tmp_path / 'whole'}"]
    assert train(compose(*EMA, *again, folder=tmp_path / "again"))["test/mse"] == pytest.approx(whole["test/mse"])
    average, current = best["state_dict"], best["current_model_state"]
    assert not all(torch.equal(average[name], current[name]) for name in average)

    def stop(self, trainer, *_):
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pl.Callback, "on_train_epoch_start", stop)
        with pytest.raises(BaseException):  # noqa: B017, PT011  # Lightning turns the interrupt into an exit
            train(compose(*EMA, folder=tmp_path / "parts"))
    resumed = train(compose(*EMA, "resume=auto", folder=tmp_path / "parts"))
    assert resumed == whole
    states = [torch.load(tmp_path / f"{f}/checkpoints/last.ckpt", weights_only=True) for f in ("whole", "parts")]
    for key in ("state_dict", "current_model_state"):
        assert all(torch.equal(states[0][key][name], states[1][key][name]) for name in states[0][key])


def test_mlflow_receives_the_metrics(compose, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="needs mlflow")
    train(compose(*WORDS[:-1], "logger=mlflow", *SHORT, "test=false"))
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'run'}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("autoencoders").experiment_id])
    assert run.data.metrics["val/mse"] == pytest.approx(read(tmp_path / "run")["val/mse"])
    assert run.data.params["latent_dim/size"] == "10"


@pytest.mark.slow
def test_trackio_receives_the_metrics_and_figures(tmp_path):
    pytest.importorskip("trackio", reason="needs trackio")
    words = ["logger=trackio", "trainer.max_epochs=1", "hydra.run.dir=run"]
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}  # read when trackio is imported
    command = [sys.executable, "-m", "autoencoders.train", *WORDS[:-1], *words]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
    with sqlite3.connect(tmp_path / "trackio/autoencoders.db") as database:
        rows = [json.loads(row[0]) for row in database.execute("select metrics from metrics")]
    logged = [row["val/mse"] for row in rows if "val/mse" in row]
    assert logged[-1] == pytest.approx(read(tmp_path / "run")["val/mse"])
    assert any("reconstructions" in row for row in rows)
