"""Results do not depend on the number of optimizer steps per call of `training_step`, nor on where a run is resumed."""

import math
import os
import signal

import lightning.pytorch as pl
import pytest
import torch

from autoencoders.models.execution import StepCallback
from autoencoders.models.vae import VAE
from autoencoders.train import train
from autoencoders.types import RunStopped, UserError

QUICK = ["model=vae", "trainer=cpu", "trainer.max_epochs=2", "trainer.limit_val_batches=1", "logger=none",
         "trainer.log_every_n_steps=3", "test=false", "data.size=12", "net=mlp", "net.widths=[32]",
         "data.batch_size=64", "callbacks=[checkpoint,health]", "callbacks.health.every_n_epochs=0",
         "callbacks.last_checkpoint.every_n_steps=5"]  # fmt: skip
DIFFERENT = ("steps_per_execution", "folder", "dirpath", "seconds", "age", "images", "path", "current_score")
"""Ends of keys in checkpoints that may differ: folders, times, and a score that Lightning does not restore."""


class Trace(StepCallback):
    """Records the optimizer steps after which `on_step_end` is called, with the indices of the batches."""

    seen: list = []

    def on_step_end(self, trainer, model, batch, number, loss):
        self.seen.append((trainer.global_step, number, trainer.current_epoch, float(loss)))


class BatchHook(pl.Callback):
    def on_train_batch_end(self, *_):
        pass


class StopAt(StepCallback):
    """Sends a signal to the process in an optimizer step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, trainer, model, batch, number, loss):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class VAEWithOwnSteps(VAE):
    def on_train_batch_start(self, batch, batch_idx):
        pass


def differences(a, b, path=""):
    """Return the paths of different values in two nested containers."""
    if any(path.rpartition(".")[2].endswith(word) for word in DIFFERENT) or path.endswith(
        (".best_k_models", ".hyper_parameters")
    ):
        return []
    if type(a) is not type(b):
        return [path]
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [path]
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return [path]
        return [d for key in a for d in differences(a[key], b[key], f"{path}.{key}")]
    if isinstance(a, (list, tuple)):
        return [path] if len(a) != len(b) else [d for x, y in zip(a, b, strict=True) for d in differences(x, y, path)]
    return [] if a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b)) else [path]


def assert_equal_runs(one, other):
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    for name in ("best", "last", "previous"):
        a, b = (torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True) for folder in (one, other))
        assert differences(a, b) == [], name


@pytest.mark.parametrize(
    "words",
    [["+trainer.val_check_interval=0.3", "trainer.max_steps=27"], ["model=cvae", "model.guide=1", "beta=warmup"],
     ["data.binarize=dynamic", "corruption=erase", "data.shift=1"],
     *(pytest.param(words, marks=pytest.mark.slow) for words in (
         ["trainer.max_steps=36", "trainer.max_epochs=-1"], ["trainer.precision=bf16-mixed"],
         ["trainer.limit_train_batches=0.4", "trainer.log_every_n_steps=1"],
         [], ["+trainer.val_check_interval=4"], ["trainer.limit_train_batches=9"],
         ["model=ae", "schedule=cosine", "optimizer=adamw"], ["objective=iwae", "objective.samples=3"],
         ["model=classifier"], ["model=supervised_ae"]))],
    ids=lambda words: ",".join(words) or "defaults",
)  # fmt: skip
def test_weights_metrics_and_checkpoints_do_not_depend_on_the_number_of_steps(compose_into, tmp_path, words):
    traces = []
    for steps in (1, 7, 16):
        config = compose_into(*QUICK, *words, f"steps_per_execution={steps}", folder=tmp_path / str(steps))
        config["callbacks"]["trace"] = {"_target_": f"{__name__}.Trace"}
        Trace.seen = []
        train(config)
        traces.append(Trace.seen)
    assert traces[0] == traces[1] == traces[2]
    assert len(traces[0]) > 4
    assert_equal_runs(tmp_path / "1", tmp_path / "7")
    assert_equal_runs(tmp_path / "1", tmp_path / "16")


@pytest.mark.parametrize("step", [12, 38, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 5, 19, 20, 33))])
def test_a_run_stopped_within_a_group_continues_with_any_number_of_steps(compose_into, tmp_path, step):
    train(compose_into(*QUICK, folder=tmp_path / "whole"))
    config = compose_into(*QUICK, "steps_per_execution=7", folder=tmp_path / "run")
    config["callbacks"]["stop"] = {"_target_": f"{__name__}.StopAt", "step": step}
    with pytest.raises(RunStopped):
        train(config)
    checkpoint = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] - step in (0, 1)  # the signal may be handled one step later
    train(compose_into(*QUICK, f"steps_per_execution={1 + step % 5}", "resume=auto", folder=tmp_path / "run"))
    assert_equal_runs(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["trainer.accumulate_grad_batches=2"], "trainer.accumulate_grad_batches"),
     (["trainer.gradient_clip_val=1"], "trainer.gradient_clip_val"), (["+trainer.profiler=simple"], "a profiler"),
     ([f"+callbacks.own._target_={__name__}.BatchHook"], "BatchHook"),
     ([f"model._target_={__name__}.VAEWithOwnSteps"], "VAEWithOwnSteps"), (["trainer=ddp_cpu"], "several processes"),
     (["+trainer.overfit_batches=2"], "overfit_batches"), (["model=pca", "likelihood=gaussian"], "PCA")],
)  # fmt: skip
def test_runs_that_need_single_steps_say_why(compose_into, tmp_path, words, reason):
    config = compose_into(*QUICK, *words, "steps_per_execution=4", folder=tmp_path / "run")
    with pytest.raises(
        UserError, match=rf"steps_per_execution must be 1 with .*{reason}.*, got 4. Set steps_per_execution to"
    ):
        train(config)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many"])
def test_invalid_numbers_of_steps_are_refused(compose_into, tmp_path, value):
    with pytest.raises(UserError, match="steps_per_execution must be auto or an integer >= 1, got"):
        train(compose_into(*QUICK, folder=tmp_path / "run") | {"steps_per_execution": value})
