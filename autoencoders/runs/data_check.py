"""Comparison of the data of a trained run with the data of its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoencoders.data.fingerprint import describe_difference
from autoencoders.types import Context, UserError
from autoencoders.utils.checks import require

if TYPE_CHECKING:
    from autoencoders.data.datamodule import ImageDataModule

DATA_IDENTITY = "data_identity"
"""Key in a checkpoint with the digests of the images and labels of the training; see `data.fingerprint`."""
CHANGED_DATA = ("refuse", "accept")
"""Values of the option `changed_data`."""


def check_data(
    identity: Mapping[str, Any] | None, context: Context | None, data: ImageDataModule, changed_data: str
) -> str | None:
    """Compare the data with the data of the training.

    Args:
        identity: entry DATA_IDENTITY of a checkpoint, or None if the checkpoint has no such entry.
        context: type and names of the labels that the model receives, or None if it receives no labels.
        data: data module, after `setup`.
        changed_data: option `changed_data`: `refuse` or `accept`.

    Returns:
        None if the data are the same. A sentence on the difference if they differ and `changed_data` is `accept`.

    Raises:
        UserError: if the data differ and `changed_data` is `refuse`, or if the classes or attributes that the model
            receives differ.
    """
    require(changed_data in CHANGED_DATA, "changed_data", changed_data, f"one of {list(CHANGED_DATA)}")
    if context is not None and data.context != context:
        raise UserError(
            f"The labels must be the {describe_labels(context)} of the training, got "
            f"{describe_labels(data.context)} in {data.origin}. Restore the labels, or train a new run."
        )
    difference = None
    if identity is not None:
        difference = describe_difference(identity, data.identity(sampled=bool(identity.get("sampled"))))
    if difference is not None and changed_data == "refuse":
        raise UserError(
            f"The data must be the same as in the training, but {difference} (in {data.origin}). Restore the data, set "
            "data.path to an unchanged copy, or set changed_data=accept. With accept, the validation and test splits "
            "may contain images of the training."
        )
    return None if difference is None else f"The data differ from the data of the training: {difference}."


def describe_labels(context: Context | None) -> str:
    """Return the kind, number and first names of labels as text."""
    if context is None:
        return "no labels"
    return f"{context.size} {context.kind} {', '.join(context.names[:5])}{', ...' if context.size > 5 else ''}"
