"""Lightning's loop over the batches of an epoch, without unused hooks.

Lightning calls every callback at seven points of every step, whether or not it defines the hook, and wraps the step in
nested closures that few optimizers need: .8 to 1.6 ms of Python, a tenth of the step of a small network on a CPU. This
loop calls only defined hooks, with the operations and the order of Lightning's loop.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from lightning.pytorch.loops.fetchers import _DataLoaderIterDataFetcher
from lightning.pytorch.loops.optimization.automatic import ClosureResult
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.strategies import SingleDeviceStrategy

MOMENTS = ("on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward",
           "on_before_optimizer_step", "on_train_batch_end")  # fmt: skip
"""Callback hooks of a step, in their order."""
OWN = ("optimizer_step", "optimizer_zero_grad", "backward", "lr_scheduler_step", "on_before_batch_transfer",
       "on_after_batch_transfer")  # fmt: skip
"""Further hooks that a model or data module may override. Lightning's loop then runs the step."""


class Step(NamedTuple):
    """The operations of the steps of an epoch.

    Attributes:
        model: the trained model.
        optimizer: its only optimizer.
        transfer: moves a batch to a device.
        interrupted: whether validation runs within the epoch, which may read metrics logged by a step.
        act: hook name -> function that calls it.
    """

    model: pl.LightningModule
    optimizer: torch.optim.Optimizer
    transfer: Callable[..., Any]
    interrupted: bool
    act: dict[str, Callable[..., None]]


class TrainingEpochs(_TrainingEpochLoop):
    """A loop for the usual run: one device, one optimizer, one step per batch, no profiler.

    Other runs use Lightning's steps.
    """

    _step: Step | None = None

    @classmethod
    def install(cls, trainer: pl.Trainer) -> None:
        """Replace the loop of a trainer."""
        stock = trainer.fit_loop.epoch_loop
        if type(stock) is _TrainingEpochLoop:
            trainer.fit_loop.epoch_loop = cls(trainer, stock.min_steps, stock.max_steps)

    def on_run_start(self, data_fetcher: Any) -> None:
        """Determine the operations of a step before the epoch starts."""
        super().on_run_start(data_fetcher)
        usual = not isinstance(data_fetcher, _DataLoaderIterDataFetcher)
        usual &= not self.automatic_optimization._skip_backward  # as weight averaging does for batch norm
        self._step = usual_step(self.trainer) if usual else None

    def advance(self, data_fetcher: Any) -> None:
        """Run one batch, as `_TrainingEpochLoop.advance` does."""
        if self._step is None or self.restarting:
            super().advance(data_fetcher)
            return
        trainer, (_, _, transfer, interrupted, act), progress = self.trainer, self._step, self.batch_progress
        logs = trainer._logger_connector
        self.val_loop.restarting = False
        batch, number = next(data_fetcher)[0], self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        batch = transfer(batch, trainer.strategy.root_device, 0)
        progress.increment_ready()
        logs.on_batch_start(batch)
        act["on_train_batch_start"](batch, number)
        progress.increment_started()
        outputs = self._optimize(batch, number)
        progress.increment_processed()
        self._schedule(number + 1)
        act["on_train_batch_end"](outputs, batch, number)
        if interrupted or logs.should_update_logs or self._is_training_done:
            logs.on_batch_end()  # collects logged metrics; before that, they are collected on access
        else:
            trainer._results.batch = trainer._results.batch_size = None
        progress.increment_completed()
        logs.update_train_step_metrics()

    def _optimize(self, batch: Any, number: int) -> dict[str, Any]:
        """Run forward pass, backward pass and optimizer step, as `_AutomaticOptimization.run` does."""
        trainer, (model, optimizer, _, _, act) = self.trainer, self._step
        progress, outside = self.automatic_optimization.optim_progress.optimizer, model._current_fx_name
        progress.step.increment_ready()
        model._current_fx_name = "training_step"
        with torch.enable_grad(), trainer.precision_plugin.train_step_context():
            result = ClosureResult.from_training_step_output(model.training_step(batch, number))
        progress.zero_grad.increment_ready()
        act["on_before_zero_grad"](optimizer)
        progress.zero_grad.increment_started()
        optimizer.zero_grad()
        progress.zero_grad.increment_completed()
        if result.closure_loss is not None:
            act["on_before_backward"](result.closure_loss)
            result.closure_loss.backward()
            act["on_after_backward"]()
        act["on_before_optimizer_step"](optimizer)
        model._current_fx_name = "configure_gradient_clipping"
        model.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
        model._current_fx_name = outside
        optimizer.step()
        progress.step.increment_completed()
        return {} if result.loss is None else result.asdict()

    def _schedule(self, done: int) -> None:
        """Step the schedules: those by step after each step, and those by epoch at its end."""
        for config in self.trainer.lr_scheduler_configs:
            if config.interval == "step" and done % config.frequency == 0:
                self.scheduler_progress.increment_ready()
                config.scheduler.step()
                self.scheduler_progress.increment_completed()
        if self._num_ready_batches_reached():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)


def usual_step(trainer: pl.Trainer) -> Step | None:
    """Return the operations of a step, or None if Lightning's loop must run it."""
    model, strategy, precision = trainer.lightning_module, trainer.strategy, trainer.precision_plugin
    plain = (
        type(strategy) is SingleDeviceStrategy
        and strategy.model is model
        and (type(precision) is Precision or (type(precision) is MixedPrecision and precision.scaler is None))
        and isinstance(trainer.profiler, PassThroughProfiler)
        and trainer.accumulate_grad_batches == 1
        and model.automatic_optimization
        and len(trainer.optimizers) == 1
        and not any(config.reduce_on_plateau for config in trainer.lr_scheduler_configs)
        and not any(overridden(model, pl.LightningModule, name) for name in (*MOMENTS, *OWN))
        and not any(overridden(trainer.datamodule, pl.LightningDataModule, name) for name in OWN[-2:])
        and list(inspect.signature(model.training_step).parameters)[1:] == ["batch_idx"]
    )
    if not plain:
        return None
    (optimizer,) = trainer.optimizers
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:  # LBFGS evaluates the loss several times
        return None
    ours = overridden(trainer.datamodule, pl.LightningDataModule, "transfer_batch_to_device")
    transfer = (trainer.datamodule if ours else model).transfer_batch_to_device
    interrupted = trainer.val_check_batch != trainer.num_training_batches
    return Step(model, optimizer, transfer, interrupted, {name: acting(trainer, model, name) for name in MOMENTS})


def acting(trainer: pl.Trainer, model: pl.LightningModule, moment: str) -> Callable[..., None]:
    """Return a function that calls a hook of the callbacks which define it."""
    methods = [getattr(c, moment) for c in trainer.callbacks if overridden(c, pl.Callback, moment)]
    return partial(_call, methods, moment, trainer, model) if methods else _nothing


def overridden(part: Any, base: type, name: str) -> bool:
    """Return whether an object overrides a method of its base class."""
    return part is not None and (name in vars(part) or getattr(type(part), name) is not getattr(base, name))


def _call(
    methods: list[Callable[..., None]], moment: str, trainer: pl.Trainer, model: pl.LightningModule, *given: Any
) -> None:
    outside, model._current_fx_name = model._current_fx_name, moment
    for method in methods:
        method(trainer, model, *given)
    model._current_fx_name = outside


def _nothing(*given: Any) -> None:
    pass
