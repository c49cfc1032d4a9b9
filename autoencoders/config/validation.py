"""Objections heard early: every part that a configuration names is built once, on no device, before any data work.

Ranges are checked by the constructors of the classes, which raise UserError. Only what somebody else's class takes
unasked is declared here, in LEAST.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.config.instantiate import build, instantiate, root_cause_message
from autoencoders.config.signatures import check_options, find_target
from autoencoders.types import Context, Shape, UserError

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from autoencoders.data.datamodule import ImageDataModule

LEAST = {
    "max_epochs": 1, "log_every_n_steps": 1, "accumulate_grad_batches": 1, "check_val_every_n_epoch": 1,
    "num_nodes": 1, "limit_train_batches": 1, "limit_val_batches": 1, "limit_test_batches": 1,
    "val_check_interval": 1,
}  # fmt: skip
"""The least whole number of options of Lightning's Trainer, which takes less and trains or measures nothing then."""
STEPS = 100
"""Optimizer steps of the run that a schedule is rehearsed for."""
COPIES = 4
"""Of the weights, in training with Adam: themselves, their gradients, two moments."""


def validate(config: Mapping) -> None:
    """Build the configured parts on no device, for large images with labels, to hear their objections early.

    What depends on the real shape or labels may still be refused later. A model of somebody's own that cannot be
    built this way has made no objection: only a UserError counts.
    """
    for name in ("beta", "likelihood", "objective", "posterior", "corruption"):
        instantiate(name, config[name])
    for name in ("net", "after_fit"):
        check_options(name, config[name])
    _rehearse_optimizer(config)
    _check_trainer(config["trainer"])
    if config["trainer"].get("max_epochs") == -1 and not _ends(config):
        raise UserError(
            "trainer.max_epochs is -1, and nothing else ends the run. Set it, or trainer.max_steps, or add "
            "callbacks=[default,early_stopping]."
        )
    _check_applications(config)
    check_options("model", config["model"])
    _hear(config["model"], Context("classes", ("a", "b")))


def check_combination(config: Mapping, trainer: pl.Trainer, data: ImageDataModule) -> None:
    """Raise UserError where model, data and trainer, each in order by itself, cannot work together.

    Asked before the data are read, which may take long.
    """
    if not data.tells:
        _hear(config["model"], None)
    if trainer.world_size > 1 and getattr(find_target("model", config["model"]["_target_"]), "alone", False):
        name = config["model"]["name"]
        raise UserError(f"model={name} is fitted, not trained, by one process. Give trainer.devices=1.")


def _hear(model: Mapping, context: Context | None) -> None:
    """Build a model on no device, and raise its objection, should it have one."""
    import torch

    objection = None
    with contextlib.suppress(Exception), torch.device("meta"):
        try:
            build(model, shape=(3, 512, 512), context=context)
        except UserError as error:
            objection = error
    if objection is not None:
        raise objection


def _ends(config: Mapping) -> bool:
    trainer, nodes = config["trainer"], config["callbacks"].values()
    stops = [node for node in nodes if node and str(node.get("_target_")).endswith("EarlyStopping")]
    return trainer.get("max_steps") not in (None, -1) or trainer.get("max_time") is not None or bool(stops)


def _rehearse_optimizer(config: Mapping) -> None:
    import torch

    from autoencoders.utils.lr_schedules import build_schedule, check_learning_rate, spans_run

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer, schedule = _partial("optimizer", config["optimizer"]), _partial("schedule", config["schedule"])
    try:
        endless = config["trainer"].get("max_epochs") == -1 and config["trainer"].get("max_steps") in (None, -1)
        build_schedule(
            check_learning_rate(optimizer([parameter])),
            schedule,
            math.inf if endless and spans_run(schedule) else STEPS,
        )
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"optimizer and schedule cannot be set up as asked: {root_cause_message(error)}.") from error


def _partial(path: str, node: Mapping) -> functools.partial:
    """What waits for its first argument."""
    check_options(path, node)
    return functools.partial(
        find_target(path, node["_target_"]), **{k: v for k, v in node.items() if not k.startswith("_")}
    )


def _check_trainer(trainer: Mapping) -> None:
    for name, least in LEAST.items():
        value = trainer.get(name)
        share = name.startswith(("limit_", "val_check")) and isinstance(value, float) and 0 < value <= 1
        ends = name == "max_epochs" and value == -1
        if value is not None and not share and not ends and not (isinstance(value, int) and value >= least):
            raise UserError(f"trainer.{name} must be a whole number from {least} up, and is {value}.")
    clip, steps = trainer.get("gradient_clip_val"), trainer.get("max_steps")
    if isinstance(clip, (int, float)) and not clip >= 0:
        raise UserError(f"trainer.gradient_clip_val must be a norm from 0 up, and is {clip}.")
    if steps not in (None, -1) and not (isinstance(steps, int) and steps >= 1):
        raise UserError(f"trainer.max_steps must be a whole number from 1 up, or -1 for no limit, and is {steps}.")


def _check_applications(config: Mapping) -> None:
    for name, node in config["after_fit"].items():
        if node is not None and not isinstance(node, Mapping):
            raise UserError(
                f"after_fit.{name} must be an application's options, and is {node!r}. Choose some by "
                "application@after_fit=[reconstruct,sample], and leave one out by ~after_fit.<name>."
            )
    asked = {name: node for name, node in config["after_fit"].items() if node and "_target_" in node}
    if config["after_fit"] and not hasattr(find_target("model", config["model"]["_target_"]), "decode"):
        raise UserError(
            f"application@after_fit asks an autoencoder, and model={config['model']['name']} draws nothing. Leave it "
            "out."
        )
    for name, node in asked.items():
        if node.get("split", "test") not in ("train", "val", "test"):
            raise UserError(f"after_fit.{name}.split must be train, val or test, and is {node['split']}.")


def check_memory(config: Mapping, shape: Shape, context: Context | None, training_here: bool) -> None:
    """Raise UserError where a model's weights alone need more memory than this machine has.

    Args:
        config: of the run.
        shape: of the images.
        context: what the labels mean.
        training_here: whether gradients and the optimizer's moments lie in the same memory.
    """
    import torch

    try:
        with torch.device("meta"):
            model = build(config["model"], shape=tuple(shape), context=context)
        count = sum(p.numel() for p in (*model.parameters(), *model.buffers()))
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except UserError:
        raise
    except Exception:  # a model of somebody's own, or a system that does not tell: no objection
        return
    needed = 4 * count * (COPIES if training_here else 1)
    if needed > there:
        raise UserError(
            f"The model has {count:,} weights, which take {needed / 1e9:,.0f} GB in training, and this machine has "
            f"{there / 1e9:,.0f} GB. Lower latent_dim or the net's widths."
        )
