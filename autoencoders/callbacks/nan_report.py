"""Report of a value that is not finite: the term, the step, the batch, and the options to change."""

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
"""Number of images of the batch in the figure, and per row."""

CAUSES = {
    "data": "its images or labels hold NaN or infinity",
    "distortion": "its distortion is not finite",
    "rate": "its rate is not finite",
    "loss": "its loss is not finite",
    "extra": "its loss is not finite, though its distortion and its rate are",
    "posterior": "neither its distortion nor its rate is finite: the encoder's output is not",
    "gradient": "its gradient is not finite, though its loss is",
    "parameters": "the weights after it are not finite, though its loss and its gradient are",
}


class Failure(NamedTuple):
    """The first value that was not finite.

    Attributes:
        term: a key of CAUSES.
        number: index of the batch in its epoch.
        latest: index of the latest batch in the epoch.
        weight: for `parameters`, the name of the first weight that is not finite.
        steps: (n, 3) distortion, rate and loss of the batches up to this one, in nats per image.
    """

    term: str
    number: int
    latest: int
    weight: str | None
    steps: Tensor


def first_failure(table: Tensor, latest: int, weight: str | None) -> Failure:
    """Find the first value that is not finite in the tables of all processes.

    Args:
        table: (R, n + 1, 4) for R processes: sums of distortion, rate and loss before the first of n steps and after
            each step, and the sum of a gradient of that step. A model without terms has the loss only.
        latest: number of the last of the n batches in its epoch.
        weight: name of a weight that is not finite, if there is one.
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
    """Save the batch and the steps before it to `<run>/nan/`, draw the batch, and return the message."""
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
    what = CAUSES[failure.term] + (f" (the first: {failure.weight})" if failure.weight else "")
    if rows:
        named = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        what += f": {len(rows)} of {0 if batch is None else len(batch.index)}, training rows {named}"
    relative = os.path.relpath(folder)
    shown = folder if relative.startswith("..") else relative
    last = folder / loading.LAST
    kept = f"{loading.LAST} is from before it" if last.is_file() else "no checkpoint had been written before it"
    sentence = (
        f"Training has stopped at {where}: {what}. {advice(failure.term, trainer, model)} "
        f"{'The batch is' if batch is not None else 'What came before is'} in {shown}/nan, and {kept}."
    )
    MediaWriter.from_trainer(trainer).log_text("warnings/not_finite", sentence, step, failed=True)
    return UserError(sentence)


def optimizer_step(trainer: pl.Trainer, failure: Failure) -> int:
    """Return the optimizer step, from 1, of the batch that was not finite."""
    together, latest, plan = trainer.accumulate_grad_batches, failure.latest, get_datamodule(trainer).plan
    last = latest + 1 == (trainer.num_training_batches if plan is None else plan.batches)
    # The last batches of an epoch end a step, however few they are.
    done = -(-(latest + 1) // together) if last else (latest + 1) // together
    return trainer.global_step - done + failure.number // together + 1


def reload_batch(trainer: pl.Trainer, number: int, conditional: bool) -> Batch | None:
    """Load a batch of this epoch again.

    A user's own data module may have its own order. Then the first batch that is not finite is returned, so that bad
    data is still found, or None if all batches are finite.
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
    """Return (B,) bool: which images are finite, and their labels if the model is conditional."""
    parts = [batch.x, batch.target, *([batch.y] if conditional and batch.y is not None else [])]
    return torch.stack([part.reshape(len(part), -1).isfinite().all(1) for part in parts]).all(0)


def advice(term: str, trainer: pl.Trainer, model: ImageModel) -> str:
    """Return the options to change, without those that are already set."""
    settings = dict(model.hparams)
    rate, l1, family = settings.get("optimizer", {}).get("lr"), model.l1, model.family
    scale = None if family is None else family.scale
    weighted = model.objective is not None and model.objective.weighted
    first = {
        "data": "Repair or remove them, or choose another corruption",
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
    """Write `batch.pt` (plain tensors), `steps.csv` of the batches before it, and `failure.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, object] = {**place, "term": failure.term, "weight": failure.weight}
    if batch is not None:
        torch.save({name: part for name, part in batch._asdict().items() if part is not None}, folder / "batch.pt")
        record["rows"] = batch.index.tolist()
    (folder / "failure.json").write_text(json.dumps(record, indent=2) + "\n")
    with (folder / "steps.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["batch", "distortion", "rate", "loss"])
        first = place["batch"] - len(failure.steps) + 1
        writer.writerows([first + i, *row] for i, row in enumerate(failure.steps.tolist()))


def draw_batch(batch: Batch, title: str, caption: str) -> Figure:
    """Draw the images of the batch, those that are not finite first; NaN is black."""
    from autoencoders.figures.grids import image_grid

    first = finite_rows(batch).int().argsort(stable=True)[:MAX_IMAGES]
    images = to_numpy(batch.x[first])
    columns = min(COLUMNS, len(images))
    # White if there is no image.
    grid = np.ones((-(-len(images) // columns) * columns, *images.shape[1:]), dtype=np.float32)
    grid[: len(images)] = images
    return image_grid(grid.reshape(-1, columns, *images.shape[1:]), title, caption=caption)
