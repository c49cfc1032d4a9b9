"""Base class of all models, with the methods and attributes that training and other modules of the package use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from autoencoders.data.datamodule import get_datamodule
from autoencoders.data.groups import BatchGroup
from autoencoders.metrics.running_sums import RunningSums
from autoencoders.models.execution import SavedAt, loops_in_batches, loops_in_groups, run_group
from autoencoders.models.optim import optimizer_config, planned_steps
from autoencoders.types import Batch, Context, Shape, UserError
from autoencoders.utils.lightning import get_log_interval, write_metrics

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.objectives.beta_schedules import BetaSchedule
    from autoencoders.objectives.elbo import ELBO
    from autoencoders.objectives.likelihoods import Likelihood


def as_image_model(model: pl.LightningModule) -> ImageModel:
    """Return the model unchanged if it is an `ImageModel`.

    Raises:
        UserError: if the model is not an `ImageModel`.
    """
    if not isinstance(model, ImageModel):
        raise UserError(
            f"The model must be an ImageModel, got {type(model).__name__}. Derive its class from ImageModel."
        )
    return model


class ImageModel(pl.LightningModule):
    """Base class of models for images, with optimizer configuration, gradient clipping and exact mean metrics.

    Metrics are means over all images of a split, computed from running sums. A subclass defines `batch_loss`,
    `_evaluation_sums`, `_evaluation_metrics` and `_training_metrics`.

    Args:
        shape: image shape (C, H, W).
        labels: kind and names of the class or attribute labels of the data; None for a model that uses no labels.
        name: display name of the model in figures and tables.
        optimizer: called with the parameters; returns the optimizer. None for a model that is not trained by gradients.
        schedule: called with the optimizer; returns the learning-rate schedule. An argument `auto` is replaced by the
            number of optimizer steps of the run. None for a constant learning rate.

    Attributes:
        decodes: whether the model has `encode`, `posterior` and `decode`.
        single_process: whether the model can be trained by a single process only.
        has_prior: whether the model has a standard normal prior p(z), from which codes can be sampled.
        latent_dim: Z, the size of the latent code; None for a model without latent codes.
        context_size: K, the size of the context vector (encoded labels); 0 for an unconditional model.
        beta_schedule: schedule of beta, the weight of the rate (KL divergence of the posterior from the prior) in the
            loss; None for a model without a rate.
        objective: objective of an autoencoder, which computes the loss terms; None for other models.
        family: likelihood p(x | z); None for a model without a decoder.
        l1: weight of the L1 norm of the latent code in the loss.
    """

    decodes: ClassVar[bool] = False
    single_process: ClassVar[bool] = False
    latent_dim: int | None = None
    context_size: int = 0
    beta_schedule: BetaSchedule | None = None
    objective: ELBO | None = None
    family: Likelihood | None  # no default: a class attribute would hide the submodule of the same name
    l1: float = 0.0

    def __init__(
        self,
        *,
        shape: Shape,
        labels: Context | None,
        name: str,
        optimizer: Callable | None,
        schedule: partial | None,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.shape: Shape = (channels, height, width)
        self.labels, self.name = labels, name
        self._optimizer, self._schedule = optimizer, schedule
        self._sums = {split: RunningSums() for split in ("train", "val", "test")}
        self._marks: dict[str, tuple[Tensor | None, int] | None] = {"step": None, "epoch": None}
        self._marked_epoch = -1
        self._saved_sums: dict | None = None
        self._step_metrics: dict[str, Tensor | float] = {}
        self._in_group = False
        self._fitting = False
        self._steps: float = 0
        self._progress = 1.0
        self._planned: float | None = None

    @property
    def has_prior(self) -> bool:
        """Whether the model has a standard normal prior p(z), from which codes can be sampled."""
        return False

    @property
    def notes(self) -> list[str]:
        """Warnings about the model, one sentence each, that are saved in run.json."""
        return []

    @property
    def traits(self) -> list[str]:
        """Short descriptions of the model that figure titles show after the model name."""
        return []

    @property
    def training_sums(self) -> RunningSums:
        """Running sums of the training loss terms, or of other training metrics, over all images since the run began.

        The sums are on the device of the model. The number of images is their `count`.
        """
        return self._sums["train"]

    @property
    def progress(self) -> float:
        """Fraction of the run's optimizer steps that were complete before the latest training step, in [0, 1].

        Outside of `Trainer.fit`, the fraction is 1. Validation during training uses the beta of the latest training
        step, because the fraction does not change between them.
        """
        return self._progress if self._fitting else 1.0

    @property
    def _datamodule(self) -> ImageDataModule:
        """The data module of the trainer that uses this model."""
        return get_datamodule(self.trainer)

    @property
    def epochs_started(self) -> int:
        """Number of training epochs that have started, including the current one."""
        return self._marked_epoch + 1

    # Optimization ---------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer for all parameters and the learning-rate schedule, which changes after every step.

        Raises:
            UserError: if the model has no optimizer, or if the learning rate or the schedule is invalid.
        """
        if self._optimizer is None:
            raise UserError(f"model.optimizer must be an optimizer for {self.name}, got null. Choose optimizer=adam.")
        return optimizer_config(self.parameters(), self._optimizer, self._schedule, self.trainer)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients by norm or by value.

        With trainer.precision=bf16-mixed, this method clips the gradients itself. Lightning's method would reject fused
        optimizers under any mixed precision. Only a gradient scaler makes this necessary, and bfloat16 uses none.
        """
        if not gradient_clip_val:
            return
        if self.trainer.precision == "bf16-mixed":
            clip = nn.utils.clip_grad_value_ if gradient_clip_algorithm == "value" else nn.utils.clip_grad_norm_
            clip(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_fit_start(self) -> None:
        """Compute the number of optimizer steps of the run, and restore the running training sums from the checkpoint.

        Raises:
            UserError: if beta or the learning-rate schedule depends on the number of optimizer steps, and this number
                is infinite or differs from the number in the checkpoint.
        """
        self._fitting = True
        self._steps = planned_steps(self.trainer, self.beta_schedule, self._schedule, self._planned)
        self._progress = min(1.0, self.trainer.global_step / max(self._steps, 1))
        if self._saved_sums is not None:
            state, self._saved_sums = dict(self._saved_sums), None
            self._marked_epoch = state.pop("of_epoch")
            self._marks = self._sums["train"].load(state, self.trainer.is_global_zero, self.device)

    def on_fit_end(self) -> None:
        """Mark the fit as ended, so that `progress` returns 1."""
        self._fitting = False

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Save the number of optimizer steps of the run and the running sums of the training loss terms."""
        if not self.automatic_optimization:
            scheduled = any(config.interval == "step" for config in self.trainer.lr_scheduler_configs)
            point = SavedAt(self._datamodule.batches_done, self._in_group, self.trainer.validating, scheduled)
            loops_in_batches(checkpoint["loops"], point)
        checkpoint["planned_steps"] = self._steps
        sums = self._sums["train"].state(self._marks, self._sum_over_processes)
        checkpoint["training_sums"] = {**sums, "of_epoch": self._marked_epoch}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Store the number of optimizer steps and the running training sums of the checkpoint until the fit starts."""
        if not self.automatic_optimization and self._datamodule.plan is not None:
            loops_in_groups(checkpoint["loops"], self._datamodule.plan)
        self._planned, self._saved_sums = checkpoint.get("planned_steps"), checkpoint.get("training_sums")

    # Training -------------------------------------------------------------------------------------------

    def batch_loss(self, batch: Batch, number: int) -> Tensor | None:
        """Return the loss of a training batch in nats per image, and add the loss terms to the running training sums.

        A model without an optimizer returns None.

        Args:
            batch: training batch with B images.
            number: index of the batch in the epoch, from 0.
        """
        raise NotImplementedError

    def training_step(self, batch: Batch | BatchGroup, batch_idx: int) -> Tensor | None:
        """Return the loss of a single batch, or run one optimizer step for each batch of a group and return None."""
        if not isinstance(batch, BatchGroup):
            return self.batch_loss(batch, batch_idx)
        self._in_group = True
        try:
            run_group(self, batch)
        finally:
            self._in_group = False
        return None

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the metrics of the current optimizer step, including the metrics from `add_step_metrics`."""
        if self._step_metrics:
            write_metrics(self.trainer, self._step_metrics, self.trainer.global_step)
            self._step_metrics = {}

    def add_step_metrics(self, metrics: Mapping[str, Tensor | float]) -> None:
        """Add metrics to the metrics of the current optimizer step, which are logged together.

        Args:
            metrics: metric name -> value. A tensor with one element stays on its device until it is logged.
        """
        self._step_metrics |= metrics

    # Metrics --------------------------------------------------------------------------------------------

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Pass metrics to the callbacks, and write the metrics to all loggers at the current optimizer step.

        During a fit, the metrics are not written by Lightning. Lightning would use the number of batch groups as the
        step, and would write the metrics only after the checkpoint of the epoch.

        Args:
            metrics: metric name -> value.
        """
        if self.automatic_optimization and not self._fitting:
            self.log_dict(dict(metrics))  # Trainer.test and Trainer.validate return these metrics
            return
        self.log_dict(dict(metrics), logger=False)
        steps = self.trainer.global_step
        write_metrics(self.trainer, metrics, max(steps - 1, 0) if self._fitting else steps)

    def _logs_step(self, number: int) -> bool:
        """Return whether the batch with this index in the epoch ends an optimizer step whose metrics are logged."""
        stepping = (number + 1) % self.trainer.accumulate_grad_batches == 0
        return stepping and (self.trainer.global_step + 1) % get_log_interval(self.trainer) == 0

    def _learning_rate(self) -> float:
        """Return the current learning rate of the first parameter group of the first optimizer."""
        return self.trainer.optimizers[0].param_groups[0]["lr"]

    def _sum_over_processes(self, sums: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(sums, reduce_op="sum")

    def _evaluation_sums(self, batch: Batch, split: str) -> Tensor:
        """Return M sums (M,) over the images of a validation or test batch."""
        raise NotImplementedError

    def _evaluation_metrics(self, split: str, means: Tensor) -> dict[str, float]:
        """Return the validation or test metrics.

        Args:
            split: `val` or `test`, the prefix of the metric names.
            means: means (M,) over all images of the split, of the terms that `_evaluation_sums` sums.
        """
        raise NotImplementedError

    def _training_metrics(self, means: Tensor) -> dict[str, float]:
        """Return the training metrics of an epoch.

        Args:
            means: means (M,) over all training images of the epoch, of the terms that `batch_loss` sums.
        """
        raise NotImplementedError

    def on_train_epoch_start(self) -> None:
        """Save the running training sums at the start of the epoch, from which the means of the epoch are computed.

        If a checkpoint from the middle of the epoch was loaded, it already contains these sums.
        """
        if self._marked_epoch != self.current_epoch:
            self._marked_epoch, self._marks["epoch"] = self.current_epoch, self._sums["train"].mark()

    def on_train_epoch_end(self) -> None:
        """Log the metrics `train/*`, which are means over the training images of the epoch.

        Each image is used once, as it was augmented and with the model weights of its own training step.
        """
        means = self._sums["train"].means(self._sum_over_processes, since=self._marks["epoch"])
        if len(means):
            self.log_metrics(self._training_metrics(means))

    def _evaluation_step(self, batch: Batch, split: str) -> None:
        self._sums[split].add(self._evaluation_sums(batch, split), len(batch.x))

    def _evaluation_end(self, split: str) -> None:
        means = self._sums[split].means(self._sum_over_processes)
        self._sums[split].reset()
        if len(means):
            self.log_metrics(self._evaluation_metrics(split, means))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the sums over a batch to the running sums of the validation split."""
        self._evaluation_step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics `val/*`, which are means over all images of the validation split."""
        self._evaluation_end("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add the sums over a batch to the running sums of the test split."""
        self._evaluation_step(batch, "test")

    def on_test_epoch_end(self) -> None:
        """Log the metrics `test/*`, which are means over all images of the test split."""
        self._evaluation_end("test")
