"""Report about a loss, gradient or weight that is not finite, with the step, the batch and the options to change."""

from __future__ import annotations

import csv
import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from autoencoders.callbacks.base import heading
from autoencoders.data.datamodule import get_datamodule
from autoencoders.loggers.media import MediaWriter
from autoencoders.models.base import ImageModel
from autoencoders.objectives.likelihoods import GaussianLearned
from autoencoders.runs import loading
from autoencoders.types import Batch, UserError
from autoencoders.utils.arrays import to_numpy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_IMAGES, COLUMNS = 60, 12
"""Maximum number of images in the figure of the batch, and maximum number of images per row of this figure."""

CAUSES = {
    "data": "images or labels of the batch contain NaN or infinity",
    "distortion": "the distortion is not finite",
    "rate": "the rate is not finite",
    "loss": "the loss is not finite",
    "extra": "the loss is not finite, but the distortion and the rate are finite",
    "posterior": "the distortion and the rate are not finite because the output of the encoder is not finite",
    "gradient": "the gradient is not finite, but the loss is finite",
    "parameters": "the weights after this step are not finite, but the loss and the gradient are finite",
}
"""Term that is not finite -> description of the failure, for the error message and the figure caption."""


class Failure(NamedTuple):
    """Description of the first value that was not finite in a training.

    Attributes:
        term: key of CAUSES for the loss term, gradient or weights that were not finite.
        number: index in the epoch of the batch with this value.
        latest: index in the epoch of the latest batch that was processed before the failure was found.
        weight: name of the first weight that is not finite, if `term` is `parameters`; else None.
        steps: loss terms (n, 3) of the n batches up to the batch with this value: distortion, rate and loss in nats per
            image.
    """

    term: str
    number: int
    latest: int
    weight: str | None
    steps: Tensor


def first_failure(table: Tensor, latest: int, weight: str | None) -> Failure:
    """Find the first value that is not finite in the tables of all processes.

    Args:
        table: tables (R, n + 1, 4) from R processes. Row 0 is from before the first of n batches, row i is from after
            batch i. The columns are the running sums of distortion, rate and loss, each divided by the batch size, and
            the sum of a gradient for this batch. For a classifier, distortion and rate are 0.
        latest: index in the epoch of the last of the n batches.
        weight: name of a weight that is not finite; None if all weights are finite.
    """
    finite = table.isfinite()
    spoilt, stuck = ~finite[:, :, :3].all(2), ~finite[:, :, 3].all(0)  # (R, n + 1), (n + 1,)
    row, rank, term = table.shape[1] - 1, 0, "parameters"
    if spoilt.any():
        row = int(spoilt.any(0).int().argmax())
        rank = int(spoilt[:, row].int().argmax())
        distortion, rate, _ = finite[rank, row, :3].tolist()
        name = {(True, True): "extra", (False, True): "distortion", (True, False): "rate"}.get((distortion, rate))
        term = (name or "posterior") if table[:, :, :2].any() else "loss"
    before = max(row - int(spoilt.any()), 0)
    if stuck[before]:
        term, row = "gradient", before
        while row > 0 and stuck[row - 1]:  # gradients accumulate over several batches
            row -= 1
    weight = weight if term == "parameters" else None
    number = max(latest - (table.shape[1] - 1 - row), 0)
    return Failure(term, number, latest, weight, table[rank, : row + 1, :3].diff(dim=0))


def report_failure(trainer: pl.Trainer, model: ImageModel, failure: Failure) -> UserError:
    """Save the batch and the loss terms of the failure in `<run>/nan/`, plot the images, and return the error to raise.

    Args:
        trainer: trainer of the run.
        model: model that is trained.
        failure: first value that was not finite.
    """
    conditional = model.context_size > 0
    batch = reload_batch(trainer, failure.number, conditional)
    rows = [] if batch is None else batch.index[~finite_rows(batch, conditional)].tolist()
    if rows:
        failure = failure._replace(term="data")
    folder, step = Path(trainer.default_root_dir), optimizer_step(trainer, failure)
    place = {"epoch": trainer.current_epoch + 1, "batch": failure.number + 1, "step": step}
    where = f"optimizer step {step} (batch {failure.number + 1} of epoch {trainer.current_epoch + 1})"
    if trainer.is_global_zero:
        save_failure(folder / "nan", batch, failure, place)
        if batch is not None:
            caption = f"{where}: {CAUSES[failure.term]}"
            MediaWriter.from_trainer(trainer).save_figure(
                "nan", draw_batch(batch, heading(trainer, model), caption), step
            )
    what = CAUSES[failure.term] + (f" (first such weight: {failure.weight})" if failure.weight else "")
    if rows:
        named = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        count = 0 if batch is None else len(batch.index)
        what += f" ({len(rows)} of {count} images; indices in the training split: {named})"
    relative = os.path.relpath(folder)
    shown = folder if relative.startswith("..") else relative
    last = folder / loading.LAST
    kept = f"{loading.LAST} was saved" if last.is_file() else "No checkpoint was saved"
    sentence = (
        f"Training has stopped at {where}: {what}. {advice(failure.term, trainer, model)} "
        f"{'The batch is' if batch is not None else 'The loss terms of this and earlier batches are'} saved in "
        f"{shown}/nan. {kept} before this step."
    )
    MediaWriter.from_trainer(trainer).log_text("warnings/not_finite", sentence, step, failed=True)
    return UserError(sentence)


def optimizer_step(trainer: pl.Trainer, failure: Failure) -> int:
    """Return the number, from 1, of the optimizer step that used the batch with the value that is not finite."""
    together, latest, plan = trainer.accumulate_grad_batches, failure.latest, get_datamodule(trainer).plan
    last = latest + 1 == (trainer.num_training_batches if plan is None else plan.batches)
    # The last batches of an epoch end an optimizer step, even if they are fewer than trainer.accumulate_grad_batches.
    done = -(-(latest + 1) // together) if last else (latest + 1) // together
    return trainer.global_step - done + failure.number // together + 1


def reload_batch(trainer: pl.Trainer, number: int, conditional: bool) -> Batch | None:
    """Load a batch of the current training epoch again.

    A data module written by a user may be unable to load a given batch again. Then the training data is searched for
    images or labels that are not finite.

    Args:
        trainer: trainer of the run.
        number: index of the batch in the epoch.
        conditional: whether the labels are also checked, because the model uses them.

    Returns:
        The batch, or the first batch with values that are not finite, or None if no such batch is found.
    """
    datamodule = get_datamodule(trainer)
    batch = datamodule.training_batch(number)
    if batch is not None:
        return batch
    for candidate in itertools.islice(trainer.train_dataloader or (), number + 1):
        if not finite_rows(candidate, conditional).all():
            return candidate
    return None


def finite_rows(batch: Batch, conditional: bool = False) -> Tensor:
    """Return a mask (B,) bool that is True for images whose pixel values are all finite.

    Args:
        batch: batch with B images.
        conditional: whether the labels of an image must also be finite, because the model uses them.
    """
    parts = [batch.x, batch.target, *([batch.y] if conditional and batch.y is not None else [])]
    return torch.stack([part.reshape(len(part), -1).isfinite().all(1) for part in parts]).all(0)


def advice(term: str, trainer: pl.Trainer, model: ImageModel) -> str:
    """Return a sentence with the options to change, without options that are already set.

    Args:
        term: key of CAUSES for the loss term, gradient or weights that are not finite.
        trainer: trainer of the run, with its precision and gradient clipping.
        model: model that is trained, with its optimizer and likelihood options.
    """
    settings = dict(model.hparams)
    rate, l1, family = settings.get("optimizer", {}).get("lr"), model.l1, model.family
    scale = None if family is None else family.scale
    weighted = model.objective is not None and model.objective.weighted
    first = {
        "data": "Repair or remove these images, or choose another corruption",
        "distortion": f"Raise likelihood.scale (it is {scale:g})" if scale else "",
        "rate": "" if weighted else "Choose beta=warmup",
        "extra": f"Lower model.l1 (it is {l1:g})" if l1 else "",
    }.get(term, "")
    if isinstance(family, GaussianLearned) and term == "distortion":
        first = f"Raise likelihood.minimum (it is {family.minimum:g})"
    if term == "data":
        return f"{first}."
    options = [first] if first else []
    if not str(trainer.precision).startswith("32"):
        options.append("set trainer.precision=32-true")
    options.append("lower optimizer.lr" + (f" (it is {rate:g})" if rate else ""))
    if term != "gradient" and not trainer.gradient_clip_val:
        options.append("set trainer.gradient_clip_val=1")
    if term == "gradient":
        options.append("find the operation with +trainer.detect_anomaly=true")
    text = ", or ".join(options)
    return f"{text[0].upper()}{text[1:]}."


def save_failure(folder: Path, batch: Batch | None, failure: Failure, place: dict[str, int]) -> None:
    """Save three files about a failure: `batch.pt`, `steps.csv` and `failure.json`.

    `batch.pt` contains the tensors of the batch. `steps.csv` contains the loss terms of this batch and earlier batches.
    `failure.json` contains the position of the batch and the term that is not finite.

    Args:
        folder: folder for the files.
        batch: batch of the failure; None if it could not be loaded again.
        failure: first value that was not finite.
        place: epoch, batch and optimizer step of the failure, each counted from 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, object] = {**place, "term": failure.term, "weight": failure.weight}
    if batch is not None:
        torch.save({name: part for name, part in batch._asdict().items() if part is not None}, folder / "batch.pt")
        record["rows"] = batch.index.tolist()
    (folder / "failure.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    with (folder / "steps.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["batch", "distortion", "rate", "loss"])
        first = place["batch"] - len(failure.steps) + 1
        writer.writerows([first + i, *row] for i, row in enumerate(failure.steps.tolist()))


def draw_batch(batch: Batch, title: str, caption: str) -> Figure:
    """Plot the images of a batch. Images with values that are not finite come first. NaN pixels are black."""
    from autoencoders.figures.grids import image_grid

    first = finite_rows(batch).int().argsort(stable=True)[:MAX_IMAGES]
    images = to_numpy(batch.x[first])
    columns = min(COLUMNS, len(images))
    # Grid cells without an image are white.
    grid = np.ones((-(-len(images) // columns) * columns, *images.shape[1:]), dtype=np.float32)
    grid[: len(images)] = images
    return image_grid(grid.reshape(-1, columns, *images.shape[1:]), title, caption=caption)
