"""Steps of one training run: configuration, instantiation, training, test, applications and run record."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencoders.types import UserError
from autoencoders.utils import distributed, launchers, signals
from autoencoders.utils.checks import check_positive
from autoencoders.utils.folder_lock import FolderLock
from autoencoders.utils.precision import AUTO, resolve_precision, slow_precision_warning
from autoencoders.utils.startup import freeze_objects

if TYPE_CHECKING:
    import lightning.pytorch as pl
    from lightning.pytorch.loggers import Logger

    from autoencoders.callbacks.throughput import Throughput
    from autoencoders.runs.record import Record
    from autoencoders.training.processes import Processes

PRECISIONS = ("32", "32-true", "bf16-mixed", "16-mixed")
"""Valid values of trainer.precision."""


@dataclass
class TrainingRun:
    """Objects of one training run. The functions of this module share them.

    Attributes:
        config: the resolved configuration. Its seed is an integer.
        resume: checkpoint from which training resumes, or None for a new run.
        trainer: Lightning's Trainer.
        data: data module, after `setup("fit")`.
        model: the model. It is untrained until `fit` is called.
        loggers: all loggers. The first logger writes `metrics.csv`.
        throughput: callback that measures the training speed, and knows whether training has started or ended.
        record: run record, which writes `run.json` and `metrics.json`.
        processes: the processes of the run.
    """

    config: dict[str, Any]
    resume: Path | None
    trainer: pl.Trainer
    data: Any
    model: Any
    loggers: list[Logger]
    throughput: Throughput
    record: Record
    processes: Processes

    @property
    def folder(self) -> Path:
        """Path of the run folder."""
        return self.record.folder


def train_run(config: dict[str, Any], overrides: Sequence[str], changes: Callable[[], list]) -> dict[str, float]:
    """Train one run. Called by `autoencoders.train.train`, which also restores process-wide settings afterwards.

    Args:
        config: the resolved configuration.
        overrides: the command-line overrides, for the run metadata.
        changes: function that returns the settings that differ from the defaults, for the printed summary.

    Returns:
        The final metrics of the run.

    Raises:
        UserError: if the run is not possible as configured, training cannot continue, or an application failed.
    """
    from autoencoders.callbacks.throughput import Throughput
    from autoencoders.runs import loading
    from autoencoders.training.processes import Processes

    throughput = Throughput()
    last_checkpoint = f"{config['folder']}/{loading.LAST}"
    with signals.stop_on_signals(partial(describe_stage, throughput, last_checkpoint)), lock_folder(config):
        config, resume = prepare_config(config)
        with Processes(config) as processes:
            run = instantiate_run(config, resume, processes, throughput, overrides)
            return execute_run(run, changes)


def lock_folder(config: dict[str, Any]) -> contextlib.AbstractContextManager:
    """Return a context manager that locks the run folder. Only the first process of a run locks it.

    Raises:
        UserError: if the folder is in use by another process, or is not a path.
    """
    if not isinstance(config["folder"], str):
        raise UserError(f"folder must be a path, got {config['folder']}. Set hydra.run.dir instead.")
    if not launchers.is_first_process(config["trainer"]):
        return contextlib.nullcontext()
    return FolderLock(config["folder"], "Wait for its end, or choose another hydra.run.dir.")


def describe_stage(throughput: Throughput, last_checkpoint: str) -> str:
    """Return what the run was doing when a signal arrived, for the message that reports the signal.

    Args:
        throughput: callback that knows whether training has started or ended.
        last_checkpoint: path of the last checkpoint.
    """
    if throughput.ended:
        return f"after training, which is saved in {last_checkpoint}"
    return "during training, without a checkpoint" if throughput.begun else "before training"


def execute_run(run: TrainingRun, changes: Callable[[], list]) -> dict[str, float]:
    """Train and test the model, run the applications, and write the run record.

    Args:
        run: objects of the run, from `instantiate_run`.
        changes: function that returns the settings that differ from the defaults, for the printed summary.

    Returns:
        The validation metrics of the best epoch and the test metrics.

    Raises:
        UserError: if training cannot continue, or an application after the training failed.
    """
    from autoencoders.loggers import media
    from autoencoders.runs import loading
    from autoencoders.runs.record import best_validation_metrics
    from autoencoders.training import summary

    completed = False
    try:
        with run.record, run.processes.translate_errors():
            media.log_run_metadata(run.loggers, run.record.metadata)
            summary.print_start(run.record, run.model, changes)
            if run.config["train"]:
                fit(run)
            metrics = best_validation_metrics(run.folder / "metrics.csv")
            if run.config["test"]:
                metrics |= run_test(run)
            application_error = apply_after_fit(run)
            run.processes.finish()
            run.record.finish(
                metrics,
                device=str(run.trainer.strategy.root_device),
                epochs=run.trainer.current_epoch,
                seconds=run.throughput.age,
                training_seconds=run.throughput.seconds,
                images_per_second=run.throughput.images_per_second,
            )
        completed = True
    finally:
        location = media.close_loggers(run.loggers, run.record.results, run.folder / loading.BEST, failed=not completed)
    summary.print_end(run.record, location)
    if application_error:
        raise UserError(application_error)
    return metrics


def prepare_config(config: dict[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """Perform all checks that need no data, set the seed, and find the checkpoint to resume from.

    Returns:
        The configuration with absolute paths, an integer seed and a precision, and the path of the checkpoint, or None
        for a new run.

    Raises:
        UserError: if the run is not possible as configured.
    """
    from autoencoders.config import validation
    from autoencoders.config.data_paths import make_paths_absolute
    from autoencoders.runs import loading, references

    config = {**config, "data": make_paths_absolute(config["data"]), "trainer": resolve_precision(config["trainer"])}
    resume = find_resume_checkpoint(config)
    config = set_seed(config, resume)
    check_numbers(config)
    check_stages(config)
    for name in ("peer_timeout", "exchange_timeout"):
        check_positive(name, config[name])
    validation.validate(config)
    for node in config["after_fit"].values():
        if isinstance(node, dict) and node.get("classifier"):
            references.check_reference(node["classifier"])  # raises UserError for a wrong path before training starts
    if resume:
        loading.check_resumable(resume, config)
    elif config["init_from"]:
        references.check_reference(config["init_from"])  # raises UserError for a wrong path
    folder = Path(config["folder"])
    if distributed.is_rank_zero() and not config["resume"] and (folder / "run.json").exists():
        resumable = any((folder / name).is_file() for name in (loading.LAST, loading.BEST))
        other = f"continue that run with resume='{folder}'" if resumable else "start that run again with resume=auto"
        raise UserError(
            f"{folder} already contains a run, which is not overwritten. Choose another hydra.run.dir, or {other}."
        )
    return config, resume


def find_resume_checkpoint(config: dict[str, Any]) -> Path | None:
    """Return the path of the checkpoint to resume from, or None for a new run.

    With `resume=auto`, the run is new if the run folder contains no checkpoint.
    """
    from autoencoders.runs import loading

    if not config["resume"]:
        return None
    if config["resume"] == "auto":
        return loading.newest_checkpoint(config["folder"], needed=False)
    return loading.newest_checkpoint(str(config["resume"]))  # Hydra reads the name of a folder such as 1 as a number


def set_seed(config: dict[str, Any], resume: Path | None) -> dict[str, Any]:
    """Return the configuration with an integer seed.

    If the configured seed is null, use the seed from the checkpoint to resume from, or a random seed for a new run.
    """
    from autoencoders.runs import loading

    if config["seed"] is not None:
        return config
    seed = loading.load_checkpoint(resume)["hyper_parameters"]["seed"] if resume else distributed.draw_seed()
    config = {**config, "seed": seed}
    for section in ("model", "data"):
        if "seed" in config[section]:
            config[section] = {**config[section], "seed": seed}
    return config


def check_numbers(config: dict[str, Any]) -> None:
    """Raise UserError if the seed, the latent size or the precision is out of range."""
    for name, value, least in (("seed", config["seed"], 0), ("latent_dim.size", config["latent_dim"]["size"], 1)):
        if not isinstance(value, int) or not least <= value < 2**32:
            raise UserError(f"{name} must be an integer >= {least} and < 2**32, got {value}.")
    if str(config["trainer"]["precision"]) not in PRECISIONS:
        raise UserError(
            f"trainer.precision must be one of {', '.join((AUTO, *PRECISIONS))}, because the likelihood and the rate "
            f"(KL divergence) need float32, got {config['trainer']['precision']}."
        )


def check_stages(config: dict[str, Any]) -> None:
    """Raise UserError if a run without training has no trained weights, or nothing to do with them.

    With `train=false`, the weights of `init_from` are evaluated.
    """
    if config["train"]:
        return
    if config["resume"] or not config["init_from"]:
        given = f"resume={config['resume']}" if config["resume"] else "no weights"
        raise UserError(
            f"train=false needs the weights of a trained run, got {given}. Set init_from=<run folder or checkpoint>, "
            "and not resume."
        )
    if not config["test"] and not config["after_fit"]:
        raise UserError("train=false needs test=true or an application, got neither. Set test=true.")


def instantiate_run(
    config: dict[str, Any],
    resume: Path | None,
    processes: Processes,
    throughput: Throughput,
    overrides: Sequence[str],
) -> TrainingRun:
    """Build the loggers, callbacks, trainer, data module, model and run record of a run, and load the data.

    Args:
        config: configuration from `prepare_config`.
        resume: checkpoint to resume from, or None for a new run.
        processes: the processes of the run.
        throughput: callback that measures the training speed.
        overrides: the command-line overrides, for the run metadata.

    Raises:
        UserError: if an object cannot be instantiated, or model, data and trainer cannot be combined.
    """
    import lightning.pytorch as pl

    from autoencoders.callbacks.data_identity import DataIdentity
    from autoencoders.callbacks.folder_check import FolderCheck
    from autoencoders.callbacks.safe_loggers import SafeLoggers
    from autoencoders.config import validation
    from autoencoders.config.instantiate import instantiate
    from autoencoders.loggers.csv import MetricsCSVLogger
    from autoencoders.loggers.guarded import GuardedLogger
    from autoencoders.runs import loading, references
    from autoencoders.runs.record import Record, run_metadata
    from autoencoders.training.grouping import group_batches

    folder = Path(config["folder"])
    metrics_file = MetricsCSVLogger(folder / "metrics.csv", resumed=resume is not None)
    loggers: list[Logger] = [GuardedLogger(logger) for logger in (metrics_file, *instantiate_section(config, "logger"))]
    callbacks = [
        throughput,
        FolderCheck(folder),
        SafeLoggers(),
        DataIdentity(),
        *instantiate_section(config, "callbacks"),
    ]
    trainer = build_trainer(config, callbacks, loggers, processes)
    data = instantiate("data", config["data"])
    if trainer.is_global_zero and (warning := slow_precision_warning(trainer)):
        print(f"autoencoders: {warning}", file=sys.stderr)
    validation.check_combination(config, trainer, data)
    data.prepare_data()
    data.setup("fit")
    validation.check_splits(config, trainer, data)
    if resume and (difference := loading.check_resumed_data(resume, data, config["changed_data"])) is not None:
        data.notes.append(difference)
    on_cpu = trainer.strategy.root_device.type == "cpu"
    validation.check_memory(config, data.shape, data.context, training_here=on_cpu)
    pl.seed_everything(config["seed"], verbose=False)
    model = instantiate_model(config, data)
    if config["init_from"] and not resume:
        references.load_weights(model, config["init_from"])
    validation.check_batch_size(model, data.batch_size // trainer.world_size)
    group_batches(trainer, model, data, config["steps_per_execution"])
    metadata = run_metadata(data, model, list(overrides))
    record = processes.record = Record(folder, config, metadata, begun=lambda: throughput.begun)
    return TrainingRun(config, resume, trainer, data, model, loggers, throughput, record, processes)


def instantiate_model(config: dict[str, Any], data: Any) -> Any:
    """Build the configured model for the image shape and the labels of a data module, after its `setup`."""
    from autoencoders.config.instantiate import build_model, instantiate

    def build(_: Any, **arguments: Any) -> Any:
        return build_model(config, **arguments)

    return instantiate("model", config["model"], build, shape=data.shape, context=data.context)


def instantiate_section(config: dict[str, Any], section: str) -> list[Any]:
    """Instantiate all callbacks (section `callbacks`) or all loggers (section `logger`). Skip null entries.

    A node without `_target_` contains options from an experiment for a callback that is not selected. It is skipped.
    """
    from autoencoders.config.instantiate import instantiate

    nodes = {name: node for name, node in config[section].items() if node and "_target_" in node}
    return [instantiate(f"{section}.{name}", node) for name, node in nodes.items()]


def build_trainer(config: dict[str, Any], callbacks: list, loggers: list, processes: Processes) -> Any:
    """Build Lightning's Trainer. Only the given callbacks save checkpoints and show progress.

    Raises:
        UserError: if an option is not valid, or a launcher has started another number of processes.
    """
    from lightning.pytorch.callbacks import Checkpoint, ProgressBar
    from lightning.pytorch.profilers import PassThroughProfiler

    from autoencoders.callbacks.throughput import NullProfiler
    from autoencoders.config.instantiate import build, instantiate
    from autoencoders.training.checkpointing import AtomicCheckpointIO

    options = processes.trainer_options
    options["plugins"] += [*(build(node) for node in config["trainer"].get("plugins") or ()), AtomicCheckpointIO()]
    trainer = instantiate(
        "trainer",
        config["trainer"],
        **options,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=config["folder"],
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
    )
    processes.check(trainer)
    if type(trainer.profiler) is PassThroughProfiler:
        trainer.profiler = NullProfiler()
    elif trainer.profiler.filename is None:  # else Lightning prints to a silenced logger
        trainer.profiler.dirpath, trainer.profiler.filename = config["folder"], "profile"
    return trainer


def fit(run: TrainingRun) -> None:
    """Train the model. Without a checkpoint callback, save the final weights as the last checkpoint.

    Raises:
        UserError: if training cannot continue as configured, or the final weights or the final loss are not finite.
    """
    import torch
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from autoencoders.callbacks.nan_guard import final_weights_error
    from autoencoders.config.instantiate import root_cause_message
    from autoencoders.runs import loading

    trainer, model = run.trainer, run.model
    if run.config["compile"]:
        model.terms = torch.compile(model.terms)
    run.processes.start(trainer)
    trainer.ckpt_path = run.resume  # not an argument of fit, because the model's setup hook reads this attribute
    try:
        with freeze_objects():
            trainer.fit(model, datamodule=run.data)
    except (MisconfigurationException, RuntimeError) as error:
        if isinstance(error, MisconfigurationException) or "conditioned on metric" in str(error):  # early stopping
            raise UserError(f"Training cannot continue as configured: {root_cause_message(error)}.") from error
        raise
    trainer.ckpt_path = None
    if not trainer.checkpoint_callbacks:
        trainer.save_checkpoint(run.folder / loading.LAST)
    if (problem := final_weights_error(trainer, model)) is not None:
        raise problem


def run_test(run: TrainingRun) -> dict[str, float]:
    """Evaluate the best checkpoint on the test split. Without a best checkpoint, evaluate the current weights.

    Returns:
        Metric name -> value: the test metrics, and the MSE of the baselines on the validation and test splits.
    """
    from autoencoders.runs import loading

    best = run.folder / loading.BEST
    run.trainer.test(run.model, run.data, ckpt_path=best if best.is_file() else None, verbose=False)
    metrics = run.trainer.callback_metrics
    return {name: value.item() for name, value in metrics.items() if name.startswith(("test", "val/mse_"))}


def apply_after_fit(run: TrainingRun) -> str | None:
    """Run the applications that are configured for the end of the training, on rank zero only.

    Returns:
        An error message with a command that runs the failed applications again, or None if no application failed.
    """
    from autoencoders.applications.base import run_application
    from autoencoders.callbacks.base import continue_on_error
    from autoencoders.loggers.media import MediaWriter
    from autoencoders.runs.run import Run
    from autoencoders.utils.modes import evaluation_mode

    # A node without _target_ contains options from an experiment for an application that is not selected.
    nodes = {name: node for name, node in run.config["after_fit"].items() if node and "_target_" in node}
    if not nodes or not run.trainer.is_global_zero:
        return None
    trained, writer = Run.from_trainer(run.trainer, run.model), MediaWriter.from_trainer(run.trainer)
    failed: list[str] = []
    consequence = "the training and its metrics are kept."
    with evaluation_mode(run.model):
        for name, node in nodes.items():
            with continue_on_error(run.trainer, writer, f"application {name}", consequence) as reasons:
                writer.save_result(name, run_application(trained, name, node), run.trainer.global_step)
            if reasons:
                failed.append(name)
    if not failed:
        return None
    arguments = shlex.join([f"run={run.config['folder']}", f"application=[{','.join(failed)}]"])
    return (
        f"The training is complete, but {', '.join(failed)} failed. Run the failed applications with: "
        f"python -m autoencoders.apply {arguments}"
    )
