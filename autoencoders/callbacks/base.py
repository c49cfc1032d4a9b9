"""What every drawing callback shares: when it fires, on rank zero, with the model as it would be evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from autoencoders.loggers.media import MediaWriter
from autoencoders.runs import record
from autoencoders.runs.run import run_title
from autoencoders.types import UserError
from autoencoders.utils.error_messages import short_reason


def at_least(least: int, **options: int) -> None:
    """Raise UserError where an option of a callback, a whole number, is less than this."""
    for name, value in options.items():
        if value < least:
            raise UserError(f"callbacks: {name} must be a whole number from {least} up, and is {value}.")


class FigureCallback(pl.Callback):
    """Draws every `every_n_epochs` epochs and after the last; nothing of a model that lacks what it draws.

    Args:
        every_n_epochs: how often; 0 for the last epoch alone.
    """

    draws: str | None = None
    """The method of a model without which there is nothing to draw: a classifier neither encodes nor decodes."""

    def __init__(self, every_n_epochs: int = 5) -> None:
        if every_n_epochs < 0:
            raise UserError(f"every_n_epochs must be 0 (the last epoch alone) or more, and is {every_n_epochs}.")
        self.every_n_epochs = every_n_epochs
        self._drawn_at = -1

    def draw(self, trainer: pl.Trainer, model: pl.LightningModule, writer: MediaWriter) -> None:
        """Make the figures and deliver them; a subclass says which."""
        raise NotImplementedError

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw where an epoch is due."""
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the last state, unless it has just been drawn."""
        if self._drawn_at != trainer.global_step:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, model: pl.LightningModule) -> None:
        missing = self.draws is not None and not hasattr(model, self.draws)
        if trainer.is_global_zero and not trainer.sanity_checking and not missing:
            self._drawn_at = trainer.global_step
            with continue_on_error(trainer, self), evaluation_mode(model):
                self.draw(trainer, model, MediaWriter.of(trainer))


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; each module's own mode is restored."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def heading(trainer: pl.Trainer, model: pl.LightningModule) -> str:
    """Model, data, beta, latent size and epoch: what every title says."""
    # Epochs begun: `current_epoch` counts the finished ones, and hooks at an epoch's end do not agree on that.
    return f"{run_title(model, trainer.datamodule)}, epoch {trainer.fit_loop.epoch_progress.current.ready}"


def validation_codes(trainer: pl.Trainer, model: pl.LightningModule, count: int) -> tuple[Tensor, Tensor | None]:
    """The codes (N, Z) and labels of the first validation rows, on the CPU."""
    batch = trainer.datamodule.take("val", count)
    labels = [None] * len(batch.x) if batch.y is None else batch.y.to(model.device).split(500)
    chunks = zip(batch.x.to(model.device).split(500), labels, strict=False)
    return torch.cat([model.encode(x, y).cpu() for x, y in chunks]), batch.y


def warn(trainer: pl.Trainer, name: str, sentence: str) -> None:
    """Say what a user should know: on the terminal, in `run.json` and in the loggers; rank zero alone speaks.

    Args:
        trainer: of the run.
        name: what it is about, in one word for a dashboard.
        sentence: what was seen, and what to do.
    """
    if trainer.is_global_zero:
        record.record_warning(Path(trainer.default_root_dir), sentence)
        MediaWriter.of(trainer).note(f"warnings/{name}", sentence, trainer.global_step)


@contextmanager
def continue_on_error(
    trainer: pl.Trainer, who: object, what: str | None = None, lost: str | None = None
) -> Iterator[list[str]]:
    """Nothing that fails in here ends a training: it is told, once, and with debug=true raised all the same.

    Args:
        trainer: of the run.
        who: the callback or logger at work, which remembers what was told.
        what: failed, in the sentence; None for the callback by its option.
        lost: what comes of it, and what to do; None for a callback's figure.

    Yields:
        A list that is empty, and has the reason in it where something failed.
    """
    reasons = []
    try:
        yield reasons
    except Exception as error:
        settings = dict(trainer.lightning_module.hparams)
        if settings.get("debug"):
            raise
        reasons.append(short_reason(error))
        option = option_of(who, settings.get("callbacks") or {})
        what, told = what or option, who.__dict__.setdefault("_told", set())
        lost = lost or f"its figures are missing there. {option}=null leaves it out, debug=true shows where it fails."
        if what not in told:
            told.add(what)
            sentence = f"{what} failed at step {trainer.global_step:,} ({reasons[0]}), and the run goes on; {lost}"
            warn(trainer, what.replace(".", "_").replace("/", "_"), sentence)


def option_of(callback: object, nodes: Mapping[str, Any]) -> str:
    """The option that a callback was configured by, `callbacks.<name>`; its class where it was not."""
    kind = type(callback)
    target = f"{kind.__module__}.{kind.__name__}"
    names = [name for name, node in nodes.items() if node and node.get("_target_") == target]
    return f"callbacks.{names[0]}" if names else kind.__name__
