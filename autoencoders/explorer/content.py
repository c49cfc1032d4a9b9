"""Collect the content of the page from a trained run: networks, codes, images, labels, and values for a check."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoencoders.explorer import encoding
from autoencoders.explorer.latents import describe_density, describe_plane, rank_latents
from autoencoders.models.autoencoder import Autoencoder
from autoencoders.models.onnx_export import run_onnx, write_onnx
from autoencoders.runs.run import Run
from autoencoders.types import Batch, Context, UserError
from autoencoders.utils.checks import check_at_least
from autoencoders.utils.error_messages import short_reason

CHECKED_CODES = 10
"""Number of codes on which the page compares its decoder with PyTorch."""

CHECKED_VALUES = 4096
"""Maximum number of pixel values per image that the page compares, evenly spaced."""

QUANTILES = (0.01, 0.99)
"""Fractions of the attribute values below the ends of an attribute slider."""


@dataclass
class ExplorerRun:
    """The content of the page for one run.

    Attributes:
        title: title of the run.
        content: JSON-compatible dictionary that the scripts of the page read. Networks and arrays are base64 text.
        difference: largest difference of pixel values between ONNX Runtime and PyTorch, on CHECKED_CODES codes.
    """

    title: str
    content: dict[str, Any]
    difference: float

    @property
    def has_encoder(self) -> bool:
        """Whether the page contains the encoder of the run."""
        return self.content["encoder"] is not None

    def remove_encoder(self) -> None:
        """Remove the encoder, so that the page becomes smaller. The page then cannot encode the reader's pictures."""
        self.content["encoder"] = None


def collect_run(run: Run, split: str = "val", count: int = 500, purpose: str = "autoencoders.explore") -> ExplorerRun:
    """Collect the content of the page for one run. The model is moved to the CPU.

    Args:
        run: trained run.
        split: split of the codes and images on the page.
        count: maximum number of codes and images, evenly spaced in the split.
        purpose: command that needs the extra `export`, for error messages.

    Raises:
        UserError: if the model is not an autoencoder with a decoder that can be exported to ONNX, `count` is out of
            range, or a package of the extra `export` is not installed.
    """
    check_at_least("images", count, 2)
    model = run.model.cpu()
    if not can_show(model):
        raise UserError(
            f"{purpose} needs a decoder of images with 1 or 3 channels, got {model.name} with shape "
            f"{tuple(model.shape)}. Choose another run."
        )
    codes = run.codes(split)
    rows = torch.linspace(0, len(codes.z) - 1, min(count, len(codes.z))).round().long()
    batch, z = run.batch(split, rows), codes.z[rows]
    y = batch.y if model.context_size else None
    networks, difference = export_networks(run, batch, z, purpose)
    content = {
        "title": run.title,
        "step": run.step,
        "shape": list(model.shape),
        "latentDim": model.latent_dim,
        **networks,
        "context": describe_context(model.labels if model.context_size else None, y),
        "codes": encoding.compress_numbers(z),
        "count": len(z),
        "split": {"train": "training", "val": "validation", "test": "test"}[split],
        "sheet": encoding.draw_sheet(batch.target),
        "columns": encoding.SHEET_COLUMNS,
        "fit": str((run.config.get("data") or {}).get("fit", "crop")),
        "photoCrop": run.data.photo_crop,
        **describe_classes(run, split, rows),
        "plane": describe_plane(z),
        "latents": rank_latents(run, split, rows, z),
        "density": describe_density(run, split, codes),
        "check": describe_check(run, z, y),
    }
    return ExplorerRun(run.title, content, difference)


def can_show(model: Autoencoder) -> bool:
    """Return whether the page can show the images of a model: it has a decoder, and the images have 1 or 3 channels."""
    return bool(model.decodes) and len(model.shape) == 3 and model.shape[0] in (1, 3)


def export_networks(run: Run, batch: Batch, z: Tensor, purpose: str) -> tuple[dict[str, str], float]:
    """Export the encoder and the decoder to ONNX, and compare them with PyTorch.

    Args:
        run: trained run with its model on the CPU.
        batch: N images of a split.
        z: their codes (N, Z).
        purpose: command that needs the extra `export`, for error messages.

    Returns:
        The compressed files `encoder` and `decoder`, and the largest difference of pixel values.

    Raises:
        UserError: if the model cannot be exported, or a package is not installed.
    """
    checked, codes = batch.select(slice(CHECKED_CODES)), z[:CHECKED_CODES]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            files = write_onnx(run.model, folder, checked, purpose)
        except UserError:
            raise
        except Exception as error:  # the exporter raises many types of exceptions
            raise UserError(
                f"{purpose} needs a model that can be exported to ONNX, got {run.model.name}, whose export fails "
                f"({short_reason(error)}). Use operations that torch.onnx.export supports."
            ) from error
        images = run_onnx(files, checked, codes, purpose)["images"]
        difference = float((images - run.decode(codes, checked.y)).abs().max())
        return {file.stem: encoding.compress_bytes(file.read_bytes()) for file in files}, difference


def describe_context(context: Context | None, y: Tensor | None) -> dict[str, Any] | None:
    """Return the classes or attributes of a conditional model, with the ranges of the attributes.

    Args:
        context: labels that the model is conditioned on; None for an unconditional model.
        y: classes (N,) or attributes (N, A) of the images on the page.

    Returns:
        JSON-compatible dictionary with `kind`, `names`, and for attributes `low`, `high` and `mean` (A,).
    """
    if context is None or y is None:
        return None
    plain: dict[str, Any] = {"kind": context.kind, "names": list(context.names)}
    if context.kind == "attributes":
        values = y.double()
        low, high = (torch.nanquantile(values, q, dim=0) for q in QUANTILES)
        plain |= {"low": low.tolist(), "high": high.tolist(), "mean": values.nanmean(0).tolist()}
    return plain


def describe_classes(run: Run, split: str, rows: Tensor) -> dict[str, Any]:
    """Return the `classes` (N,) of images, or None without classes, and the `classNames`."""
    known = run.annotations(split).rows(rows)
    if known.classes is None:
        return {"classes": None, "classNames": []}
    return {"classes": known.classes.tolist(), "classNames": list(known.class_names)}


def describe_check(run: Run, z: Tensor, y: Tensor | None) -> dict[str, Any]:
    """Return pixel values that PyTorch computes, with which the page compares its own.

    Args:
        run: run whose model decodes the codes.
        z: codes (N, Z) of the images on the page, of which the first CHECKED_CODES are decoded.
        y: labels of these images, for a conditional model.

    Returns:
        JSON-compatible dictionary: `count` of the codes, `stride` between the compared values of the flattened images,
        and `values`, the compressed pixel values.
    """
    images = run.decode(z[:CHECKED_CODES], None if y is None else y[:CHECKED_CODES])
    stride = max(1, math.ceil(math.prod(run.model.shape) / CHECKED_VALUES))
    values = images.flatten(1)[:, ::stride]
    labels = None if y is None else y[: len(images)].tolist()
    return {"count": len(images), "stride": stride, "values": encoding.compress_numbers(values), "labels": labels}
