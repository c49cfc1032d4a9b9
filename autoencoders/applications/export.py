"""Export of a trained model as safetensors weights with a JSON config, and optionally as ONNX encoder and decoder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

import autoencoders
from autoencoders.applications.base import check_count, comparison_table, flatten_table, spread_rows
from autoencoders.config.instantiate import FORMAT
from autoencoders.models.onnx_export import run_onnx, write_onnx
from autoencoders.runs.loading import CONFIG, WEIGHTS, load_export
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.json_files import write_json

PURPOSE = "application=export"
"""Option that needs the packages of the extra `export`, for error messages."""


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
        files += write_onnx(again.model, target, batch, PURPOSE)
        compared["onnx"] = run_onnx(target, again.model, batch, z, PURPOSE)
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
