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
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoders.config.cli_errors import resolve_config, run_entry_point, translate_job_errors
from autoencoders.config.compose import CONF, help_text, quote_option
from autoencoders.training import pipeline, sweeps
from autoencoders.types import RunStopped
from autoencoders.utils import distributed, error_messages
from autoencoders.utils.startup import exit_on_closed_stdout, load_heavy_libraries, restore_settings


def main() -> None:
    """Run the command line."""
    with exit_on_closed_stdout():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(help_text(__doc__))
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
    is_sweep = hydra_config.mode == RunMode.MULTIRUN
    overrides = list(hydra_config.overrides.task)
    if is_sweep:
        sweeps.limit_threads(hydra_config.launcher)
        finished = sweeps.load_finished_job(config)
        if finished is not None:
            return finished
        set_wandb_group(config, hydra_config)
    load_heavy_libraries()
    try:
        if is_sweep and needs_own_processes(config):
            return sweeps.run_multiprocess_job(config, hydra_config)
        if is_sweep and not config["resume"]:
            config["resume"] = "auto"  # a failed or killed job continues when its sweep is started again
        distributed.check_process_agreement(config, folder_given=has_fixed_folder(config, hydra_config))
        with error_messages.translate_errors(config):
            return train(config, overrides, partial(config_changes, config, overrides, hydra_config))
    except RunStopped as stop:
        if distributed.is_rank_zero():
            print(f"autoencoders: stopped {stop.where}.{resume_hint(config, overrides, is_sweep)}", file=sys.stderr)
        raise
    except Exception as error:
        if not is_sweep or config["debug"]:
            raise
        # The other jobs continue, and the table of the sweep contains the error.
        return {"val/objective": sweeps.record_failed_job(config, overrides, error)}


def set_wandb_group(config: dict[str, Any], hydra_config: Any) -> None:
    """Group the W&B runs of a sweep under the name of its folder, unless another group is configured."""
    if "wandb" in config["logger"]:
        wandb = config["logger"]["wandb"]
        wandb["group"] = wandb["group"] or Path(hydra_config.sweep.dir).name


def needs_own_processes(config: dict[str, Any]) -> bool:
    """Return whether a job of a sweep uses several processes, which Lightning starts by repeating a command line."""
    return distributed.uses_several_processes(config["trainer"]) and not distributed.has_external_launcher()


def has_fixed_folder(config: dict[str, Any], hydra_config: Any) -> bool:
    """Return whether the run folder is set by the user or by a sweep, and does not depend on the clock."""
    if hydra_config.mode == RunMode.MULTIRUN or config["resume"] not in (None, "auto"):
        return True
    return any("hydra.run.dir=" in override for override in hydra_config.overrides.hydra)


def config_changes(config: dict[str, Any], overrides: Sequence[str], hydra_config: Any) -> list[tuple[str, str]]:
    """Return the settings that differ from the default configuration; see `config.diff.describe_changes`."""
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
    """Return the command that continues a stopped run, or an empty string if there is no checkpoint yet."""
    if is_sweep:
        return " Continue with the same command and the same hydra.sweep.dir."
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
