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
from autoencoders.utils.startup import load_heavy_libraries, restore_settings


def main() -> None:
    """Run the command line."""
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


def run(plain: dict[str, Any], hydra_config: Any) -> dict[str, float]:
    """Run a resolved configuration, alone or as a job of a sweep, and return its final metrics."""
    sweeping = hydra_config.mode == RunMode.MULTIRUN
    if sweeping:
        sweeps.limit_threads(hydra_config.launcher)
        if (done := sweeps.load_finished_job(plain)) is not None:
            return done
        if "wandb" in plain["logger"]:
            plain["logger"]["wandb"]["group"] = plain["logger"]["wandb"]["group"] or Path(hydra_config.sweep.dir).name
    load_heavy_libraries()
    overrides = list(hydra_config.overrides.task)
    try:
        if (
            sweeping
            and distributed.uses_several_processes(plain["trainer"])
            and not distributed.has_external_launcher()
        ):
            return sweeps.run_multiprocess_job(plain, hydra_config)
        if sweeping and not plain["resume"]:
            plain["resume"] = "auto"  # a failed or killed job continues when its sweep is started again
        given = (
            sweeping
            or plain["resume"] not in (None, "auto")
            or any("hydra.run.dir=" in word for word in hydra_config.overrides.hydra)
        )
        distributed.check_process_agreement(plain, folder_given=bool(given))
        with error_messages.translate_errors(plain):
            return train(plain, overrides, partial(config_changes, plain, overrides, hydra_config))
    except RunStopped as stop:
        if distributed.is_rank_zero():
            print(f"autoencoders: stopped {stop.where}.{resume_hint(plain, overrides, sweeping)}", file=sys.stderr)
        raise
    except Exception as error:
        if not sweeping or plain["debug"]:
            raise
        return {
            "val/objective": sweeps.record_failed_job(plain, overrides, error)
        }  # the other jobs continue; the table of the sweep reports it


def config_changes(config: dict[str, Any], overrides: Sequence[str], hydra_config: Any) -> list[tuple[str, str]]:
    """Return the settings that differ from the default configuration; see `config.diff.describe_changes`."""
    from autoencoders.config import diff

    default = hydra.compose("train", ["folder=''"], return_hydra_config=True)
    old = OmegaConf.to_container(
        OmegaConf.masked_copy(default, [key for key in default if key != "hydra"]), resolve=True
    )
    old, new = ({**c, "choices": dict(h.runtime.choices)} for c, h in ((old, default.hydra), (config, hydra_config)))
    return diff.describe_changes(new, old, overrides)


def resume_hint(config: dict[str, Any], overrides: Sequence[str], sweeping: bool) -> str:
    """Return the command that continues a stopped run, or an empty string if there is no checkpoint yet."""
    if sweeping:
        return " Continue with the same command and the same hydra.sweep.dir."
    from autoencoders.runs import loading

    if not Path(config["folder"], loading.LAST).is_file():
        return ""
    words = [word for word in overrides if not word.startswith("resume=")]
    resume = f"resume={config['folder']}"
    if not re.fullmatch(r"[\w./=-]+", resume):
        resume = quote_option(resume, ("resume",))  # quoted for Hydra's grammar
    return f" Continue with: python -m autoencoders.train {shlex.join([*words, resume])}"


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
