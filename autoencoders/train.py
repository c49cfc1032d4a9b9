"""Usage: python -m autoencoders.train [group=option ...] [key=value ...].

Trains an AE, VAE or CVAE on images and keeps everything it made in one folder under runs/.

Examples:
  python -m autoencoders.train                                       the default CVAE on digits, in seconds
  python -m autoencoders.train model=vae data=mnist latent_dim=2
  python -m autoencoders.train model=cvae data=mnist net=conv beta=warmup beta.value=4
  python -m autoencoders.train -m model=vae data=mnist beta=0.5,1,4  a sweep, one run each
  python -m autoencoders.train trainer.max_epochs=50 data.batch_size=256 optimizer.lr=1e-3
  python -m autoencoders.train 'callbacks=[default,gif]' logger=none
  python -m autoencoders.train model=ae --cfg job                    print the composed configuration
"""

from __future__ import annotations

import atexit
import gc
import sys
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from autoencoders.compose import CONF, help_text
from autoencoders.types import UserError


def main() -> None:
    """What the command line runs."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text(__doc__))
    else:
        job()


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
def job(config: DictConfig) -> float | None:
    """One job: train, and return `val/objective` of the best epoch, for sweepers that minimise.

    Heavy libraries load in here, so that help, completion and configuration errors answer at once.
    """
    # A quarter of the import time is garbage collection of objects that live for ever.
    gc.disable()
    import lightning.pytorch
    import torch  # noqa: F401

    gc.freeze()
    gc.enable()
    atexit.register(gc.unfreeze)  # else some extension modules report everything as leaked
    silence(lightning.pytorch)
    hydra_config = HydraConfig.get()
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    if hydra_config.mode == RunMode.MULTIRUN and "wandb" in plain["logger"]:
        plain["logger"]["wandb"]["group"] = plain["logger"]["wandb"]["group"] or Path(hydra_config.sweep.dir).name
    try:
        metrics = train(plain, list(hydra_config.overrides.task))
    except UserError as error:
        if plain["debug"] or hydra_config.mode == RunMode.MULTIRUN:
            raise
        print(f"autoencoders: {error}", file=sys.stderr)
        sys.exit(2)
    return metrics.get("val/objective")


def train(config: dict[str, Any], overrides: list[str] = ()) -> dict[str, float]:
    """Train one run and keep everything it made in `config["folder"]`.

    Args:
        config: the resolved configuration, plain containers.
        overrides: what the user typed, for the record.

    Returns:
        The final metrics, as `metrics.json` holds them.

    Raises:
        UserError: where what was asked for cannot be done; configuration is checked before any data work.
    """
    import lightning.pytorch as pl
    import torch
    import yaml

    from autoencoders import gallery, records, runs
    from autoencoders.callbacks.clock import Clock

    started, folder = time.perf_counter(), Path(config["folder"])
    if config["seed"] is None:
        config = with_seed(config, time.time_ns() % 2**31)
    check(config)
    data = runs.build(config["data"])
    clock = Clock()
    callbacks = [clock, *(runs.build(node) for node in config["callbacks"].values() if node)]
    resume = runs.find_checkpoint(config["resume"], newest=True) if config["resume"] else None

    data.prepare_data()
    data.setup("fit")
    pl.seed_everything(config["seed"], verbose=False)
    model = runs.build_model(config, data.shape, data.context)
    if config["compile"]:
        model.terms = torch.compile(model.terms)

    folder.mkdir(parents=True, exist_ok=True)
    loggers = [records.MetricsFile(folder / "metrics.csv")]
    loggers += [runs.build(node) for node in config["logger"].values() if node]
    try:
        trainer = runs.build(
            config["trainer"],
            callbacks=callbacks,
            logger=loggers,
            default_root_dir=str(folder),
            enable_checkpointing=any(isinstance(c, pl.callbacks.ModelCheckpoint) for c in callbacks),
            enable_progress_bar=any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks),
        )
        record = records.card(data, model, list(overrides))
        if trainer.is_global_zero:
            (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
            records.write_json(folder / "run.json", {**record, "status": "running"})
            print(f"{config['name']}: {record['parameters']:,} parameters, {summary_of(record['data'])}")
        trainer.ckpt_path = resume  # not an argument of fit: the model's setup hook must know that it resumes
        trainer.fit(model, datamodule=data)
        trainer.ckpt_path = None
        if not (folder / runs.LAST).is_file():
            trainer.save_checkpoint(folder / runs.LAST)
        metrics = records.best_validation(folder / "metrics.csv")
        if config["test"]:
            best = folder / runs.BEST
            trainer.test(model, data, ckpt_path=best if best.is_file() else None, verbose=False)
            metrics |= {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("test")}
        record |= {"status": "done", "device": str(trainer.strategy.root_device), "epochs": trainer.current_epoch}
        record |= {"seconds": time.perf_counter() - started, "images_per_second": clock.images_per_second}
        if trainer.is_global_zero:
            records.write_json(folder / "metrics.json", metrics)
            records.write_json(folder / "run.json", record)
    finally:
        where = gallery.close(loggers)
    if trainer.is_global_zero:
        print("\n".join(records.closing_lines(folder, record, metrics, config["latent_dim"]["size"], where)))
    return metrics


def with_seed(config: dict[str, Any], seed: int) -> dict[str, Any]:
    """The configuration with a drawn seed wherever the missing one was interpolated."""
    model, data = {**config["model"], "seed": seed}, {**config["data"], "seed": seed}
    return {**config, "seed": seed, "model": model, "data": data}


def check(config: dict[str, Any]) -> None:
    """Find what can be found wrong before data are touched: the parts that need none of them are built."""
    from autoencoders import runs

    size = config["latent_dim"]["size"]
    if not isinstance(size, int) or size < 1:
        raise UserError(f"latent_dim.size must be a whole number from 1 up, and is {size}.")
    runs.build(config["beta"])
    runs.build(config["likelihood"])


def summary_of(data: dict[str, Any]) -> str:
    """One phrase on the data: `mnist 55,000 + 5,000 + 10,000 images of 1 x 28 x 28`."""
    counts = " + ".join(f"{n:,}" for n in data["images"].values())
    return f"{data['name']} {counts} images of {' x '.join(map(str, data['shape']))}"


def silence(lightning: Any) -> None:
    """Take away the lines of libraries that tell a user nothing about the run."""
    import logging
    import warnings

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    ours = (".*smaller than the logging interval.*", ".*configure_optimizers.*None.*", ".*dataloader is not resumable.*")
    for pattern in (*ours, ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", pattern)


if __name__ == "__main__":
    main()
