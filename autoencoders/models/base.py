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
from autoencoders.metrics.running_means import RunningMeans
from autoencoders.models.checkpoint_content import add_configuration
from autoencoders.models.execution import SavedAt, loops_in_batches, loops_in_groups, run_group
from autoencoders.models.optim import optimizer_config, planned_steps
from autoencoders.types import Batch, Context, Shape, UserError
from autoencoders.utils.lightning import get_log_interval, write_metrics
from autoencoders.utils.recorded import Recorded

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


class ImageModel(Recorded, pl.LightningModule):
    """Base class of models for images, with optimizer configuration, gradient clipping and exact mean metrics.

    A subclass defines `_shared_step`, which computes the loss of a batch and updates the metric of its stage, and
    `_stage_metrics`, which converts the means of a stage to named metrics.

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
        has_prior: whether the model has a prior p(z) or p(z | y), from which codes can be sampled.
        latent_dim: Z, the size of the latent code; None for a model without latent codes.
        context_size: K, the size of the context vector (encoded labels); 0 for an unconditional model.
        beta_schedule: schedule of beta, the weight of the rate (KL divergence of the posterior from the prior) in the
            loss; None for a model without a rate.
        objective: objective of an autoencoder, which computes the loss terms; None for other models.
        family: likelihood p(x | z); None for a model without a decoder.
        l1: weight of the L1 norm of the latent code in the loss.
        loss_terms: names of the first T terms of the training metric, which are finite in a training without faults.
        initialized: whether the weights are those of another run, so that `setup` must not initialize them.
        latest_terms: terms (M,) of the latest training batch, on the device, or None before the first batch. The first
            T are the `loss_terms`.
    """

    loss_terms: ClassVar[tuple[str, ...]] = ("loss",)
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
        labels: Context | dict | None,
        name: str,
        optimizer: Callable | None,
        schedule: partial | None,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        self.shape: Shape = (channels, height, width)
        self.labels, self.name = Context.of(labels), name
        self._optimizer, self._schedule = optimizer, schedule
        self.train_metric, self.val_metric, self.test_metric = RunningMeans(), RunningMeans(), RunningMeans()
        self.initialized = False
        self.latest_terms: Tensor | None = None
        self._latest_epoch = -1
        self._saved_metric: dict | None = None
        self._step_metrics: dict[str, Tensor | float] = {}
        self._in_group = False
        self._fitting = False
        self._steps: float = 0
        self._progress = 1.0
        self._planned: float | None = None
        self._modes: dict[nn.Module, bool] = {}

    @property
    def has_prior(self) -> bool:
        """Whether the model has a prior p(z) or p(z | y), from which codes can be sampled."""
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
        return self._latest_epoch + 1

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
        """Compute the number of optimizer steps of the run, and restore the training metric from the checkpoint.

        Raises:
            UserError: if beta or the learning-rate schedule depends on the number of optimizer steps, and this number
                is infinite or differs from the number in the checkpoint.
        """
        for module, mode in self._modes.items():  # a second fit trains the modules that the first fit has trained
            module.training = mode
        self._modes = {}
        self._fitting = True
        self._steps = planned_steps(self.trainer, self.beta_schedule, self._schedule, self._planned)
        self._progress = min(1.0, self.trainer.global_step / max(self._steps, 1))
        if self._saved_metric is not None:
            saved, self._saved_metric = self._saved_metric, None
            self._latest_epoch = saved["epoch"]
            self.train_metric.restore(saved["state"], self.trainer.is_global_zero)

    def on_fit_end(self) -> None:
        """Mark the fit as ended, so that `progress` returns 1, and set the model to evaluation mode."""
        self._fitting = False
        self._modes = {module: module.training for module in self.modules()}
        self.eval()

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Save the number of optimizer steps of the run, the state of the training metric, and the configuration.

        The checkpoint of a run of `autoencoders.train` already contains the configuration, in its hyperparameters.
        """
        if "format" not in self.hparams:
            add_configuration(checkpoint, self, self._datamodule)
        if not self.automatic_optimization:
            scheduled = any(config.interval == "step" for config in self.trainer.lr_scheduler_configs)
            point = SavedAt(self._datamodule.batches_done, self._in_group, self.trainer.validating, scheduled)
            loops_in_batches(checkpoint["loops"], point)
        checkpoint["planned_steps"] = self._steps
        checkpoint["training_metric"] = {"state": self.train_metric.saved_state(), "epoch": self._latest_epoch}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Store the number of optimizer steps and the training metric of the checkpoint until the fit starts."""
        if not self.automatic_optimization and self._datamodule.plan is not None:
            loops_in_groups(checkpoint["loops"], self._datamodule.plan)
        self._planned, self._saved_metric = checkpoint.get("planned_steps"), checkpoint.get("training_metric")

    # Steps ----------------------------------------------------------------------------------------------

    def _shared_step(self, batch: Batch, stage: str, number: int) -> Tensor | None:
        """Update the metric of a stage with a batch. In training, also return the loss in nats per image.

        A model without an optimizer returns None.

        Args:
            batch: batch with B images.
            stage: `train`, `val` or `test`.
            number: index of the batch in the epoch, from 0.
        """
        raise NotImplementedError

    def training_step(self, batch: Batch | BatchGroup, batch_idx: int) -> Tensor | None:
        """Return the loss of a single batch, or run one optimizer step for each batch of a group and return None."""
        if isinstance(batch, BatchGroup):
            self._run_group(batch)
            return None
        return self._shared_step(batch, "train", batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the validation metric with a batch."""
        self._shared_step(batch, "val", batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Update the test metric with a batch."""
        self._shared_step(batch, "test", batch_idx)

    def _run_group(self, group: BatchGroup) -> None:
        self._in_group = True
        try:
            run_group(self, group)
        finally:
            self._in_group = False

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

    def _learning_rate(self) -> float:
        """Return the current learning rate of the first parameter group of the first optimizer."""
        return self.trainer.optimizers[0].param_groups[0]["lr"]

    def _metric(self, stage: str) -> RunningMeans:
        """Return the metric of a stage: `train`, `val` or `test`."""
        return getattr(self, f"{stage}_metric")

    def _update_training_metric(self, terms: Tensor, count: int) -> None:
        """Update the training metric with a batch, and keep its terms as `latest_terms`.

        Args:
            terms: means (M,) over the images of the batch. The first are `loss_terms`.
            count: number of images in the batch.
        """
        self.latest_terms = terms
        self.train_metric.update(terms, count)

    def _logs_step(self, number: int, steps: int) -> bool:
        """Return whether the metrics of the current optimizer step are logged.

        Args:
            number: index in the epoch of the batch that ends the step.
            steps: number of optimizer steps before this step.
        """
        if (steps + 1) % get_log_interval(self.trainer):
            return False
        return (number + 1) % self.trainer.accumulate_grad_batches == 0

    def _stage_metrics(self, stage: str, means: Tensor) -> dict[str, float]:
        """Return the metrics of a stage, with the stage as the first part of their names.

        Args:
            stage: `train`, `val` or `test`.
            means: means (M,) over all images of the stage, of the terms with which `_shared_step` updates the metric.
        """
        raise NotImplementedError

    def _log_stage(self, stage: str) -> None:
        """Log the metrics of a stage, which are means over all its images, and reset the metric of a split."""
        metric = self._metric(stage)
        if not metric.update_called:
            return
        means = metric.compute().cpu().double()
        if stage != "train":
            metric.reset()
        self.log_metrics(self._stage_metrics(stage, means))

    def on_train_epoch_start(self) -> None:
        """Reset the training metric, unless a checkpoint from the middle of this epoch was loaded."""
        if self._latest_epoch != self.current_epoch:
            self._latest_epoch = self.current_epoch
            self.train_metric.reset()

    def on_train_epoch_end(self) -> None:
        """Log the metrics `train/*`, which are means over the training images of the epoch.

        Each image is used once, as it was augmented and with the model weights of its own training step.
        """
        self._log_stage("train")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics `val/*`, which are means over all images of the validation split."""
        self._log_stage("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics `test/*`, which are means over all images of the test split."""
        self._log_stage("test")
