"""Base class of all models: what training and the rest of the package expect of a model."""

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
    """Return a model as an image model.

    Raises:
        UserError: if it is another model.
    """
    if not isinstance(model, ImageModel):
        raise UserError(f"The model must derive from ImageModel, got {type(model).__name__}.")
    return model


class ImageModel(pl.LightningModule):
    """A model of images: optimizer configuration, gradient clipping, and metrics from exact sums over images.

    A subclass defines `batch_loss`, `_evaluation_sums`, `_evaluation_metrics` and `_training_metrics`.

    Args:
        shape: (C, H, W).
        labels: classes or attributes of the data, or None.
        name: label for figures and tables.
        optimizer: called with the parameters.
        schedule: called with the optimizer; an argument `auto` is replaced by the number of optimizer steps of the run.

    Attributes:
        decodes: whether the model has `encode`, `posterior` and `decode`.
        single_process: whether the model can only be trained by a single process.
        has_prior: whether codes have a standard normal prior to sample from.
        latent_dim: Z, the size of the code; None for a model without one.
        context_size: K, the size of the encoded labels; 0 for an unconditional model.
        beta_schedule: schedule of the weight of the rate; None for a model without a rate.
        objective: objective of an autoencoder; None for other models.
        family: likelihood p(x | z); None for a model that does not decode.
        l1: weight of the L1 norm of the code in the loss.
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
        """Whether codes have a standard normal prior to sample from."""
        return False

    @property
    def notes(self) -> list[str]:
        """Warnings for the run record, one sentence each."""
        return []

    @property
    def traits(self) -> list[str]:
        """Short descriptions of the model that titles show after its name."""
        return []

    @property
    def training_sums(self) -> RunningSums:
        """Sums over the training images since the fit began, on the device."""
        return self._sums["train"]

    @property
    def progress(self) -> float:
        """Fraction of the run's optimizer steps before the latest training step, in [0, 1]; 1 outside a fit.

        Validation therefore uses the beta of the training step before it.
        """
        return self._progress if self._fitting else 1.0

    @property
    def _datamodule(self) -> ImageDataModule:
        """The data module of the trainer."""
        return get_datamodule(self.trainer)

    @property
    def epochs_started(self) -> int:
        """Number of training epochs that have started, including the current one."""
        return self._marked_epoch + 1

    # Optimization ---------------------------------------------------------------------------------------

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer of all parameters, and its schedule, which is stepped once per optimizer step."""
        if self._optimizer is None:
            raise UserError(f"model.optimizer must be an optimizer for {self.name}, got null. Choose optimizer=adam.")
        return optimizer_config(self.parameters(), self._optimizer, self._schedule, self.trainer)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients.

        With bfloat16 they are clipped here, because Lightning's method rejects fused optimizers under mixed precision,
        although bfloat16 has no gradient scaler that would require it.
        """
        if not gradient_clip_val:
            return
        if self.trainer.precision == "bf16-mixed":
            clip = nn.utils.clip_grad_value_ if gradient_clip_algorithm == "value" else nn.utils.clip_grad_norm_
            clip(self.parameters(), gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_fit_start(self) -> None:
        """Compute the run's number of optimizer steps, and restore the training sums of a checkpoint.

        Raises:
            UserError: if beta or the learning-rate schedule needs a number of steps that is unknown or has changed.
        """
        self._fitting = True
        self._steps = planned_steps(self.trainer, self.beta_schedule, self._schedule, self._planned)
        self._progress = min(1.0, self.trainer.global_step / max(self._steps, 1))
        if self._saved_sums is not None:
            state, self._saved_sums = dict(self._saved_sums), None
            self._marked_epoch = state.pop("of_epoch")
            self._marks = self._sums["train"].load(state, self.trainer.is_global_zero, self.device)

    def on_fit_end(self) -> None:
        """End the use of the progress."""
        self._fitting = False

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Save the number of optimizer steps, and the training sums of the epoch so far."""
        if not self.automatic_optimization:
            scheduled = any(config.interval == "step" for config in self.trainer.lr_scheduler_configs)
            point = SavedAt(self._datamodule.batches_done, self._in_group, self.trainer.validating, scheduled)
            loops_in_batches(checkpoint["loops"], point)
        checkpoint["planned_steps"] = self._steps
        sums = self._sums["train"].state(self._marks, self._sum_over_processes)
        checkpoint["training_sums"] = {**sums, "of_epoch": self._marked_epoch}

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Keep the saved number of steps and training sums until the fit starts."""
        if not self.automatic_optimization and self._datamodule.plan is not None:
            loops_in_groups(checkpoint["loops"], self._datamodule.plan)
        self._planned, self._saved_sums = checkpoint.get("planned_steps"), checkpoint.get("training_sums")

    # Training -------------------------------------------------------------------------------------------

    def batch_loss(self, batch: Batch, number: int) -> Tensor | None:
        """Return the loss of a training batch in nats per image, and add its terms to the training sums.

        None for a model without an optimizer.

        Args:
            batch: B images.
            number: index of the batch in the epoch.
        """
        raise NotImplementedError

    def training_step(self, batch: Batch | BatchGroup, batch_idx: int) -> Tensor | None:
        """Return the loss of a batch, or run one optimizer step per batch of a group."""
        if not isinstance(batch, BatchGroup):
            return self.batch_loss(batch, batch_idx)
        self._in_group = True
        run_group(self, batch)
        self._in_group = False
        return None

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the metrics of this step, to which callbacks may have added."""
        if self._step_metrics:
            write_metrics(self.trainer, self._step_metrics, self.trainer.global_step)
            self._step_metrics = {}

    def add_step_metrics(self, metrics: Mapping[str, Tensor | float]) -> None:
        """Log metrics with those of the current optimizer step. Tensors stay on the device until then."""
        self._step_metrics |= metrics

    # Metrics --------------------------------------------------------------------------------------------

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Pass metrics to callbacks, and write them to all loggers at the current optimizer step.

        In a fit, Lightning would write them at the number of groups, and after the checkpoint of the epoch.
        """
        if self.automatic_optimization and not self._fitting:
            self.log_dict(dict(metrics))  # Trainer.test and Trainer.validate return these metrics
            return
        self.log_dict(dict(metrics), logger=False)
        steps = self.trainer.global_step
        write_metrics(self.trainer, metrics, max(steps - 1, 0) if self._fitting else steps)

    def _logs_step(self, number: int) -> bool:
        """Return whether this batch ends an optimizer step whose metrics are logged."""
        stepping = (number + 1) % self.trainer.accumulate_grad_batches == 0
        return stepping and (self.trainer.global_step + 1) % get_log_interval(self.trainer) == 0

    def _learning_rate(self) -> float:
        """Return the learning rate of the first parameter group."""
        return self.trainer.optimizers[0].param_groups[0]["lr"]

    def _sum_over_processes(self, sums: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(sums, reduce_op="sum")

    def _evaluation_sums(self, batch: Batch, split: str) -> Tensor:
        """Return sums over the images of a validation or test batch, (M,)."""
        raise NotImplementedError

    def _evaluation_metrics(self, split: str, means: Tensor) -> dict[str, float]:
        """Return the metrics of validation or test from the means, (M,), of `_evaluation_sums` over the split."""
        raise NotImplementedError

    def _training_metrics(self, means: Tensor) -> dict[str, float]:
        """Return the metrics of an epoch from the means, (M,), of the training sums over its images."""
        raise NotImplementedError

    def on_train_epoch_start(self) -> None:
        """Mark the start of the epoch in the training sums, unless a checkpoint from within the epoch was loaded."""
        if self._marked_epoch != self.current_epoch:
            self._marked_epoch, self._marks["epoch"] = self.current_epoch, self._sums["train"].mark()

    def on_train_epoch_end(self) -> None:
        """Log `train/*`: means over the epoch's images, as they were augmented, with the weights of their step."""
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
        """Add a batch to the validation sums."""
        self._evaluation_step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Log `val/*`, exact over the split."""
        self._evaluation_end("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test sums."""
        self._evaluation_step(batch, "test")

    def on_test_epoch_end(self) -> None:
        """Log `test/*`, exact over the split."""
        self._evaluation_end("test")
