"""Content of the checkpoints of models that are built in Python and trained with a Trainer of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoencoders.config.data_paths import make_paths_absolute
from autoencoders.config.instantiate import FORMAT

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.base import ImageModel

CONFIGURATION = "configuration"
"""Key in a checkpoint: configuration of a model that was built in Python."""
GIVEN = ("shape", "context", "classes", "attributes")
"""Arguments of a model that a loaded run takes from the checkpoint, next to the config node of the model."""


def add_configuration(checkpoint: dict[str, Any], model: ImageModel, data: ImageDataModule) -> None:
    """Add to a checkpoint what `autoencoders.load` and `load_from_checkpoint` of the model need.

    `autoencoders.load` reads the configuration of model and data. `load_from_checkpoint` reads the arguments of the
    model. An argument that is an object, such as `likelihood=Gaussian(0.2)`, must be passed to it again.

    Args:
        checkpoint: content of the checkpoint, which is changed.
        model: model whose constructor has recorded its arguments.
        data: data module of the trainer.
    """
    context = None if model.labels is None else model.labels.to_dict()
    shape, recorded = list(model.shape), model.call
    node = {name: value for name, value in recorded.node.items() if name not in GIVEN}
    checkpoint[CONFIGURATION] = {
        "format": FORMAT,
        "name": f"{model.name}-{data.name}",
        "model": {**node, "name": model.name},
        "data": None if data.call.omitted else make_paths_absolute({**data.call.node, "name": data.name}),
        "shape": shape,
        "context": context,
        "omitted": [name for name in recorded.omitted if name not in GIVEN],
    }
    if not model.hparams:
        plain = {name: value for name, value in node.items() if not isinstance(value, dict) and name != "_target_"}
        checkpoint[model.CHECKPOINT_HYPER_PARAMS_KEY] = {**plain, "shape": shape, "context": context}
