"""Export of an encoder and a decoder as ONNX files, which other programs can run without PyTorch."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from autoencoders.types import Batch
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.extras import import_extra

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder

OPSET = 18
"""Version of the ONNX operator set."""


class Encode(nn.Module):
    """Module for ONNX export that maps images, and labels if the model is conditional, to posterior means."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the posterior means (N, Z) of images (N, C, H, W)."""
        return self.model.encode(x, y)


class Decode(Encode):
    """Module for ONNX export that maps codes, and labels if the model is conditional, to mean images of p(x | z)."""

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the mean images (N, C, H, W) of p(x | z) for codes (N, Z)."""
        return self.model.decode(z, y)


def write_onnx(model: Autoencoder, folder: Path, batch: Batch, purpose: str) -> list[Path]:
    """Write `encoder.onnx` and `decoder.onnx` with a dynamic batch size, and return their paths.

    Args:
        model: model to export, on the CPU.
        folder: existing folder for the files.
        batch: batch whose first two images and labels are the example inputs for the exporter.
        purpose: the option or command that needs the files, such as `application=export`, for error messages.

    Raises:
        UserError: if onnxscript is not installed.
    """
    import_extra("onnxscript", "export", purpose)
    labels = (batch.y[:2],) if model.context_size and batch.y is not None else ()
    with torch.no_grad():
        z = model.encode(batch.x[:2], *labels)
    free, files = torch.export.Dim("N"), []
    for name, part, first, given in (("encoder", Encode(model), "x", batch.x[:2]), ("decoder", Decode(model), "z", z)):
        names = [first, "y"][: 1 + len(labels)]
        files.append(folder / f"{name}.onnx")
        with quiet_exporter(), atomic_write(files[-1]) as partial:
            torch.onnx.export(
                part.eval(), (given, *labels), partial, input_names=names,
                output_names=["z" if name == "encoder" else "image"], opset_version=OPSET, dynamo=True,
                dynamic_shapes=tuple({0: free} for _ in names), external_data=False, verbose=False,
            )  # fmt: skip
    return files


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Suppress log messages and warnings of PyTorch's ONNX exporter in a `with` block."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def run_onnx(folder: Path, model: Autoencoder, batch: Batch, z: Tensor, purpose: str) -> tuple[Tensor, Tensor]:
    """Run the exported ONNX files on the CPU.

    Args:
        folder: folder that contains `encoder.onnx` and `decoder.onnx`.
        model: exported model, which determines whether the files have the input `y`.
        batch: N images to encode, with their labels.
        z: codes (N, Z) to decode with the labels of the batch.
        purpose: the option or command that needs the files, for error messages.

    Returns:
        Codes (N, Z) of the images, and decoded images (N, C, H, W) of the codes.

    Raises:
        UserError: if onnxruntime is not installed.
    """
    session = import_extra("onnxruntime", "export", purpose).InferenceSession
    labels = {"y": batch.y.numpy()} if model.context_size and batch.y is not None else {}

    def run_network(name: str, **inputs: np.ndarray) -> Tensor:
        network = session(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        return torch.from_numpy(network.run(None, {**inputs, **labels})[0])

    return run_network("encoder", x=batch.x.numpy()), run_network("decoder", z=z.numpy())
