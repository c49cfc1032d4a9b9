"""Export of a trained model as safetensors weights with a JSON config, and optionally as ONNX encoder and decoder."""

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

import autoencoders
from autoencoders.applications.base import check_count, comparison_table, flatten_table, spread_rows
from autoencoders.config.instantiate import FORMAT
from autoencoders.runs.loading import CONFIG, WEIGHTS, load_export
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, Batch
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.extras import import_extra
from autoencoders.utils.json_files import write_json

if TYPE_CHECKING:
    from autoencoders.models.autoencoder import Autoencoder

OPSET = 18
"""Version of the ONNX operator set."""


def export(
    run: Run, *, split: str = "test", folder: str | None = None, onnx: bool = False, count: int = 100
) -> ApplicationResult:
    """Write the model to `<folder>/export/`, load the files, and compare the loaded model with the original model.

    The files `weights.safetensors` and `config.json` can be loaded with `autoencoders.load(<folder>/export)`. The file
    `encoder.onnx` has the input `x` (N, C, H, W) and the output `z` (N, Z), the posterior mean. The file `decoder.onnx`
    has the input `z` (N, Z) and the output `image` (N, C, H, W), the mean image of p(x | z). If the model is
    conditional, both have a second input `y`: int64 classes (N,) or float32 attributes (N, A). N is dynamic.

    Args:
        run: trained run whose model is exported.
        split: split of the images that the models are compared on.
        folder: folder in which `export/` is created; None for the run folder.
        onnx: whether to write the ONNX files too.
        count: number of images that the models are compared on. They are evenly spaced in the split.

    Returns:
        Table `differences`: for each format, the largest absolute differences between codes and between decoded images
        of the exported model and of the original model. For comparison, the row `batches of one` contains the rounding
        differences of the original model between batches of one image and larger batches. Table `files`: size of each
        file in bytes.

    Raises:
        UserError: if a package for the export is not installed.
    """
    check_count(count, "count")
    target = Path(folder or (run.path if run.path.is_dir() else run.path.parent)) / "export"
    target.mkdir(parents=True, exist_ok=True)
    batch = run.batch(split, spread_rows(count, len(run.prepare().data.images(split))))
    z = run.encode(batch.x, batch.y)
    image = run.decode(z, batch.y)
    files = write_weights(run, target)
    again = Run(target, run.config, load_export(target), run.data)
    compared = {"safetensors": (again.encode(batch.x, batch.y), again.decode(z, batch.y))}
    if onnx:
        files += write_onnx(again.model, target, batch)
        compared["onnx"] = run_onnx(target, again.model, batch, z)
    labels = [None if batch.y is None else batch.y[i : i + 1] for i in range(len(z))]
    single = [run.encode(batch.x[i : i + 1], y) for i, y in enumerate(labels)]
    alone = [run.decode(z[i : i + 1], y) for i, y in enumerate(labels)]
    compared["batches of one"] = (torch.cat(single), torch.cat(alone))
    rows = {
        name: {"codes": largest_difference(codes, z), "images": largest_difference(images, image), "count": len(z)}
        for name, (codes, images) in compared.items()
    }
    differences = comparison_table(rows, "format")
    sizes = comparison_table({file.name: {"bytes": file.stat().st_size} for file in files}, "file")
    return ApplicationResult(
        flatten_table(differences), {}, {"differences": differences, "files": sizes.assign(folder=str(target))}
    )


def largest_difference(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference between two tensors of the same shape."""
    return float((a - b).abs().max())


def write_weights(run: Run, folder: Path) -> list[Path]:
    """Write `weights.safetensors` and `config.json` to an existing folder, and return their paths."""
    from safetensors.torch import save_file

    model = run.model
    # Tensors are copied because safetensors refuses tensors that share memory.
    state = {name: value.detach().cpu().clone().contiguous() for name, value in model.state_dict().items()}
    with atomic_write(folder / WEIGHTS) as partial:
        save_file(state, partial, metadata={"format": "pt"})
    plain = {
        "format": FORMAT,
        "version": autoencoders.__version__,
        "step": run.step,
        "shape": list(model.shape),
        "context": None if model.labels is None else model.labels.to_dict(),
        "config": {k: v for k, v in run.config.items() if k not in ("format", "shape", "context")},
    }
    write_json(folder / CONFIG, plain)
    return [folder / WEIGHTS, folder / CONFIG]


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


def write_onnx(model: Autoencoder, folder: Path, batch: Batch) -> list[Path]:
    """Write `encoder.onnx` and `decoder.onnx` with a dynamic batch size, and return their paths.

    Args:
        model: model to export, on the CPU.
        folder: existing folder for the files.
        batch: batch whose first two images and labels are the example inputs for the exporter.

    Raises:
        UserError: if onnxscript is not installed.
    """
    import_extra("onnxscript", "export", "application=export")
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


def run_onnx(folder: Path, model: Autoencoder, batch: Batch, z: Tensor) -> tuple[Tensor, Tensor]:
    """Run the exported ONNX files on the CPU.

    Args:
        folder: folder that contains `encoder.onnx` and `decoder.onnx`.
        model: exported model, which determines whether the files have the input `y`.
        batch: N images to encode, with their labels.
        z: codes (N, Z) to decode with the labels of the batch.

    Returns:
        Codes (N, Z) of the images, and decoded images (N, C, H, W) of the codes.

    Raises:
        UserError: if onnxruntime is not installed.
    """
    session = import_extra("onnxruntime", "export", "application=export").InferenceSession
    labels = {"y": batch.y.numpy()} if model.context_size and batch.y is not None else {}

    def run_network(name: str, **inputs: np.ndarray) -> Tensor:
        network = session(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
        return torch.from_numpy(network.run(None, {**inputs, **labels})[0])

    return run_network("encoder", x=batch.x.numpy()), run_network("decoder", z=z.numpy())
