"""Export of the networks of a model as ONNX files, which other programs can run without PyTorch."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from autoencoders.models.classifier import Classifier
from autoencoders.types import Batch
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.extras import import_extra

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.models.base import ImageModel

OPSET = 18
"""Version of the ONNX operator set."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages that write the ONNX files and run them."""


class Network(NamedTuple):
    """One ONNX file.

    Attributes:
        name: name of the file without `.onnx`.
        inputs: names of the inputs.
        output: name of the output.
        function: function of the inputs that returns the output.
        examples: example inputs, with at least two rows.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    function: Callable[..., Tensor]
    examples: tuple[Tensor, ...]


class Call(nn.Module):
    """Module that calls a function of a model, because the exporter needs a module.

    Args:
        model: model that the function belongs to.
        function: function of the inputs of the network.
    """

    def __init__(self, model: nn.Module, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the output of the network."""
        return self.function(*inputs)


def networks(model: ImageModel, batch: Batch) -> list[Network]:
    """Return the networks of a model: encoder and decoder, or the classifier.

    Args:
        model: model to export, on the CPU.
        batch: batch whose first two images and labels are the example inputs.
    """
    x = batch.x[:2]
    if isinstance(model, Classifier):
        return [Network("classifier", ("x",), "logits", model.forward, (x,))]
    autoencoder = cast("Autoencoder", model)
    labels = (batch.y[:2],) if autoencoder.context_size and batch.y is not None else ()
    names = ("y",)[: len(labels)]
    with torch.no_grad():
        z = autoencoder.encode(x, *labels)
    return [
        Network("encoder", ("x", *names), "z", autoencoder.encode, (x, *labels)),
        Network("decoder", ("z", *names), "image", autoencoder.decode, (z, *labels)),
    ]


def write_onnx(model: ImageModel, folder: Path, batch: Batch, purpose: str) -> list[Path]:
    """Write one ONNX file with a dynamic batch size per network of the model, and return the paths.

    Args:
        model: model to export, on the CPU.
        folder: existing folder for the files.
        batch: batch whose first two images and labels are the example inputs for the exporter.
        purpose: the option or command that needs the files, such as `application=export`, for error messages.

    Raises:
        UserError: if onnxscript is not installed.
    """
    import_extra("onnxscript", "export", purpose)
    free, files = torch.export.Dim("N"), []
    for network in networks(model, batch):
        files.append(folder / f"{network.name}.onnx")
        with quiet_exporter(), atomic_write(files[-1]) as partial:
            torch.onnx.export(
                Call(model, network.function).eval(), network.examples, partial, input_names=list(network.inputs),
                output_names=[network.output], opset_version=OPSET, dynamo=True,
                dynamic_shapes=(tuple({0: free} for _ in network.inputs),), external_data=False, verbose=False,
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


def run_onnx(files: list[Path], batch: Batch, codes: Tensor | None, purpose: str) -> dict[str, Tensor]:
    """Run exported ONNX files on the CPU.

    Args:
        files: paths that `write_onnx` has returned.
        batch: N images for the encoder or the classifier, with their labels.
        codes: codes (N, Z) for the decoder; None for a classifier.
        purpose: the option or command that needs the files, for error messages.

    Returns:
        Outputs of the files: `codes` and `images`, or `logits`.

    Raises:
        UserError: if onnxruntime is not installed.
    """
    session = import_extra("onnxruntime", "export", purpose).InferenceSession
    keys = {"encoder": "codes", "decoder": "images", "classifier": "logits"}
    results = {}
    for file in files:
        network = session(str(file), providers=["CPUExecutionProvider"])
        values: dict[str, np.ndarray] = {}
        for node in network.get_inputs():
            value = {"x": batch.x, "z": codes, "y": batch.y}[node.name]
            if value is not None:
                values[node.name] = value.numpy()
        results[keys[file.stem]] = torch.from_numpy(network.run(None, values)[0])
    return results
