"""Validation of a configuration before data is loaded, by instantiating the configured objects.

Models are instantiated on the meta device. Constructors check the ranges of their options and raise UserError. This
module checks ranges only for Lightning's Trainer.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoencoders.config.compose import option_keys
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
"""Integer option of Lightning's Trainer -> minimum. Lightning accepts smaller values, but then skips work."""
LABELS = Context("classes", ("a", "b"))
"""Labels of a model that is built before the data is read."""
SPLIT_OPTIONS = {"val": "data.validation", "test": "data.test"}
"""Split -> option that sets its size."""
SCHEDULE_STEPS = 100
"""Number of optimizer steps for which a learning-rate schedule is built during validation."""
TRAINING_COPIES = 4
"""Memory for training with Adam divided by the memory for the weights: weights, gradients and two moments."""


def validate(config: Mapping) -> None:
    """Check that the objects in a configuration can be instantiated.

    The model is instantiated on the meta device, for large images with labels. Constraints that depend on the shape or
    the labels of the real data are checked later. Exceptions from the model other than UserError are ignored, because
    a user's own model may not support the meta device.

    Args:
        config: the resolved configuration.

    Raises:
        UserError: if an option is not valid, or an object cannot be instantiated.
    """
    for name in ("beta", "likelihood", "objective", "regularizer", "prior", "posterior", "corruption", "figures"):
        instantiate(name, config[name])
    for name in ("net", "after_fit"):
        check_options(name, config[name])
    _check_optimizer(config)
    _check_trainer(config["trainer"])
    epochs = config["trainer"].get("max_epochs")
    if epochs in (None, -1) and not _has_another_end(config):
        raise UserError(
            "trainer.max_epochs must be an integer >= 1, because no other option ends the run, got "
            f"{'null' if epochs is None else epochs}. Set trainer.max_epochs or trainer.max_steps, or add "
            "callbacks=[default,early_stopping]."
        )
    _check_applications(config)
    _check_unselected(config)
    check_options("model", config["model"])
    build_on_meta(config["model"], (3, 512, 512), LABELS)


def check_combination(config: Mapping, trainer: pl.Trainer, data: ImageDataModule) -> None:
    """Check that model, data and trainer can be combined. Call this before the data is loaded, which may take long.

    A batch size of `auto` is known after the data is read, and is checked then.

    Args:
        config: the resolved configuration.
        trainer: trainer of the run.
        data: data module of the run, before `setup`.

    Raises:
        UserError: if the model needs labels and the data has none, the model does not support several processes, or a
            model with batch normalization would get one image per process.
    """
    size = config["data"].get("batch_size")
    if isinstance(size, int) and size // trainer.world_size <= 1:
        model = build_on_meta(config["model"], (3, 64, 64), LABELS)
        if model is not None:
            check_batch_size(model, size // trainer.world_size)
    if not data.has_labels:
        _check_model_without_labels(config["model"], data)
    if trainer.world_size > 1 and _class_attribute(config["model"], "single_process", False):
        name = config["model"]["name"]
        raise UserError(
            f"The number of processes must be 1 with model={name}, got {trainer.world_size}. Set trainer.devices=1."
        )


def _check_model_without_labels(model: Mapping, data: ImageDataModule) -> None:
    """Raise UserError if a model needs labels. If the dataset has attributes to select, the message names them."""
    try:
        build_on_meta(model, (3, 512, 512), None)
    except UserError as error:
        if not data.selectable_attributes:
            raise
        raise UserError(
            f"model={model['name']} needs labels, but data={data.name} has none, because data.attributes is empty. Set "
            f"data.attributes=[{','.join(data.selectable_attributes)}] or some of them, or choose model=vae."
        ) from error


def _class_attribute(model: Mapping, name: str, default: bool) -> bool:
    """Return a class attribute of the model class that a config node names.

    Return `default` for a user's own class that does not have the attribute, because it is not an `ImageModel`.
    """
    return getattr(find_target("model", model["_target_"]), name, default)


def build_on_meta(model: Mapping, shape: Shape, context: Context | None) -> nn.Module | None:
    """Build a model on the meta device, which allocates no memory for weights.

    Args:
        model: config node of the model.
        shape: shape (C, H, W) of the images.
        context: description of the labels, or None for data without labels.

    Returns:
        The model, or None if an exception other than UserError is raised, because a user's own model may not support
        the meta device or the shape.

    Raises:
        UserError: from the model.
    """
    import torch

    try:
        with torch.device("meta"):
            return build(model, shape=tuple(shape), context=context)
    except UserError:
        raise
    except Exception:
        return None


def _has_another_end(config: Mapping) -> bool:
    """Return whether an option other than `max_epochs` ends the training: max_steps, max_time or early stopping."""
    trainer = config["trainer"]
    if trainer.get("max_steps") not in (None, -1) or trainer.get("max_time") is not None:
        return True
    callbacks = [node for node in config["callbacks"].values() if node]
    return any(str(node.get("_target_")).endswith("EarlyStopping") for node in callbacks)


def _check_optimizer(config: Mapping) -> None:
    """Raise UserError if the optimizer and the learning-rate schedule cannot be instantiated."""
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
    """Return a partial of the class that a config node names, with all options of the node as keyword arguments."""
    check_options(path, node)
    return functools.partial(
        find_target(path, node["_target_"]), **{k: v for k, v in node.items() if not k.startswith("_")}
    )


def _check_trainer(trainer: Mapping) -> None:
    """Raise UserError if an option of Lightning's Trainer is out of range."""
    for name, minimum in TRAINER_MINIMUMS.items():
        value = trainer.get(name)
        if value is None or (name == "max_epochs" and value == -1):
            continue
        may_be_fraction = name.startswith(("limit_", "val_check"))
        if may_be_fraction and isinstance(value, float) and 0 < value <= 1:
            continue
        check_at_least(f"trainer.{name}", value, minimum)
    clip, steps = trainer.get("gradient_clip_val"), trainer.get("max_steps")
    if isinstance(clip, (int, float)) and not clip >= 0:
        raise UserError(f"trainer.gradient_clip_val must be a number >= 0, got {clip}.")
    if steps not in (None, -1) and not (isinstance(steps, int) and steps >= 1):
        raise UserError(f"trainer.max_steps must be an integer >= 1, or -1 for no limit, got {steps}.")
    if re.search("spawn|fork|notebook", str(trainer.get("strategy"))):
        raise UserError(
            "trainer.strategy must start the processes by repeating the command, because the results of other "
            f"processes are not available after training, got {trainer['strategy']}. Set trainer.strategy=ddp."
        )


def _check_applications(config: Mapping) -> None:
    """Raise UserError if the options of the applications after training are not valid, or the model has no decoder."""
    for name, node in config["after_fit"].items():
        if node is not None and not isinstance(node, Mapping):
            raise UserError(
                f"after_fit.{name} must be a group of application options, got {node!r}. Select applications with "
                "application@after_fit=[reconstruct,sample], and remove one with ~after_fit.<name>."
            )
    applications = {name: node for name, node in config["after_fit"].items() if node and "_target_" in node}
    if config["after_fit"] and not _class_attribute(config["model"], "decodes", True):
        name = config["model"]["name"]
        raise UserError(f"application@after_fit needs an autoencoder, got model={name}. Remove application@after_fit.")
    for name, node in applications.items():
        if node.get("split", "test") not in ("train", "val", "test"):
            raise UserError(f"after_fit.{name}.split must be train, val or test, got {node['split']}.")


def _check_unselected(config: Mapping) -> None:
    """Raise UserError if there are options for a callback, logger or application that no config group contains.

    An experiment may contain options for one that is not selected. They have no effect.
    """
    for section, group in (("callbacks", "callbacks"), ("logger", "logger"), ("after_fit", "application")):
        nodes = {name: node for name, node in config[section].items() if node}
        passive = {n: node for n, node in nodes.items() if not isinstance(node, Mapping) or "_target_" not in node}
        known = option_keys(group) if passive else set()
        for name, node in passive.items():
            if not isinstance(node, Mapping):
                raise UserError(f"{section}.{name} must be a group of options, got {node!r}. Remove it.")
            if name not in known:
                raise UserError(
                    f"{section}.{name} must be one of {sorted(known)} or have a class in {section}.{name}._target_, "
                    "got neither."
                )


def check_batch_size(model: nn.Module, images: int) -> None:
    """Raise UserError if training batches contain a single image, and the model has batch normalization.

    Args:
        model: the model of the run.
        images: number of images per training batch and process.
    """
    from torch import nn

    if images == 1 and any(isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) for module in model.modules()):
        raise UserError(
            "data.batch_size must be >= 2 images per process, because the model has batch normalization, got 1 image "
            "per process. Increase data.batch_size, or set net.norm=none."
        )


def check_splits(config: Mapping, trainer: pl.Trainer, data: ImageDataModule) -> None:
    """Check that the validation and test splits have an image for each process. Call this after the data is read.

    Args:
        config: the resolved configuration.
        trainer: trainer of the run.
        data: data module, after `setup`.

    Raises:
        UserError: if a split has fewer images than there are processes.
    """
    for split in ("val", "test") if config["test"] else ("val",):
        count = len(data.images(split))
        if count < trainer.world_size:
            raise UserError(
                f"The {split} split of data={data.name} must have at least {trainer.world_size} images, one for each "
                f"process, got {count}. Set {SPLIT_OPTIONS[split]} to at least {trainer.world_size}, or use fewer "
                "processes with trainer.devices."
            )


def check_memory(config: Mapping, shape: Shape, context: Context | None, training_here: bool) -> None:
    """Compare the memory that the weights of the configured model need with the main memory of the machine.

    Args:
        config: the resolved configuration.
        shape: shape (C, H, W) of the images.
        context: description of the labels, or None for data without labels.
        training_here: whether the model is trained in the main memory, so that gradients and optimizer moments count.

    Raises:
        UserError: if the memory of the machine is too small.
    """
    model = build_on_meta(config["model"], shape, context)
    names = getattr(os, "sysconf_names", {})  # Windows does not report its memory
    if model is None or "SC_PHYS_PAGES" not in names:
        return
    count = sum(p.numel() for p in (*model.parameters(), *model.buffers()))
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = 4 * count * (TRAINING_COPIES if training_here else 1)
    if needed > available:
        raise UserError(
            f"The model has {count:,} weights, which need {needed / 1e9:,.0f} GB during training, but this machine has "
            f"{available / 1e9:,.0f} GB of memory. Lower latent_dim or the widths of the net."
        )
