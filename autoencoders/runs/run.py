"""The class `Run`: a trained model together with its data, its latent codes and its reconstructions."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.datamodule import get_datamodule
from autoencoders.data.image_io import list_images
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.runs import overview
from autoencoders.runs.data_check import check_data
from autoencoders.runs.history import baseline_lines, majority_line, read_history, select_curves
from autoencoders.types import Annotations, ApplicationResult, Batch, Codes, UserError
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.checks import require
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.json_files import read_json
from autoencoders.utils.names import printable_name
from autoencoders.utils.pca import PCABaseline
from autoencoders.utils.pixels import to_unit
from autoencoders.utils.texts import display_name

if TYPE_CHECKING:
    import lightning.pytorch as pl
    import pandas as pd
    from matplotlib.figure import Figure

    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.models.base import ImageModel


@dataclass(repr=False)
class Run:
    """A trained run that was loaded from a file, or a run that is still in training.

    Attributes:
        path: run folder, or the checkpoint file from which the run was loaded.
        config: resolved configuration as plain Python dictionaries and lists.
        model: model of the run. A loaded model is in evaluation mode with the weights of `checkpoint`.
        data: data module of the run. The images are loaded on first use. If the run is an export of a model of private
            files, the data module raises UserError then.
        checkpoint: checkpoint file with the weights of the model; None for a run in training.
        step: optimizer step at which the weights were saved, or the current optimizer step in training.
        identity: digests of the images and labels of the training (see `data.fingerprint`), or None if unknown.
        changed_data: `refuse` to raise UserError if the images or labels differ from those of the training, `accept` to
            print a warning.
        version: size and modification time that the checkpoint file had when the weights were read; empty for those
            that it has now.
        applier: function that applies an application to the run, set by `autoencoders.load`.
        source: name of the model that was loaded, such as `pretrained:mnist-cvae`; empty for a path.
        results: folder to which applications write; None for the run folder.
    """

    path: Path
    config: Mapping
    model: Autoencoder
    data: ImageDataModule
    checkpoint: Path | None = None
    step: int = 0
    identity: Mapping | None = None
    changed_data: str = "refuse"
    version: str = ""
    applier: Callable[..., ApplicationResult] | None = None
    source: str = ""
    results: Path | None = None
    _codes: dict[str, Codes] = field(default_factory=dict, repr=False)
    _ready: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if self.checkpoint is not None and not self.version:
            self.version = file_version(self.checkpoint)
        if not self._ready:
            self.data.on_first_use = self.prepare

    @classmethod
    def from_trainer(cls, trainer: pl.Trainer, model: Autoencoder) -> Run:
        """Return the run that a trainer is training, with the current weights.

        Args:
            trainer: Lightning's trainer, with a data module.
            model: model that is being trained.
        """
        config, path = dict(model.hparams), Path(trainer.default_root_dir)
        return cls(path, config, model, get_datamodule(trainer), step=trainer.global_step, _ready=True)

    def __repr__(self) -> str:
        return overview.describe(self.title, self.metrics, self.source or self.path)

    def _repr_html_(self) -> str:
        return overview.describe_html(self.title, self.metrics, self.source or self.path)

    @property
    def folder(self) -> Path:
        """Run folder, or the folder of the file from which the run was loaded."""
        if self.path.is_dir():
            return self.path
        return self.path.parent.parent if self.path.parent.name == "checkpoints" else self.path.parent

    @property
    def results_folder(self) -> Path:
        """Folder to which applications write, which is the run folder unless `results` is set."""
        if self.results is not None:
            return self.results
        return self.path if self.path.is_dir() else self.path.parent

    # Results --------------------------------------------------------------------------------------------

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Final metrics of the run, as in `metrics.json`: metric name -> value. Empty if the file does not exist."""
        return read_json(self.folder / "metrics.json")

    @cached_property
    def history(self) -> pd.DataFrame:
        """All metrics of the run, as in `metrics.csv`: one row per logged step. Empty if the file does not exist."""
        return read_history(self.folder)

    @property
    def figures(self) -> dict[str, list[Path]]:
        """Figures of the run: name -> PNG files in the order of the optimizer steps, so that the newest is the last."""
        folder = self.folder / "figures"
        files: dict[str, list[Path]] = {}
        for file in sorted(folder.rglob("*.png")):
            files.setdefault(file.parent.relative_to(folder).as_posix(), []).append(file)
        return files

    def plot(self, name: str | None = None) -> Figure:
        """Plot the training and validation curves of the run.

        Args:
            name: metric whose curves are plotted: `objective`, `distortion`, `rate`, `mse` or `accuracy`. None for all.

        Returns:
            A matplotlib figure, which a notebook shows.

        Raises:
            UserError: if the run has no such curves.
        """
        from autoencoders.figures.curves import loss_curves

        curves = select_curves(self.history, self.model.has_prior)
        if not curves:
            raise UserError(f"The run has no curves, because {self.folder} contains no metrics.csv with losses.")
        if name is not None:
            require(name in curves, "name", name, f"one of {', '.join(curves)}")
            curves = {name: curves[name]}
        lines = {**baseline_lines(self.metrics, self.model.latent_dim), **majority_line(self.history)}
        return loss_curves(curves, self.title, lines)

    def apply(self, application: str, **options: Any) -> ApplicationResult:
        """Apply an application to the run. No figure or table is saved.

        Args:
            application: name of the application, such as `retrieve`; see `docs/applications.md`.
            **options: options of the application, such as `split="val"`. The defaults are those of `conf/application/`.

        Returns:
            The figures, tables and metrics. A notebook shows them.

        Raises:
            UserError: if there is no such application or option, or the application does not support the run.
        """
        if self.applier is None:
            raise RuntimeError(
                "Only a run from autoencoders.load applies applications. Set Run.applier for other runs."
            )
        return self.applier(self, application, **options)

    @property
    def title(self) -> str:
        """Title for figures: names of the model and the data, beta, and latent size."""
        return run_title(self.model, self.data)

    def prepare(self) -> Run:
        """Load the data on the first call, and return this run.

        Raises:
            UserError: if the images do not have the shape (C, H, W) of the training images, or if the images or labels
                differ from those of the training and `changed_data` is `refuse`.
        """
        if not self._ready:
            self.data.prepare_data()
            self.data.setup()
            if self.data.shape != self.model.shape:
                raise UserError(
                    f"The images must have shape {self.model.shape} because the model was trained on this shape, got "
                    f"{self.data.shape}. Use the data of the training."
                )
            difference = check_data(self.identity, self.model.labels, self.data, self.changed_data)
            if difference is not None:
                print(f"autoencoders: warning: {difference}", file=sys.stderr)
            self._ready = True
        return self

    # Encode and decode ----------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Encode images to the means of their posteriors, in chunks that bound the memory.

        Args:
            x: images (N, C, H, W) in [0, 1].
            y: labels of the images, for a conditional model: class indices (N,) or attributes (N, A).

        Returns:
            Posterior means (N, Z), float32 on the CPU.
        """
        return torch.cat([self.model.encode(a, b).float().cpu() for a, b in self._chunks(x, y)])

    @torch.no_grad()
    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode latent codes to the mean images of p(x | z), in chunks that bound the memory.

        Args:
            z: latent codes (N, Z).
            y: labels, for a conditional model: class indices (N,) or attributes (N, A).

        Returns:
            Mean images (N, C, H, W), float32 on the CPU.
        """
        return torch.cat([self.model.decode(a, b).float().cpu() for a, b in self._chunks(z, y)])

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Encode images (N, C, H, W) to their posterior means, and decode these to reconstructions (N, C, H, W).

        Args:
            x: images (N, C, H, W) in [0, 1].
            y: labels of the images, for a conditional model: class indices (N,) or attributes (N, A).
        """
        return self.decode(self.encode(x, y), y)

    def _chunks(self, a: Tensor, y: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        device, y = self.model.device, y if self.model.context_size else None
        starts = range(0, len(a), ROWS_PER_CHUNK)
        return [
            (a[s : s + ROWS_PER_CHUNK].to(device), None if y is None else y[s : s + ROWS_PER_CHUNK].to(device))
            for s in starts
        ]

    def batch(self, split: str, rows: Tensor | int | None = None) -> Batch:
        """Return images of a split as one batch, preprocessed as in validation and test.

        Args:
            split: `train`, `val` or `test`.
            rows: indices of the images (int64 tensor), or the number of images at the start of the split, or None for
                all images of the split.
        """
        count = len(self.prepare().data.images(split))
        if not isinstance(rows, Tensor):
            rows = torch.arange(count if rows is None else min(rows, count))
        return self.data.evaluation_batches(split).batch(rows)

    def annotations(self, split: str) -> Annotations:
        """Return the names, groups, attributes and classes of the images in a split."""
        return self.prepare().data.annotations(split)

    def read_images(self, path: str | Path) -> tuple[Tensor, list[str]]:
        """Read one image file, or all image files in a folder, and preprocess them like the images of the data.

        Returns:
            Images (N, C, H, W) float32 in [0, 1], and N file names.

        Raises:
            UserError: if there is no image file, or an image file cannot be read.
        """
        stored, names = self.read_stored_images(path)
        return to_unit(stored), [name.rpartition("/")[2] for name in names]

    def read_stored_images(self, path: str | Path) -> tuple[Tensor, list[str]]:
        """Read image files as `read_images` does, but keep the type of the stored images, which needs less memory.

        Returns:
            Images (N, C, H, W) uint8 or uint16, and N file names, relative to the folder.

        Raises:
            UserError: if there is no image file, or an image file cannot be read.
        """
        files, names = find_images(path)
        return self.prepare().data.read_image_files(files), names

    def codes(self, split: str) -> Codes:
        """Return the latent codes of all images in a split.

        The codes are computed on the first call, then kept in memory and saved in the run folder for later commands.
        """
        if split not in self._codes:
            file = self._file(split)
            saved = None if file is None else load_codes(file)
            if saved is not None:
                self._codes[split] = saved
            else:
                self._codes[split] = codes = self._encode_split(split)
                if file is not None:
                    save_codes(file, codes)
        return self._codes[split]

    def _file(self, split: str) -> Path | None:
        """Return the path of the file for saved codes, `codes/<split>-<digest>.npz` in the run folder.

        The digest changes with the checkpoint file that was loaded, the images and the labels. Return None for a run in
        training.
        """
        if self.checkpoint is None:
            return None
        identity = json.dumps(self.prepare().data.identity(), sort_keys=True)
        words = f"{self.version} {identity}"
        return self.results_folder / "codes" / f"{split}-{hashlib.sha256(words.encode()).hexdigest()[:16]}.npz"

    @torch.no_grad()
    def _encode_split(self, split: str) -> Codes:
        model, chunks = self.model, []
        self.prepare()
        for batch in self.data.evaluation_batches(split):
            eps = evaluation_noise(model, batch.index.to(model.device), split)
            terms = model.terms(batch.to(model.device), eps)
            chunks.append((terms.posterior.mean, terms.distortion, terms.rate, batch.y, batch.index))
        z, distortion, rate, y, index = zip(*chunks, strict=True)
        means, distortions, rates = (torch.cat(column).float().cpu() for column in (z, distortion, rate))
        return Codes(means, None if y[0] is None else torch.cat(y), torch.cat(index), distortions, rates)

    def pca(self, count: int | None = None, whiten: bool = False) -> PCABaseline:
        """Return PCA of the training images, a baseline for the latent codes and for reconstructions.

        Args:
            count: number of principal components; None for the latent size of the model. The number is reduced if the
                data has fewer principal components.
            whiten: whether to divide the PCA codes by their standard deviations on the training images.
        """
        train = self.prepare().data.images("train")
        count = min(count or self.model.latent_dim, len(train) - 1, train[0].numel())
        return PCABaseline.of(train, count, whiten)


def find_images(path: str | Path) -> tuple[list[Path], list[str]]:
    """Return the paths of one image file, or of all image files in a folder, and their names relative to the folder.

    Raises:
        UserError: if the path does not exist, or the folder contains no image file.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(
            f"images must be an image file or a folder of images, but {path} does not exist. Correct the path."
        )
    files = list_images(path)
    folder = path if path.is_dir() else path.parent
    return files, [printable_name(file.relative_to(folder).as_posix()) for file in files]


def file_version(file: Path) -> str:
    """Return the size and the modification time of a file as text."""
    status = file.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def load_codes(file: Path) -> Codes | None:
    """Load latent codes that `save_codes` has written. Return None if the file is missing or invalid.

    No Python objects are unpickled, so that the file cannot execute code.
    """
    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {k: torch.from_numpy(v) for k, v in saved.items()}
        return Codes(arrays["z"], arrays.get("y"), arrays["index"], arrays["distortion"], arrays["rate"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        return None


def save_codes(file: Path, codes: Codes) -> None:
    """Save the latent codes of a split atomically, and delete older files with codes of the same split.

    Args:
        file: file to write, named `<split>-<digest>.npz`.
        codes: latent codes of the split.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    for older in file.parent.glob(f"{file.name.partition('-')[0]}-*.npz"):
        older.unlink(missing_ok=True)  # another process may have deleted the file at the same time
    with atomic_write(file) as partial, partial.open("wb") as stream:
        np.savez(stream, **{k: v.numpy() for k, v in codes._asdict().items() if v is not None})


def run_title(model: ImageModel, data: ImageDataModule) -> str:
    """Return a title for figures with the names of the model and the data, beta, and the latent size."""
    return ", ".join([f"{display_name(model.name)} on {data.name}", *model.traits])
