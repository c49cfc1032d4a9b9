"""Usage: python -m autoencoders.train [group=option ...] [key=value ...].

Train an AE, VAE or CVAE on images and save the results in one folder under runs/.

Examples:
  python -m autoencoders.train                                       default CVAE on digits, in seconds
  python -m autoencoders.train model=vae data=mnist latent_dim=2
  python -m autoencoders.train model=cvae data=mnist net=conv beta=warmup beta.value=4
  python -m autoencoders.train -m model=vae data=mnist beta=0.5,1,4  sweep, one run per value
  python -m autoencoders.train trainer.max_epochs=50 data.batch_size=256 optimizer.lr=1e-3
  python -m autoencoders.train 'callbacks=[default,gif]' logger=none
  python -m autoencoders.train model=ae --cfg job                    print the configuration
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF, help_text, quote_option
from autoencoders.training import pipeline, sweeps
from autoencoders.types import RunStopped
from autoencoders.utils import distributed, error_messages
from autoencoders.utils.console import quiet_broken_pipe
from autoencoders.utils.startup import load_heavy_libraries, restore_settings


def main() -> None:
    """Run the command line."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        with quiet_broken_pipe():
            print(help_text(__doc__ or ""))
        return
    try:
        run_entry_point(job)
    except KeyboardInterrupt:  # outside of training, which saves a checkpoint first
        print("autoencoders: interrupted.", file=sys.stderr)
        sys.exit(130)
    finally:  # a launcher that lost a process raises an error: the table of the other jobs is still written
        sweeps.finish_sweep()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(config: DictConfig) -> float | None:
    """Train one run and return `val/objective` of the best epoch, for sweepers that minimize it.

    Heavy libraries are imported here, so that help, completion and configuration errors respond quickly.
    """
    hydra_config = HydraConfig.get()
    with translate_job_errors(hydra_config.runtime.output_dir):
        metrics = run(resolve_config(config), hydra_config)
    return metrics.get("val/objective")


def run(config: dict[str, Any], hydra_config: Any) -> dict[str, float]:
    """Run a resolved configuration, alone or as a job of a sweep, and return its final metrics."""
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    if sweeping:
        sweeps.limit_threads(hydra_config.launcher)
        finished_metrics = sweeps.load_finished_job(config)
        if finished_metrics is not None:
            return finished_metrics
        _set_wandb_group(config, hydra_config)
    load_heavy_libraries()
    overrides = list(hydra_config.overrides.task)
    try:
        return _run_in_processes(config, overrides, hydra_config)
    except RunStopped as stop:
        if distributed.is_rank_zero():
            print(f"autoencoders: stopped {stop.where}.{resume_hint(config, overrides, sweeping)}", file=sys.stderr)
        raise
    except Exception as error:
        if not sweeping or config["debug"]:
            raise
        # The other jobs continue, and the table of the sweep reports the failure.
        return {"val/objective": sweeps.record_failed_job(config, overrides, error)}


def _set_wandb_group(config: dict[str, Any], hydra_config: Any) -> None:
    """Group the runs of a sweep in W&B by the name of its folder, unless the group is set."""
    if "wandb" in config["logger"]:
        wandb = config["logger"]["wandb"]
        wandb["group"] = wandb["group"] or Path(hydra_config.sweep.dir).name


def _run_in_processes(config: dict[str, Any], overrides: Sequence[str], hydra_config: Any) -> dict[str, float]:
    """Train in this process, or start a job of a sweep that needs several processes as a command of its own."""
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    several = distributed.uses_several_processes(config["trainer"]) and not distributed.has_external_launcher()
    if sweeping and several:
        return sweeps.run_multiprocess_job(config, hydra_config)
    if sweeping and not config["resume"]:
        config["resume"] = "auto"  # a failed or killed job continues when its sweep is started again
    resumes = config["resume"] not in (None, "auto")
    sets_folder = any("hydra.run.dir=" in override for override in hydra_config.overrides.hydra)
    distributed.check_process_agreement(config, folder_given=sweeping or resumes or sets_folder)
    with error_messages.translate_errors(config):
        return train(config, overrides, partial(config_changes, config, overrides, hydra_config))


def config_changes(config: dict[str, Any], overrides: Sequence[str], hydra_config: Any) -> list[tuple[str, str]]:
    """Return the settings that differ from the default configuration; see `config.diff.describe_changes`."""
    from autoencoders.config import diff

    default = hydra.compose("train", ["folder=''"], return_hydra_config=True)
    own_keys = [str(key) for key in default if key != "hydra"]
    old = cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.masked_copy(default, own_keys), resolve=True))
    old = {**old, "choices": dict(default.hydra.runtime.choices)}
    new = {**config, "choices": dict(hydra_config.runtime.choices)}
    return diff.describe_changes(new, old, overrides)


def resume_hint(config: dict[str, Any], overrides: Sequence[str], sweeping: bool) -> str:
    """Return the command that continues a stopped run, or an empty string if there is no checkpoint yet."""
    if sweeping:
        return " Continue with the same command and the same hydra.sweep.dir."
    from autoencoders.runs import loading

    if not Path(config["folder"], loading.LAST).is_file():
        return ""
    others = [override for override in overrides if not override.startswith("resume=")]
    resume = f"resume={config['folder']}"
    if not re.fullmatch(r"[\w./=-]+", resume):
        resume = quote_option(resume, ("resume",))  # quoted for Hydra's grammar
    return f" Continue with: python -m autoencoders.train {shlex.join([*others, resume])}"


def train(
    config: dict[str, Any], overrides: Sequence[str] = (), changes: Callable[[], list] = list
) -> dict[str, float]:
    """Train one run and save its results in `config["folder"]`.

    Args:
        config: the resolved configuration, plain containers.
        overrides: the command-line overrides, for the record.
        changes: returns the settings to print, see `config.diff.describe_changes`.

    Returns:
        The final metrics, as in `metrics.json`.

    Raises:
        UserError: if the run is not possible as configured. The configuration is validated before any data is loaded.
    """
    with restore_settings():
        return pipeline.train_run(config, overrides, changes)


if __name__ == "__main__":
    main()
