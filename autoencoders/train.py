"""Usage: python -m autoencoders.train [group=option ...] [key=value ...].

Train an autoencoder (AE), a variational autoencoder (VAE) or a conditional VAE (CVAE) on images. The results are saved
in one folder under runs/.

Examples:
  python -m autoencoders.train                                       train the default CVAE on digits in a few seconds
  python -m autoencoders.train model=vae data=mnist latent_dim=2
  python -m autoencoders.train model=cvae data=mnist net=conv beta=warmup beta.value=4
  python -m autoencoders.train -m model=vae data=mnist beta=0.5,1,4  sweep: train one run per value of beta
  python -m autoencoders.train trainer.max_epochs=50 data.batch_size=256 optimizer.lr=1e-3
  python -m autoencoders.train 'callbacks=[default,gif]' logger=none
  python -m autoencoders.train model=ae --cfg job                    print the configuration
"""

from __future__ import annotations

if __name__ == "__main__":  # before the slow imports, so that a signal during them ends the command with one sentence
    from autoencoders.utils.startup import prepare_process

    prepare_process()

import math
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoders.config.arguments import (
    collapse_numbers,
    quote_option,
    quote_unparsable,
    read_overrides,
    replace_synonyms,
)
from autoencoders.config.cli_errors import remove_if_empty, resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF, help_text
from autoencoders.config.data_paths import PATH_OPTIONS, make_paths_absolute
from autoencoders.training import pipeline, sweeps
from autoencoders.training.sweep_signals import check_worker, run_job
from autoencoders.types import RunStopped, UserError
from autoencoders.utils import distributed, error_messages, launchers, slurm
from autoencoders.utils.precision import resolve_precision
from autoencoders.utils.startup import load_heavy_libraries, report_stop, restore_settings, run_command
from autoencoders.utils.streams import check_output, protect_streams

if TYPE_CHECKING:
    from autoencoders.runs.run import Run

PATHS = (*(f"data.{name}" for name in PATH_OPTIONS), "resume", "init_from", "runs", "hydra.run.dir", "hydra.sweep.dir")
"""Options whose values are paths."""
DEFAULT_METRIC = "val/objective"
"""Value of `optimized_metric` in conf/train.yaml."""


def main() -> None:
    """Parse the command line and train, or print the help text."""
    with run_command():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(help_text(__doc__))
            check_output()
            return
        sys.argv[1:] = [quote_unparsable(argument, PATHS) for argument in replace_synonyms(sys.argv[1:])]
        try:
            run_entry_point(job, "train", sweeps.explain_launcher_error)
        except RunStopped as stop:
            report_stop(stop, sweeps.HINT if sweeps.SweepTable.open_sweep else "")  # between two jobs
            raise
        finally:  # if a launcher fails because a process died, the table of the other jobs is still written
            sweeps.finish_sweep()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(config: DictConfig) -> float | None:
    """Train one run and return the metric `optimized_metric`, which Hydra sweepers such as Optuna can minimize.

    Torch and Lightning are imported inside this function. The help text, the shell completion and configuration errors
    therefore appear quickly.
    """
    hydra_config = HydraConfig.get()

    def run_translated() -> float | None:
        with translate_job_errors(hydra_config.runtime.output_dir):
            check_worker()
            metrics = run(resolve_config(config), hydra_config)
        return optimized_value(config.optimized_metric, metrics)

    return run_job(run_translated)


def run(config: dict[str, Any], hydra_config: Any) -> dict[str, float]:
    """Train one run, alone or as a job of a sweep, and return the final metrics of the run.

    Args:
        config: resolved configuration of the run.
        hydra_config: Hydra's own configuration, with the launcher, the run folder and the overrides.
    """
    from autoencoders.runs import references

    protect_streams()  # some launchers run the jobs of a sweep in other processes
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    launchers.ignore_leftovers(config["trainer"])
    config["data"] = make_paths_absolute(config["data"])  # before it is compared with the config.yaml of a finished job
    if config["init_from"]:
        config["init_from"] = references.make_absolute(config["init_from"])
    overrides = collapse_numbers(read_overrides(hydra_config, "task"))
    if is_sweep:
        sweeps.limit_threads(hydra_config.launcher)
        config["trainer"] = resolve_precision(config["trainer"])  # for the same comparison
        finished = sweeps.load_finished_job(config)
        if finished is not None:
            return finished
        set_wandb_group(config, hydra_config)
    try:
        if is_sweep and (needs_own_processes(config) or sweeps.shares_processes(hydra_config.launcher)):
            return sweeps.run_job_in_subprocess(config, hydra_config)
        load_heavy_libraries(partial(remove_if_empty, config["folder"]))
        if is_sweep and not config["resume"]:
            config["resume"] = "auto"  # if the sweep is started again, failed and killed jobs continue
        distributed.check_process_agreement(config, folder_given=has_fixed_folder(config, hydra_config))
        with error_messages.translate_errors(config):
            return train(config, overrides, partial(config_changes, config, overrides, hydra_config))
    except RunStopped as stop:
        job = slurm.job_to_requeue(stop.number) if continues_if_repeated(config, hydra_config) else None
        if job is None:
            report_stop(stop, resume_hint(config, overrides, is_sweep))
        else:
            report_stop(stop, f" The Slurm job {job} is requeued to continue.")
            slurm.requeue(job)
        raise
    except Exception as error:
        if not is_sweep or config["traceback"]:
            raise
        # The other jobs of the sweep continue. The table of the sweep shows the error of this job.
        result = sweeps.record_failed_job(config, overrides, error) if distributed.is_rank_zero() else math.nan
        if launchers.is_launched(config["trainer"]["num_nodes"]):
            sys.exit(1)  # the processes have left their exchanges at different points, and cannot continue together
        return {config["optimized_metric"]: result}


def optimized_value(name: str, metrics: dict[str, float]) -> float | None:
    """Return the metric that a sweeper minimizes. None if the run has no validation metrics and none is requested.

    Args:
        name: option `optimized_metric`.
        metrics: final metrics of the run.

    Raises:
        UserError: if the run has no metric of this name.
    """
    if name not in metrics and name != DEFAULT_METRIC:
        raise UserError(
            f"optimized_metric must be a metric of the run, got {name}. Choose from: {', '.join(sorted(metrics))}."
        )
    return metrics.get(name)


def set_wandb_group(config: dict[str, Any], hydra_config: Any) -> None:
    """Set the W&B group of a sweep's runs to the name of the sweep folder, unless the user has set a group."""
    if "wandb" in config["logger"]:
        wandb = config["logger"]["wandb"]
        wandb["group"] = wandb["group"] or Path(hydra_config.sweep.dir).name


def needs_own_processes(config: dict[str, Any]) -> bool:
    """Return whether a run uses several processes and no launcher has started them.

    A job of a sweep is then started as a separate command, because each further process repeats the command line.
    """
    is_launched = launchers.is_launched(config["trainer"]["num_nodes"])
    return distributed.uses_several_processes(config["trainer"]) and not is_launched


def has_fixed_folder(config: dict[str, Any], hydra_config: Any) -> bool:
    """Return True if the user or a sweep chose the run folder.

    Return False for the default folder, whose name contains the start time and differs for each run.
    """
    if hydra_config.mode == RunMode.MULTIRUN or config["resume"] not in (None, "auto"):
        return True
    return any("hydra.run.dir=" in override for override in read_overrides(hydra_config, "hydra"))


def continues_if_repeated(config: dict[str, Any], hydra_config: Any) -> bool:
    """Return whether the same command continues the run or the sweep, because the user has fixed its folder."""
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    option = "hydra.sweep.dir=" if is_sweep else "hydra.run.dir="
    return config["resume"] == "auto" and any(option in override for override in read_overrides(hydra_config, "hydra"))


def config_changes(config: dict[str, Any], overrides: Sequence[str], hydra_config: Any) -> list[tuple[str, str]]:
    """Return the settings of a run that differ from the default configuration, as pairs of setting and `old → new`.

    Args:
        config: resolved configuration of the run.
        overrides: command-line overrides of the run.
        hydra_config: Hydra's own configuration, with the selected options of the config groups.
    """
    from autoencoders.config import diff

    default = hydra.compose("train", ["folder=''"], return_hydra_config=True)
    sections = [str(key) for key in default if key != "hydra"]
    defaults = resolve_config(OmegaConf.masked_copy(default, sections))
    return diff.describe_changes(
        {**config, "choices": dict(hydra_config.runtime.choices)},
        {**defaults, "choices": dict(default.hydra.runtime.choices)},
        overrides,
    )


def resume_hint(config: dict[str, Any], overrides: Sequence[str], is_sweep: bool) -> str:
    """Return a sentence with the command that continues a stopped run.

    Args:
        config: resolved configuration of the run.
        overrides: command-line overrides of the run.
        is_sweep: whether the run is a job of a sweep.

    Returns:
        The sentence, or an empty string if the run has not written a checkpoint yet.
    """
    if is_sweep:
        return sweeps.HINT
    from autoencoders.runs import loading

    if not Path(config["folder"], loading.LAST).is_file():
        return ""
    arguments = [override for override in overrides if not override.startswith("resume=")]
    resume = f"resume={config['folder']}"
    if not re.fullmatch(r"[\w./=-]+", resume):
        resume = quote_option(resume, ("resume",))  # quoted for Hydra's grammar
    return f" Continue with: python -m autoencoders.train {shlex.join([*arguments, resume])}"


def train(
    config: dict[str, Any], overrides: Sequence[str] = (), changes: Callable[[], list] = list
) -> dict[str, float]:
    """Train one run and save its results in `config["folder"]`.

    Args:
        config: resolved configuration of the run as plain Python dictionaries and lists.
        overrides: command-line overrides, which are saved in `run.json`.
        changes: function that returns the settings to print at the start; see `config.diff.describe_changes`.

    Returns:
        Metric name -> final value, as in `metrics.json`.

    Raises:
        UserError: if the configuration is invalid or the training cannot run. The configuration is validated before any
            data is loaded.
    """
    launchers.ignore_leftovers(config["trainer"])
    with restore_settings():
        return pipeline.train_run(config, overrides, changes)


class CallableModule(ModuleType):
    """Class of this module, so that `autoencoders.train(model="vae")` trains although `autoencoders.train` is a module.

    An import of a submodule always binds the module to its name in the package. A class of a module is a documented
    way to customize it: https://docs.python.org/3/reference/datamodel.html#customizing-module-attribute-access.
    """

    def __call__(self, **options: Any) -> Run:
        """Train a run; see `autoencoders.training.from_python.train_from_python`."""
        from autoencoders.training.from_python import train_from_python

        return train_from_python(**options)


if __name__ == "__main__":
    main()
else:
    sys.modules[__name__].__class__ = CallableModule
