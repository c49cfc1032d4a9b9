"""One training run: prepare the configuration, instantiate, fit, test, run applications, write the record."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencoders.types import UserError
from autoencoders.utils import distributed, signals
from autoencoders.utils.startup import slow_precision_warning

if TYPE_CHECKING:
    from autoencoders.callbacks.throughput import Throughput

PRECISIONS = ("32", "32-true", "bf16-mixed", "16-mixed")


def train_run(config: dict[str, Any], overrides: Sequence[str], changes: Callable[[], list]) -> dict[str, float]:
    """Train one run; see `autoencoders.train.train`, which also restores process-wide settings."""
    from autoencoders.callbacks.throughput import Throughput
    from autoencoders.runs import loading

    clock = Throughput()

    def where() -> str:
        if clock.ended:
            return f"after training, which is saved in {Path(config['folder'], loading.LAST)}"
        return "during training, without a checkpoint" if clock.begun else "before training"

    with signals.stop_on_signals(where):
        return _train_run(config, overrides, changes, clock)


def _train_run(
    config: dict[str, Any], overrides: Sequence[str], changes: Callable[[], list], clock: Throughput
) -> dict[str, float]:
    import lightning.pytorch as pl

    from autoencoders.callbacks.safe_loggers import SafeLoggers
    from autoencoders.config import validation
    from autoencoders.config.instantiate import build_model, instantiate
    from autoencoders.loggers import media
    from autoencoders.loggers.csv import MetricsCSVLogger
    from autoencoders.runs import loading
    from autoencoders.runs.record import Record, best_validation_metrics, run_metadata
    from autoencoders.training import summary

    config, resume = prepare_config(config)
    folder = Path(config["folder"])
    metrics_file = MetricsCSVLogger(folder / "metrics.csv", resumed=resume is not None)
    loggers = [metrics_file, *instantiate_section(config, "logger")]
    callbacks = [clock, SafeLoggers(), *instantiate_section(config, "callbacks")]
    trainer, data = build_trainer(config, callbacks, loggers), instantiate("data", config["data"])
    if trainer.is_global_zero and (slow := slow_precision_warning(trainer)):
        print(f"autoencoders: {slow}", file=sys.stderr)
    validation.check_combination(config, trainer, data)
    data.prepare_data()
    data.setup("fit")
    on_cpu = trainer.strategy.root_device.type == "cpu"
    validation.check_memory(config, data.shape, data.context, training_here=on_cpu)
    pl.seed_everything(config["seed"], verbose=False)
    model = instantiate(
        "model", config["model"], lambda _, **given: build_model(config, **given), shape=data.shape,
        context=data.context,
    )  # fmt: skip
    record = Record(folder, config, run_metadata(data, model, list(overrides)), begun=lambda: clock.begun)
    done = False
    try:
        with record:
            media.log_run_metadata(loggers, record.metadata)
            summary.opening(record, model, data, changes)
            fit(trainer, model, data, config["compile"], resume)
            metrics = best_validation_metrics(metrics_file.path)
            if config["test"]:
                metrics |= test_run(trainer, model, data)
            unanswered = apply_after_fit(trainer, model, config)
            record.finish(
                metrics,
                device=str(trainer.strategy.root_device),
                epochs=trainer.current_epoch,
                seconds=clock.age,
                images_per_second=clock.images_per_second,
            )
        done = True
    finally:
        where = media.close_loggers(loggers, record.results, folder / loading.BEST, failed=not done)
    summary.closing(record, where)
    if unanswered:
        raise UserError(unanswered)
    return metrics


def instantiate_section(config: dict[str, Any], section: str) -> list[Any]:
    """Instantiate the callbacks or the loggers of a configuration. Null entries are skipped."""
    from autoencoders.config.instantiate import instantiate

    nodes = {name: node for name, node in config[section].items() if node}
    return [instantiate(f"{section}.{name}", node) for name, node in nodes.items()]


def prepare_config(config: dict[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """Return the configuration with its seed, and the checkpoint to resume from, after all checks that need no data."""
    from autoencoders.config import validation
    from autoencoders.runs import loading

    if not isinstance(config["folder"], str):
        raise UserError(f"folder must be a path, got {config['folder']}. Set hydra.run.dir instead.")
    folder, auto = Path(config["folder"]), config["resume"] == "auto"
    resume = (
        loading.newest_checkpoint(folder if auto else config["resume"], needed=not auto) if config["resume"] else None
    )
    if config["seed"] is None:
        seed = loading.load_checkpoint(resume)["hyper_parameters"]["seed"] if resume else distributed.draw_seed()
        parts = {name: {**config[name], "seed": seed} for name in ("model", "data") if "seed" in config[name]}
        config = {**config, "seed": seed, **parts}
    for name, value, least in (("seed", config["seed"], 0), ("latent_dim.size", config["latent_dim"]["size"], 1)):
        if not isinstance(value, int) or not least <= value < 2**32:
            raise UserError(f"{name} must be an integer of at least {least}, got {value}.")
    if str(config["trainer"]["precision"]) not in PRECISIONS:
        raise UserError(
            f"trainer.precision must be one of {', '.join(PRECISIONS)}, got {config['trainer']['precision']}. "
            "Likelihood and rate are computed in float32."
        )
    validation.validate(config)
    for node in config["after_fit"].values():
        if isinstance(node, dict) and node.get("classifier"):
            loading.find_checkpoint(node["classifier"])  # reports a wrong path before training
    if resume:
        loading.check_resumable(resume, config)
    if distributed.is_rank_zero() and not config["resume"] and (folder / "run.json").exists():
        raise UserError(
            f"{folder} already contains a run, which is not overwritten. Choose another hydra.run.dir, or continue "
            f"that run with resume='{folder}'."
        )
    return config, resume


def build_trainer(config: dict[str, Any], callbacks: list, loggers: list) -> Any:
    """Build Lightning's Trainer. Checkpoints and progress are handled by callbacks only."""
    from lightning.pytorch.callbacks import Checkpoint, ProgressBar
    from lightning.pytorch.profilers import PassThroughProfiler

    from autoencoders.callbacks.throughput import NullProfiler
    from autoencoders.config.instantiate import build, instantiate
    from autoencoders.training.checkpointing import AtomicCheckpointIO
    from autoencoders.training.epoch_loop import TrainingEpochs

    trainer = instantiate(
        "trainer",
        config["trainer"],
        plugins=[*(build(node) for node in config["trainer"].get("plugins") or ()), AtomicCheckpointIO()],
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=config["folder"],
        enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
        enable_progress_bar=any(isinstance(c, ProgressBar) for c in callbacks),
    )
    if type(trainer.profiler) is PassThroughProfiler:
        trainer.profiler = NullProfiler()
    elif trainer.profiler.filename is None:  # otherwise Lightning would print it with a silenced logger
        trainer.profiler.dirpath, trainer.profiler.filename = config["folder"], "profile"
    TrainingEpochs.install(trainer)
    return trainer


def fit(trainer: Any, model: Any, data: Any, compiled: bool, resume: Path | None) -> None:
    """Fit the model, and save the last weights even without a checkpoint callback.

    Raises:
        UserError: if the weights or the loss are not finite at the end.
    """
    import torch
    from lightning.pytorch.utilities.exceptions import MisconfigurationException

    from autoencoders.callbacks.nan_guard import final_weights_error
    from autoencoders.config.instantiate import root_cause_message
    from autoencoders.runs import loading

    if compiled:
        model.terms = torch.compile(model.terms)
    trainer.ckpt_path = resume  # not an argument of fit, because the model's setup hook reads it
    try:
        trainer.fit(model, datamodule=data)
    except (MisconfigurationException, RuntimeError) as error:
        if isinstance(error, MisconfigurationException) or "conditioned on metric" in str(error):  # early stopping
            raise UserError(f"Training cannot continue as configured: {root_cause_message(error)}.") from error
        raise
    trainer.ckpt_path = None
    if not trainer.checkpoint_callbacks:
        trainer.save_checkpoint(Path(trainer.default_root_dir, loading.LAST))
    if error := final_weights_error(trainer, model):
        raise error


def test_run(trainer: Any, model: Any, data: Any) -> dict[str, float]:
    """Return the test metrics of the best checkpoint, or of the last weights if there is none, with their baselines."""
    from autoencoders.runs import loading

    best = Path(trainer.default_root_dir, loading.BEST)
    trainer.test(model, data, ckpt_path=best if best.is_file() else None, verbose=False)
    return {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith(("test", "val/mse_"))}


def apply_after_fit(trainer: Any, model: Any, config: dict[str, Any]) -> str | None:
    """Run the configured applications on rank zero. Return a message with the command that repeats failed ones, or
    None.
    """
    from autoencoders.applications.base import run_application
    from autoencoders.callbacks.base import continue_on_error, evaluation_mode
    from autoencoders.loggers.media import MediaWriter
    from autoencoders.runs.run import Run

    # Options that an experiment sets for an application that is not selected are ignored.
    asked = {name: node for name, node in config["after_fit"].items() if node and "_target_" in node}
    if not asked or not trainer.is_global_zero:
        return None
    run, writer, failed = Run.live(trainer, model), MediaWriter.of(trainer), []
    with evaluation_mode(model):
        for name, node in asked.items():
            with continue_on_error(
                trainer, writer, f"application {name}", "the training and its metrics are kept."
            ) as reasons:
                writer.present(name, run_application(run, name, node), trainer.global_step)
            failed += [name] * len(reasons)
    if not failed:
        return None
    words = shlex.join([f"run={config['folder']}", f"application=[{','.join(failed)}]"])
    return f"The training is complete, but {', '.join(failed)} failed. Run again with: python -m " + (
        f"autoencoders.apply {words}"
    )
