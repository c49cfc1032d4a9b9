"""Validate a configuration before any data is loaded: every object is instantiated once on the meta device.

Ranges are checked by the constructors, which raise UserError. This module only adds ranges of classes of other
libraries, in TRAINER_MINIMUMS.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.config.instantiate import build, instantiate, root_cause_message
from autoencoders.config.signatures import check_options, find_target
from autoencoders.types import Context, Shape, UserError
from autoencoders.utils.checks import check_at_least

if TYPE_CHECKING:
    import lightning.pytorch as pl
    from torch import nn

    from autoencoders.data.datamodule import ImageDataModule

TRAINER_MINIMUMS = {
    "max_epochs": 1, "log_every_n_steps": 1, "accumulate_grad_batches": 1, "check_val_every_n_epoch": 1,
    "num_nodes": 1, "limit_train_batches": 1, "limit_val_batches": 1, "limit_test_batches": 1,
    "val_check_interval": 1,
}  # fmt: skip
"""Minimum of integer options of Lightning's Trainer. Lightning accepts smaller values and then does nothing."""
SCHEDULE_STEPS = 100
"""Number of optimizer steps for which a schedule is built."""
TRAINING_COPIES = 4
"""Copies of the weights in memory during training with Adam: weights, gradients and two moments."""


def validate(config: Mapping) -> None:
    """Raise UserError if a configured object cannot be instantiated.

    Models are built on the meta device, for large images with labels. Constraints that depend on the real shape or
    labels are checked later. Only a UserError of a model counts: a user's own model may not support the meta device.
    """
    for name in ("beta", "likelihood", "objective", "posterior", "corruption"):
        instantiate(name, config[name])
    for name in ("net", "after_fit"):
        check_options(name, config[name])
    _check_optimizer(config)
    _check_trainer(config["trainer"])
    if config["trainer"].get("max_epochs") == -1 and not _has_another_end(config):
        raise UserError(
            "trainer.max_epochs=-1 needs another end of the run. Set trainer.max_epochs or trainer.max_steps, or add "
            "callbacks=[default,early_stopping]."
        )
    _check_applications(config)
    check_options("model", config["model"])
    _check_model(config["model"], Context("classes", ("a", "b")))


def check_combination(config: Mapping, trainer: pl.Trainer, data: ImageDataModule) -> None:
    """Raise UserError if model, data and trainer are valid but cannot be combined.

    This is called before the data is loaded, which may take long.
    """
    if not data.has_labels:
        _check_model_without_labels(config["model"], data)
    if trainer.world_size > 1 and _class_attribute(config["model"], "single_process", False):
        name = config["model"]["name"]
        raise UserError(f"model={name} is fitted by a single process. Set trainer.devices=1.")


def _check_model_without_labels(model: Mapping, data: ImageDataModule) -> None:
    """Raise UserError if a model needs labels. If the dataset has attributes to select, the message names them."""
    try:
        _check_model(model, None)
    except UserError as error:
        if not data.selectable_attributes:
            raise
        raise UserError(
            f"model={model['name']} needs labels, but data={data.name} has none, because data.attributes is empty. Set "
            f"data.attributes=[{','.join(data.selectable_attributes)}] or some of them, or choose model=vae."
        ) from error


def _class_attribute(model: Mapping, name: str, default: bool) -> bool:
    """Return a class attribute of `ImageModel`; the default for a user's own class that is not derived from it."""
    return getattr(find_target("model", model["_target_"]), name, default)


def _check_model(model: Mapping, context: Context | None) -> None:
    """Build a model on the meta device and raise its UserError, if there is one."""
    import torch

    try:
        with torch.device("meta"):
            build(model, shape=(3, 512, 512), context=context)
    except UserError:
        raise
    except Exception:
        return  # the meta device, or the size of the images, does not suit this model


def _has_another_end(config: Mapping) -> bool:
    """Return whether a run without `max_epochs` ends: by a number of steps, a time or early stopping."""
    trainer = config["trainer"]
    if trainer.get("max_steps") not in (None, -1) or trainer.get("max_time") is not None:
        return True
    callbacks = [node for node in config["callbacks"].values() if node]
    return any(str(node.get("_target_")).endswith("EarlyStopping") for node in callbacks)


def _check_optimizer(config: Mapping) -> None:
    """Raise UserError if the optimizer and the learning-rate schedule cannot be built for one parameter."""
    import torch

    from autoencoders.utils.lr_schedules import build_schedule, check_learning_rate, spans_run

    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer, schedule = _partial("optimizer", config["optimizer"]), _partial("schedule", config["schedule"])
    trainer = config["trainer"]
    endless = trainer.get("max_epochs") == -1 and trainer.get("max_steps") in (None, -1)
    steps = math.inf if endless and spans_run(schedule) else SCHEDULE_STEPS
    try:
        build_schedule(check_learning_rate(optimizer([parameter])), schedule, steps)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"optimizer and schedule cannot be instantiated: {root_cause_message(error)}.") from error


def _partial(path: str, node: Mapping) -> functools.partial:
    """Return a partial of the class of a node, which lacks its first argument."""
    check_options(path, node)
    return functools.partial(
        find_target(path, node["_target_"]), **{k: v for k, v in node.items() if not k.startswith("_")}
    )


def _check_trainer(trainer: Mapping) -> None:
    """Raise UserError if an option of the Trainer is out of range."""
    for name, minimum in TRAINER_MINIMUMS.items():
        value = trainer.get(name)
        if value is None or (name == "max_epochs" and value == -1):
            continue
        may_be_share = name.startswith(("limit_", "val_check"))
        if may_be_share and isinstance(value, float) and 0 < value <= 1:
            continue
        check_at_least(f"trainer.{name}", value, minimum)
    clip, steps = trainer.get("gradient_clip_val"), trainer.get("max_steps")
    if isinstance(clip, (int, float)) and not clip >= 0:
        raise UserError(f"trainer.gradient_clip_val must be a number of at least 0, got {clip}.")
    if steps not in (None, -1) and not (isinstance(steps, int) and steps >= 1):
        raise UserError(f"trainer.max_steps must be an integer of at least 1, or -1 for no limit, got {steps}.")


def _check_applications(config: Mapping) -> None:
    """Raise UserError if the applications after the training are not valid, or the model has no decoder."""
    for name, node in config["after_fit"].items():
        if node is not None and not isinstance(node, Mapping):
            raise UserError(
                f"after_fit.{name} must be the options of an application, got {node!r}. Select applications with "
                "application@after_fit=[reconstruct,sample], and remove one with ~after_fit.<name>."
            )
    applications = {name: node for name, node in config["after_fit"].items() if node and "_target_" in node}
    if config["after_fit"] and not _class_attribute(config["model"], "decodes", True):
        raise UserError(f"application@after_fit needs an autoencoder, got model={config['model']['name']}. Remove it.")
    for name, node in applications.items():
        if node.get("split", "test") not in ("train", "val", "test"):
            raise UserError(f"after_fit.{name}.split must be train, val or test, got {node['split']}.")


def check_batch_size(model: nn.Module, images: int) -> None:
    """Raise UserError if a training batch of one process has a single image, and the model has batch normalization."""
    from torch import nn

    if images == 1 and any(isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) for module in model.modules()):
        raise UserError(
            "data.batch_size must be at least 2 images per process, because the model has batch normalization, got 1. "
            "Raise data.batch_size, or set net.norm=none."
        )


def check_memory(config: Mapping, shape: Shape, context: Context | None, training_here: bool) -> None:
    """Raise UserError if the weights of a model need more memory than the machine has.

    Args:
        config: the resolved configuration.
        shape: (C, H, W) of the images.
        context: description of the labels.
        training_here: whether gradients and the moments of the optimizer are in the same memory.
    """
    import torch

    try:
        with torch.device("meta"):
            model = build(config["model"], shape=tuple(shape), context=context)
        count = sum(p.numel() for p in (*model.parameters(), *model.buffers()))
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except UserError:
        raise
    except Exception:  # a user's own model, or a system that does not report its memory: no check
        return
    needed = 4 * count * (TRAINING_COPIES if training_here else 1)
    if needed > available:
        raise UserError(
            f"The model has {count:,} weights, which need {needed / 1e9:,.0f} GB during training, but this machine has "
            f"{available / 1e9:,.0f} GB. Lower latent_dim or the widths of the net."
        )
