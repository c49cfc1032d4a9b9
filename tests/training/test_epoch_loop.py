"""Our loop over an epoch's batches against Lightning's own: the same hooks, numbers, checkpoints, and who gets it."""

import inspect
import math

import lightning.pytorch as pl
import pandas as pd
import pytest
import torch
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop

from autoencoders.train import train
from autoencoders.training import epoch_loop
from autoencoders.training.pipeline import build_trainer

QUICK = ["model=vae", "trainer=cpu", "trainer.max_epochs=2", "trainer.limit_train_batches=5", "logger=csv",
         "trainer.limit_val_batches=1", "trainer.log_every_n_steps=2", "test=false", "data.size=12", "net=mlp",
         "net.widths=[32]", "callbacks=[checkpoint,health]", "callbacks.health.every_n_epochs=0"]  # fmt: skip


class Trace(pl.Callback):
    """Notes every call of a hook: its name, what Lightning says it is in, the step, and the shapes it is given."""

    seen: list = []


def noting(name):
    def hook(self, trainer, pl_module, *given, **named):
        metrics = sorted(trainer.callback_metrics) if name == "on_validation_start" else ()
        self.seen.append((name, pl_module._current_fx_name, trainer.global_step, len(given), metrics))

    return hook


HOOKS = [name for name, _ in inspect.getmembers(pl.Callback, inspect.isfunction) if name.startswith("on_")]
for _name in HOOKS:
    if _name not in ("on_save_checkpoint", "on_load_checkpoint", "on_exception"):
        setattr(Trace, _name, noting(_name))


class Plain(epoch_loop.TrainingEpochs):
    """Lightning's own steps in our place."""

    def on_run_start(self, data_fetcher):
        super().on_run_start(data_fetcher)
        assert self._step is not None  # what is compared
        self._step = None


def trained(config, folder):
    config["callbacks"]["trace"] = {"_target_": f"{__name__}.Trace"}
    Trace.seen = []
    train(config)
    checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return Trace.seen, pd.read_csv(folder / "metrics.csv"), checkpoint


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize(
    "words",
    [[], ["+trainer.val_check_interval=2"], ["trainer.max_steps=7", "trainer.max_epochs=-1"],
     ["trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1"],
     ["model=ae", "schedule=cosine", "optimizer=adamw"]],
    ids=lambda words: ",".join(words) or "defaults",
)  # fmt: skip
def test_a_run_is_the_one_that_lightnings_own_loop_makes(compose_into, tmp_path, monkeypatch, words):
    ours = trained(compose_into(*QUICK, *words, folder=tmp_path / "ours"), tmp_path / "ours")
    monkeypatch.setattr(epoch_loop, "TrainingEpochs", Plain)
    stock = trained(compose_into(*QUICK, *words, folder=tmp_path / "stock"), tmp_path / "stock")
    assert ours[0] == stock[0]
    assert len([name for name, *_ in ours[0] if name == "on_before_zero_grad"]) > 4
    pd.testing.assert_frame_equal(ours[1], stock[1])
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "loops"):
        assert equal(ours[2].get(part), stock[2].get(part)), part


class Own(pl.LightningModule):
    """The least of a model; `optimizer_step` and its like may be given to it."""

    def __init__(self, optimizer=torch.optim.SGD):
        super().__init__()
        self.layer, self.kind = torch.nn.Linear(2, 1), optimizer

    def training_step(self, batch, batch_idx):
        return self.layer(batch[0]).square().mean()

    def configure_optimizers(self):
        return self.kind(self.parameters(), lr=0.1)


class Stepping(Own):
    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        optimizer.step(closure=optimizer_closure)


class Looking(Own):
    def on_after_backward(self):
        pass


class WithoutNumber(Own):
    def training_step(self, batch):
        return super().training_step(batch, 0)


class Manual(Own):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        self.optimizers().step()


@pytest.mark.parametrize(
    ("model", "options", "usual"),
    [(Own, {}, True), (Own, {"accumulate_grad_batches": 2}, False), (Own, {"profiler": "simple"}, False),
     (lambda: Own(torch.optim.LBFGS), {}, False), (Stepping, {}, False), (Looking, {}, False),
     (WithoutNumber, {}, False), (Manual, {}, False)],
)  # fmt: skip
def test_what_is_not_usual_is_left_to_lightning(compose, tmp_path, model, options, usual):
    config = compose("trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=none")
    config["trainer"] |= options
    trainer, seen = build_trainer(config, [], []), []
    loop = trainer.fit_loop.epoch_loop

    class Asks(pl.Callback):
        def on_train_batch_start(self, *_):
            seen.append(loop._step is not None)

    trainer.callbacks.append(Asks())
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(4, 2)), batch_size=2)
    trainer.fit(model(), data)
    assert seen == [usual, usual]


def test_a_loop_of_the_users_own_stays():
    class Mine(_TrainingEpochLoop):
        pass

    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit_loop.epoch_loop = mine = Mine(trainer)
    epoch_loop.TrainingEpochs.install(trainer)
    assert trainer.fit_loop.epoch_loop is mine
