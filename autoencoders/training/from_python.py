"""Training of a run from Python: in a script, a notebook or another program."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencoders.config.arguments import collapse_numbers, expand_numbers
from autoencoders.config.cli_errors import remove_if_empty
from autoencoders.config.keywords import compose_run, keyword_overrides
from autoencoders.training import pipeline
from autoencoders.types import RunStopped, UserError
from autoencoders.utils import distributed, error_messages, launchers
from autoencoders.utils.startup import load_heavy_libraries, restore_settings

if TYPE_CHECKING:
    from autoencoders.runs.run import Run

LOGGERS = ("lightning.pytorch", "lightning.fabric")
"""Loggers whose level is restored after a run."""


def train_from_python(*, folder: str | Path | None = None, overrides: Sequence[str] = (), **keywords: Any) -> Run:
    """Train a run like the command `python -m autoencoders.train`, and return it.

    `autoencoders.train(...)` calls this function.

    Args:
        folder: run folder; None for a new folder in `runs/`, named as for the command.
        overrides: further options as on the command line, such as `["net.widths=[400]"]`.
        **keywords: options. A config group takes the name of an option: `model="vae"`, `callbacks=["default", "gif"]`;
            `beta` and `latent_dim` also take a number. `max_epochs`, `batch_size` and `lr` are short for
            `trainer.max_epochs`, `data.batch_size` and `optimizer.lr`, and `after_fit` names applications. Any other
            option is set with its full name: `seed=1`, `**{"net.widths": [400]}`.

    Returns:
        The trained run, with the weights of the best checkpoint.

    Raises:
        UserError: if the run is not possible as configured, training cannot continue, or an application failed. The
            configuration is validated before any data is loaded.
        KeyboardInterrupt: if the user interrupts the training. A checkpoint is saved, from which
            `train(resume=<folder>)` continues.

    Example:
        >>> import autoencoders
        >>> run = autoencoders.train(model="vae", data="digits", beta=4, max_epochs=5)  # doctest: +SKIP
        >>> run.metrics["test/neg_elbo"]  # doctest: +SKIP
    """
    with quiet_libraries():
        import lightning.pytorch  # noqa: F401  # not in `load_heavy_libraries`, where an interrupt ends the process

        from autoencoders.runs import references

        load_heavy_libraries()
        arguments = [*keyword_overrides(keywords), *overrides]
        config = compose_run(arguments, folder)
        check_one_process(config)
        if config["init_from"]:
            config["init_from"] = references.make_absolute(config["init_from"])  # for config.yaml
        try:
            launchers.ignore_leftovers(config["trainer"])
            with error_messages.translate_errors(config), restore_settings():
                pipeline.train_run(config, collapse_numbers(expand_numbers(arguments)), list)
        except UserError:
            remove_if_empty(config["folder"])
            raise
        except RunStopped as stop:
            remove_if_empty(config["folder"])
            if stop.number != signal.SIGINT:
                raise
            raise KeyboardInterrupt(f"The run in {config['folder']} is stopped {stop.where}.") from stop
    from autoencoders.applications.by_name import load_run

    return load_run(config["folder"], trust=("",))  # the caller has chosen the classes of this run


def check_one_process(config: dict[str, Any]) -> None:
    """Raise UserError if a run needs several processes, because each of them would repeat the program of the user."""
    if distributed.uses_several_processes(config["trainer"]):
        remove_if_empty(config["folder"])
        raise UserError(
            "autoencoders.train must use one process, got a trainer with several. Set trainer.devices=1, or train with "
            "the command python -m autoencoders.train."
        )


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Restore the filters of warnings and the log levels of Lightning, which a run changes, after the `with` block."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    try:
        with warnings.catch_warnings():
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
