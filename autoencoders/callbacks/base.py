"""Base class of callbacks that draw figures: on rank zero, in evaluation mode, with errors reported."""

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

_reported: WeakKeyDictionary[object, set[str]] = WeakKeyDictionary()
"""Names of the failures that have been reported, by the callback, logger or writer that raised them."""


def at_least(least: int, **options: int) -> None:
    """Raise UserError if an integer option of a callback is below its minimum."""
    for name, value in options.items():
        if value < least:
            raise UserError(f"callbacks: {name} must be an integer of at least {least}, got {value}.")


class FigureCallback(pl.Callback):
    """Draw figures every `every_n_epochs` epochs and after the last one, if the model supports them.

    Args:
        every_n_epochs: interval; 0 for the last epoch only.
    """

    needs_decoder: ClassVar[bool] = False
    """Whether the figure exists only for models that encode and decode. A classifier does not."""

    def __init__(self, every_n_epochs: int = 5) -> None:
        if every_n_epochs < 0:
            raise UserError(f"every_n_epochs must be at least 0 (0 for the last epoch only), got {every_n_epochs}.")
        self.every_n_epochs = every_n_epochs
        self._drawn_at = -1

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Draw and save the figures. Subclasses implement this method."""
        raise NotImplementedError

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw if the epoch is due."""
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the last state, unless it has just been drawn."""
        if self._drawn_at != trainer.global_step:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        supported = isinstance(model, Autoencoder) or not self.needs_decoder
        if trainer.is_global_zero and not trainer.sanity_checking and supported:
            self._drawn_at = trainer.global_step
            with continue_on_error(trainer, self), evaluation_mode(model):
                self.draw(trainer, model, MediaWriter.from_trainer(trainer))


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Switch to evaluation mode without gradients, and restore the mode of every module."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def heading(trainer: pl.Trainer, model: pl.LightningModule) -> str:
    """Return the title of a figure: model, data, beta, latent size and epoch."""
    image_model = as_image_model(model)
    return f"{run_title(image_model, get_datamodule(trainer))}, epoch {image_model.epochs_started}"


def validation_codes(trainer: pl.Trainer, model: Autoencoder, count: int) -> tuple[Tensor, Tensor | None]:
    """Return the codes (N, Z) and labels of the first validation rows, on the CPU."""
    batch = get_datamodule(trainer).take("val", count)
    chunks = [rows.to(model.device) for rows in batch.chunks(500)]
    return torch.cat([model.encode(rows.x, rows.y).cpu() for rows in chunks]), batch.y


def warn(trainer: pl.Trainer, name: str, message: str) -> None:
    """Print a warning, and add it to `run.json` and to the loggers. Rank zero only.

    Args:
        trainer: trainer of the run.
        name: topic in one word, for a dashboard.
        message: what happened, and what to do.
    """
    if trainer.is_global_zero:
        record.record_warning(Path(trainer.default_root_dir), message)
        MediaWriter.from_trainer(trainer).log_text(f"warnings/{name}", message, trainer.global_step)


@contextmanager
def continue_on_error(
    trainer: pl.Trainer, source: object, name: str | None = None, consequence: str | None = None
) -> Iterator[list[str]]:
    """Catch errors of the block and report them once, so that training continues. With debug=true they are raised.

    Args:
        trainer: trainer of the run.
        source: the callback, logger or writer that runs the block. Each of its names is reported once.
        name: name of the failed operation, for the message; None for the option of the callback.
        consequence: the consequence, and what to do; None for a missing figure.

    Yields:
        An empty list, to which the reason is appended if the block fails.
    """
    reasons: list[str] = []
    try:
        yield reasons
    except Exception as error:
        settings = dict(trainer.lightning_module.hparams)
        if settings.get("debug"):
            raise
        reasons.append(short_reason(error))
        option = option_of(source, settings.get("callbacks") or {})
        name = name or option
        if consequence is None:
            consequence = f"its figures are missing there. {option}=null disables it, debug=true shows the traceback."
        reported = _reported.setdefault(source, set())
        if name not in reported:
            reported.add(name)
            message = (
                f"{name} failed at step {trainer.global_step:,} ({reasons[0]}), and training continues; {consequence}"
            )
            warn(trainer, name.replace(".", "_").replace("/", "_"), message)


def option_of(callback: object, nodes: Mapping[str, Any]) -> str:
    """Return the option that configured a callback, `callbacks.<name>`, or its class name."""
    kind = type(callback)
    target = f"{kind.__module__}.{kind.__name__}"
    names = [name for name, node in nodes.items() if node and node.get("_target_") == target]
    return f"callbacks.{names[0]}" if names else kind.__name__
