"""Base class of callbacks that plot figures on rank zero, and functions for warnings and errors in callbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import lightning.pytorch as pl
import torch
from torch import Tensor

from autoencoders.data.datamodule import get_datamodule
from autoencoders.loggers.media import MediaWriter
from autoencoders.models.autoencoder import Autoencoder
from autoencoders.models.base import as_image_model
from autoencoders.runs import record
from autoencoders.runs.run import run_title
from autoencoders.types import UserError
from autoencoders.utils.error_messages import short_reason
from autoencoders.utils.modes import evaluation_mode

_reported: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()
"""For each callback, logger or media writer: the names of its operations whose failure has been reported."""


def at_least(least: int, **options: int) -> None:
    """Raise UserError if an option of a callback is smaller than its minimum.

    Args:
        least: minimum of all given options.
        **options: option name -> value.
    """
    for name, value in options.items():
        if value < least:
            raise UserError(f"The callback option {name} must be an integer >= {least}, got {value}.")


class FigureCallback(pl.Callback):
    """Base class of callbacks that plot figures after every `every_n_epochs` epochs and after the last epoch.

    A model that does not support the figures is skipped.

    Args:
        every_n_epochs: number of epochs between two plots; 0 to plot after the last epoch only.

    Raises:
        UserError: if `every_n_epochs` is negative.
    """

    needs_decoder: ClassVar[bool] = False
    """Whether the figures need a model with an encoder and a decoder. If True, a classifier is skipped."""

    def __init__(self, every_n_epochs: int = 5) -> None:
        if every_n_epochs < 0:
            raise UserError(
                f"The callback option every_n_epochs must be an integer >= 0, got {every_n_epochs}. Set it to 0 to "
                "plot figures after the last epoch only."
            )
        self.every_n_epochs = every_n_epochs
        self._drawn_at = -1

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Plot and save the figures. Subclasses implement this method.

        Args:
            trainer: trainer of the run.
            model: model in evaluation mode, without gradients.
            writer: saves the figures.
        """
        raise NotImplementedError

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Plot the figures after every `every_n_epochs` epochs."""
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Plot the figures for the trained model, unless they have already been plotted at this optimizer step."""
        if self._drawn_at != trainer.global_step:
            self._draw(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Plot the figures if a run is resumed that was killed after its last optimizer step.

        Lightning then calls `on_fit_end`, but not `on_train_end`.
        """
        if self._drawn_at != trainer.global_step:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        supported = isinstance(model, Autoencoder) or not self.needs_decoder
        if trainer.is_global_zero and not trainer.sanity_checking and supported:
            self._drawn_at = trainer.global_step
            with continue_on_error(trainer, self), evaluation_mode(model):
                self.draw(trainer, model, MediaWriter.from_trainer(trainer))


def heading(trainer: pl.Trainer, model: pl.LightningModule) -> str:
    """Return a figure title with the names of the model and the data, beta, the latent size and the epoch."""
    image_model = as_image_model(model)
    return f"{run_title(image_model, get_datamodule(trainer))}, epoch {image_model.epochs_started}"


def validation_codes(trainer: pl.Trainer, model: Autoencoder, count: int) -> tuple[Tensor, Tensor | None]:
    """Return the codes (N, Z) and the labels of the first N = `count` validation images, on the CPU.

    Labels are class indices (N,), attributes (N, A), or None. N is smaller if the split has fewer images.
    """
    batch = get_datamodule(trainer).take("val", count)
    chunks = [rows.to(model.device) for rows in batch.chunks(500)]
    return torch.cat([model.encode(rows.x, rows.y).cpu() for rows in chunks]), batch.y


def warn(trainer: pl.Trainer, name: str, message: str) -> None:
    """Print a warning, save it in `run.json`, and send it to the loggers. On other ranks than zero, do nothing.

    Args:
        trainer: trainer of the run.
        name: topic of the warning in one word. The loggers show the warning as `warnings/<name>`.
        message: sentences that say what happened and what the user can do.
    """
    if trainer.is_global_zero:
        record.record_warning(Path(trainer.default_root_dir), message)
        MediaWriter.from_trainer(trainer).log_text(f"warnings/{name}", message, trainer.global_step)


@contextmanager
def continue_on_error(
    trainer: pl.Trainer, source: object, name: str | None = None, consequence: str | None = None
) -> Iterator[list[str]]:
    """Catch any exception in the `with` block and report it as a warning, so that training continues.

    With traceback=true, the exception is raised instead. For each `source`, the failure of an operation is reported
    only once.

    Args:
        trainer: trainer of the run.
        source: callback, logger or media writer that runs the block.
        name: name of the operation in the warning; None for the option that configures the callback.
        consequence: end of the warning, which says what is missing and what to do; None if figures are missing.

    Yields:
        An empty list. If the block fails, the reason is appended to this list.
    """
    reasons: list[str] = []
    try:
        yield reasons
    except Exception as error:
        settings = dict(trainer.lightning_module.hparams)
        if settings.get("traceback"):
            raise
        reasons.append(short_reason(error))
        option = option_of(source, settings.get("callbacks") or {})
        name = name or option
        if consequence is None:
            consequence = (
                f"the figures of this step are missing. Set {option}=null to disable them, or traceback=true to show "
                "the traceback."
            )
        reported = _reported.setdefault(source, set())
        if name not in reported:
            reported.add(name)
            message = (
                f"{name} failed at step {trainer.global_step:,} ({reasons[0]}), but training continues; {consequence}"
            )
            warn(trainer, name.replace(".", "_").replace("/", "_"), message)


def option_of(callback: object, nodes: Mapping[str, Any]) -> str:
    """Return the option `callbacks.<name>` that configures a callback, or its class name if there is no such option.

    Args:
        callback: callback whose option is searched.
        nodes: callback name -> config of the callback, from the config group `callbacks`.
    """
    kind = type(callback)
    target = f"{kind.__module__}.{kind.__name__}"
    names = [name for name, node in nodes.items() if node and node.get("_target_") == target]
    return f"callbacks.{names[0]}" if names else kind.__name__
