"""Export of a trained model to a folder that can be shared: weights, configuration, model card, ONNX, explorer page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
import torch
import yaml
from torch import Tensor, nn

import autoencoders
from autoencoders.applications.base import check_count, comparison_table, flatten_table, output_folder, spread_rows
from autoencoders.applications.model_card import CardOptions, card_metrics, render_card
from autoencoders.config.data_paths import PATH_OPTIONS
from autoencoders.config.instantiate import FORMAT
from autoencoders.explorer.content import can_show, collect_run
from autoencoders.explorer.page import fit_page
from autoencoders.models.classifier import Classifier
from autoencoders.models.onnx_export import PACKAGES, run_onnx, write_onnx
from autoencoders.runs.exports import CARD, CONFIG, EXPLORER, METRICS, WEIGHTS, load_export
from autoencoders.runs.run import Run
from autoencoders.types import ApplicationResult, Batch
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.checks import require
from autoencoders.utils.extras import find_missing
from autoencoders.utils.json_files import write_json

PURPOSE = "application=export"
"""Option that needs the packages of the extra `export`, for error messages."""
COLUMNS = {"codes": "codes", "images": "decoded images", "logits": "logits"}
"""Output of `model_outputs` -> column of the table `differences`. A column `images` contains numbers of images."""
EXPLORER_MEGABYTES = 20
"""Maximum size of the explorer page in an export, in MB. If needed, the page is written without the encoder."""
SMALL = 1024
"""Number of values below which a matrix or kernel remains float32.

Such tensors, for example the kernel of a last layer, need little space, and every pixel depends on their values.
"""
DTYPES = {"float32": torch.float32, "float16": torch.float16}
"""Value of the option `dtype` -> type of the exported weights."""
PRIVATE = ("folder", "runs", "resume", "init_from", "callbacks", "logger", "after_fit", "format", "shape", "context")
"""Entries of the configuration that are not exported. They describe the machine, or are exported separately."""


def export(
    run: Run,
    *,
    split: str = "test",
    folder: str | None = None,
    onnx: bool | Literal["auto"] = "auto",
    explorer: bool | Literal["auto"] = "auto",
    dtype: str = "float32",
    count: int = 100,
    license: str = "unknown",
    description: str | None = None,
    limitations: str | None = None,
) -> ApplicationResult:
    """Write the model to `<folder>/export/`, load the files, and compare the loaded model with the original model.

    `autoencoders.load(<folder>/export)` loads the files `weights.safetensors`, `config.yaml` and `metrics.json`.
    `README.md` is the model card. No file contains a path of this machine. The file `encoder.onnx` has the input `x`
    (N, C, H, W) and the output `z` (N, Z), the posterior mean. The file `decoder.onnx` has the input `z` (N, Z) and the
    output `image` (N, C, H, W), the mean image of p(x | z). If the model is conditional, both have a second input `y`:
    int64 classes (N,) or float32 attributes (N, A). The file `classifier.onnx` of a classifier has the input `x` and
    the output `logits` (N, K). N is dynamic. `explorer.html` is the page of `python -m autoencoders.explore`.

    Args:
        run: trained run whose model is exported.
        split: split of the images that the models are compared on.
        folder: folder in which `export/` is created; None for the run folder.
        onnx: whether to write the ONNX files too; `auto`: if the packages for it are installed.
        explorer: whether to write the explorer page too, which contains validation images; `auto`: if the packages for
            it are installed, the model has a decoder, and the images are those of a public dataset.
        dtype: type of the weights in `weights.safetensors`: `float32` or `float16`. Vectors and tensors with fewer than
            1,024 values are always float32.
        count: number of images that the models are compared on. They are evenly spaced in the split.
        license: license of the model, for the model card, such as `mit`.
        description: text at the top of the model card; None for a text about model and data.
        limitations: text that is added to the limitations in the model card.

    Returns:
        Table `differences`: for each format, the largest absolute differences between codes and between decoded images
        of the exported model and of the original model. For comparison, the row `batches of one` contains the rounding
        differences of the original model between batches of one image and larger batches. With float16, the column
        `nats` is the change of the mean loss of all images of the split. Table `files`: size of each file in bytes.
        Table `notes`, if it is not empty: sentences about images in the explorer page, and about files that `auto`
        left out.

    Raises:
        UserError: if an option is invalid, a package for the export is not installed, or the explorer cannot show the
            model.
    """
    check_count(count, "count")
    require(dtype in DTYPES, "dtype", dtype, f"one of {list(DTYPES)}")
    target = output_folder(run, folder, "export")
    target.mkdir(parents=True, exist_ok=True)
    missing = find_missing(PACKAGES)
    batch = run.batch(split, spread_rows(count, len(run.prepare().data.images(split))))
    metrics = card_metrics(run, split)
    files = [*write_weights(run, target, DTYPES[dtype]), target / METRICS]
    write_json(files[-1], metrics)
    again = Run(target, run.config, load_export(target, trust=("",)), run.data, step=run.step, _ready=True)
    for file in [target / EXPLORER, *target.glob("*.onnx")]:  # of an earlier export, which the card would not describe
        file.unlink(missing_ok=True)
    has_onnx = not missing if onnx == "auto" else onnx
    onnx_files = write_onnx(again.model, target, batch, PURPOSE) if has_onnx else []
    rows = compare_models(run, again, batch, onnx_files)
    if dtype != "float32":
        rows["safetensors"]["nats"] = mean_loss(again, split) - mean_loss(run, split)
    shows_public = can_show(run.model) and has_public_images(run.config)
    has_explorer = not missing and shows_public if explorer == "auto" else explorer
    pages = [write_explorer(again, target)] if has_explorer else []
    files += [*onnx_files, *pages]
    options = CardOptions(license, description, limitations, dtype, rows["safetensors"].get("nats"))
    with atomic_write(target / CARD) as partial:
        partial.write_text(render_card(run, metrics, files, options), encoding="utf-8")
    left_out = ["ONNX files"] if onnx == "auto" and not has_onnx else []
    left_out += [EXPLORER] if explorer == "auto" and not has_explorer and can_show(run.model) else []
    return export_result(rows, [*files, target / CARD], explain_files(left_out, missing, bool(has_explorer)))


def compare_models(run: Run, exported: Run, batch: Batch, onnx_files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return the rows of the table `differences`; see `export`."""
    expected = model_outputs(run, batch)
    codes = expected.get("codes")
    compared = {"safetensors": model_outputs(exported, batch, codes)}
    if onnx_files:
        compared["onnx"] = run_onnx(list(onnx_files), batch, codes, PURPOSE)
    compared["batches of one"] = outputs_of_single_images(run, batch, codes)
    return {
        name: {COLUMNS[key]: largest_difference(outputs[key], expected[key]) for key in expected}
        | {"count": len(batch.x)}
        for name, outputs in compared.items()
    }


def export_result(rows: Mapping[str, Mapping[str, Any]], files: list[Path], notes: list[str]) -> ApplicationResult:
    """Return the tables of the application; see `export`."""
    differences = comparison_table(rows, "format")
    sizes = comparison_table({file.name: {"bytes": file.stat().st_size} for file in files}, "file")
    tables = {"differences": differences, "files": sizes.assign(folder=str(files[0].parent))}
    if notes:
        tables["notes"] = pd.DataFrame({"note": notes})
    return ApplicationResult(flatten_table(differences), {}, tables)


def largest_difference(a: Tensor, b: Tensor) -> float:
    """Return the largest absolute difference between two tensors of the same shape."""
    return float((a - b).abs().max())


# Outputs ------------------------------------------------------------------------------------------------


def model_outputs(run: Run, batch: Batch, codes: Tensor | None = None) -> dict[str, Tensor]:
    """Return the outputs that are compared: `logits` of a classifier, `codes` and `images` of an autoencoder.

    Args:
        run: run whose model is applied.
        batch: images to encode, with their labels.
        codes: codes (N, Z) to decode; None for the codes of the images.
    """
    if isinstance(run.model, Classifier):
        with torch.no_grad():
            return {"logits": run.model(batch.x.to(run.model.device)).cpu()}
    encoded = run.encode(batch.x, batch.y)
    return {"codes": encoded, "images": run.decode(encoded if codes is None else codes, batch.y)}


def outputs_of_single_images(run: Run, batch: Batch, codes: Tensor | None) -> dict[str, Tensor]:
    """Return the outputs of `model_outputs`, computed in batches of one image."""
    outputs = []
    for row in torch.arange(len(batch.x)).split(1):
        y = None if batch.y is None else batch.y[row]
        single = Batch(batch.x[row], batch.target[row], y, batch.index[row])
        outputs.append(model_outputs(run, single, None if codes is None else codes[row]))
    return {key: torch.cat([output[key] for output in outputs]) for key in outputs[0]}


@torch.no_grad()
def mean_loss(run: Run, split: str) -> float:
    """Return the mean loss of the images in a split, in nats: -log p(label), or distortion + rate."""
    if isinstance(run.model, Classifier):
        classifier = cast("Classifier", run.model)
        device = classifier.device
        losses = [classifier.terms(batch.to(device))[0].double() for batch in run.data.evaluation_batches(split)]
        return float(torch.cat(losses).mean())
    codes = run.codes(split)
    return float((codes.distortion.double() + codes.rate.double()).mean())


# Files --------------------------------------------------------------------------------------------------


def write_explorer(run: Run, folder: Path) -> Path:
    """Write the explorer page of a run to an existing folder, and return the path of the page."""
    page = fit_page([collect_run(run, purpose=f"{PURPOSE}.explorer=true")], run.title, EXPLORER_MEGABYTES)
    with atomic_write(folder / EXPLORER) as partial:
        partial.write_bytes(page.encode("utf-8", "replace"))
    return folder / EXPLORER


def explain_files(left_out: list[str], missing: list[str], has_explorer: bool) -> list[str]:
    """Return sentences about files that `auto` left out, and about images in the explorer page; see `export`.

    Args:
        left_out: what `auto` left out, in words.
        missing: packages that are not installed.
        has_explorer: whether the explorer page was written.
    """
    notes = []
    if left_out and missing:
        verb = "was" if left_out == [EXPLORER] else "were"
        notes.append(
            f"{' and '.join(left_out)} {verb} not written, because {' and '.join(missing)} cannot be imported. Install "
            "the extra export to write them."
        )
    elif left_out:
        notes.append(
            f"{EXPLORER} was not written, because it contains validation images, which may be private. To write it, "
            "set application.export.explorer=true."
        )
    if has_explorer:
        notes.append(f"{EXPLORER} contains validation images. application.export.explorer=false leaves it out.")
    return notes


def write_weights(run: Run, folder: Path, dtype: torch.dtype = torch.float32) -> list[Path]:
    """Write `weights.safetensors` and `config.yaml` to an existing folder, and return their paths.

    Args:
        run: run whose model is written.
        folder: existing folder.
        dtype: type of the matrices and kernels. Vectors, such as biases and statistics of BatchNorm, and tensors with
            fewer than SMALL values remain float32.
    """
    from safetensors.torch import save

    model: nn.Module = run.model
    # Tensors are copied because safetensors refuses tensors that share memory.
    state = {name: convert(value.detach().cpu(), dtype).clone().contiguous() for name, value in
             model.state_dict().items()}  # fmt: skip
    with atomic_write(folder / WEIGHTS) as partial:
        partial.write_bytes(save(state, metadata={"format": "pt"}))
    plain = {
        "format": FORMAT,
        "version": autoencoders.__version__,
        "step": run.step,
        "shape": list(run.model.shape),
        "context": None if run.model.labels is None else run.model.labels.to_dict(),
        "identity": dict(run.identity or run.data.identity()),
        "config": portable_config(run.config),
    }
    with atomic_write(folder / CONFIG) as partial:
        partial.write_text(yaml.safe_dump(plain, sort_keys=False), encoding="utf-8")
    return [folder / WEIGHTS, folder / CONFIG]


def convert(value: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a tensor with a type of lower precision, unless it is a vector, is small, or has no real numbers."""
    if value.ndim < 2 or value.numel() < SMALL or not value.is_floating_point():
        return value
    converted = value.to(dtype)
    return converted if bool(converted.isfinite().all()) else value  # too large for float16


def portable_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without the entries and paths of this machine.

    If the images or labels are files of the user, the section `data` contains only the name of the data.
    """
    portable = {key: value for key, value in config.items() if key not in PRIVATE}
    data = dict(config.get("data") or {})
    if has_private_data(config):
        data = {"name": data.get("name", "")}
    for key in ("root", "cache"):
        if key in data:
            data[key] = None
    portable["data"] = data or None
    return portable


def has_private_data(config: Mapping[str, Any]) -> bool:
    """Return whether the images or labels of a configuration are files of the user."""
    data = config.get("data") or {}
    sources = (data.get(key) for key in (*PATH_OPTIONS, "dataset") if key not in ("root", "cache"))
    return any(isinstance(source, str) and Path(source).is_absolute() for source in sources)


def has_public_images(config: Mapping[str, Any]) -> bool:
    """Return whether the images of a configuration are those of a public dataset that this package knows.

    Datasets that are chosen by a path or a name, such as folders and datasets of a hub, may be private.
    """
    data = config.get("data") or {}
    is_chosen = bool(data.get("path") or data.get("dataset"))
    return str(data.get("_target_")).startswith("autoencoders.") and not is_chosen and not has_private_data(config)
