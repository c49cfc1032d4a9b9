"""A trained run, loaded from its folder: model, data, codes and reconstructions."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from autoencoders.data.datamodule import get_datamodule
from autoencoders.data.image_io import list_images
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.types import Annotations, Batch, Codes, UserError
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.chunks import ROWS_PER_CHUNK
from autoencoders.utils.pca import PCABaseline

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.autoencoder import Autoencoder
    from autoencoders.models.base import ImageModel


@dataclass
class Run:
    """A loaded run, or a run in training.

    Attributes:
        path: its folder, or the checkpoint that it was loaded from.
        config: the resolved configuration, plain containers.
        model: in evaluation mode, with the weights of the best checkpoint, or of the last if there is none.
        data: the data module. It is prepared on first use.
        checkpoint: the file of the weights; None for a run in training.
        step: the optimizer step of the weights.
    """

    path: Path
    config: Mapping
    model: Autoencoder
    data: ImageDataModule
    checkpoint: Path | None = None
    step: int = 0
    _codes: dict[str, Codes] = field(default_factory=dict, repr=False)
    _ready: bool = field(default=False, repr=False)

    @classmethod
    def from_trainer(cls, trainer: pl.Trainer, model: Autoencoder) -> Run:
        """Return the run of a trainer in its current state."""
        config, path = dict(model.hparams), Path(trainer.default_root_dir)
        return cls(path, config, model, get_datamodule(trainer), step=trainer.global_step, _ready=True)

    @property
    def title(self) -> str:
        """Title of figures: model, data, beta and latent size."""
        return run_title(self.model, self.data)

    def prepare(self) -> Run:
        """Load the data once, and check that it has the shape that the model was trained on."""
        if not self._ready:
            self.data.prepare_data()
            self.data.setup()
            if self.data.shape != self.model.shape:
                raise UserError(
                    f"The images must have shape {self.model.shape}, as in training, got {self.data.shape}."
                )
            self._ready = True
        return self

    # Images in, codes and images out --------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Encode images (N, C, H, W) to codes (N, Z) on the CPU, with labels if the model is conditional."""
        return torch.cat([self.model.encode(a, b).float().cpu() for a, b in self._chunks(x, y)])

    @torch.no_grad()
    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Decode codes (N, Z) to expected images (N, C, H, W). On the CPU, in chunks."""
        return torch.cat([self.model.decode(a, b).float().cpu() for a, b in self._chunks(z, y)])

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Reconstruct images from their posterior means, (N, C, H, W)."""
        return self.decode(self.encode(x, y), y)

    def _chunks(self, a: Tensor, y: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        device, y = self.model.device, y if self.model.context_size else None
        starts = range(0, len(a), ROWS_PER_CHUNK)
        return [
            (a[s : s + ROWS_PER_CHUNK].to(device), None if y is None else y[s : s + ROWS_PER_CHUNK].to(device))
            for s in starts
        ]

    def batch(self, split: str, rows: Tensor | int | None = None) -> Batch:
        """Return rows of a split as in evaluation: an index tensor, the first `rows`, or all rows."""
        count = len(self.prepare().data.images(split))
        if not isinstance(rows, Tensor):
            rows = torch.arange(count if rows is None else min(rows, count))
        return self.data.evaluation_batches(split).batch(rows)

    def annotations(self, split: str) -> Annotations:
        """Return everything known about each image of a split."""
        return self.prepare().data.annotations(split)

    def read_images(self, path: str | Path) -> tuple[Tensor, list[str]]:
        """Read one image file or all in a folder. Return (N, C, H, W) floats, preprocessed like the data, and names.

        Raises:
            UserError: if there is no image, or one cannot be read.
        """
        path = Path(path).expanduser()
        if not path.exists():
            raise UserError(f"images must be an image file or a folder of images, but {path} does not exist.")
        files = list_images(path)
        return self.prepare().data.read_image_files(files).float() / 255, [file.name for file in files]

    def codes(self, split: str) -> Codes:
        """Return the codes of a split. They are computed once, kept in memory and saved in the run folder."""
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
        """Return `codes/<split>-<digest>.npz` in the run folder. The digest covers checkpoint and pixels."""
        if self.checkpoint is None:
            return None
        status = self.checkpoint.stat()
        words = f"{status.st_size} {status.st_mtime_ns} {self.prepare().data.fingerprint()}"
        folder = self.path if self.path.is_dir() else self.path.parent
        return folder / "codes" / f"{split}-{hashlib.sha256(words.encode()).hexdigest()[:16]}.npz"

    @torch.no_grad()
    def _encode_split(self, split: str) -> Codes:
        model, chunks = self.model, []
        self.prepare()
        for batch in self.data.evaluation_batches(split):
            eps = evaluation_noise(model, batch.index.to(model.device), split)
            terms = model.terms(batch.to(model.device), eps)
            chunks.append((terms.posterior.mean, terms.distortion, terms.rate, batch.y, batch.index))
        z, distortion, rate, y, index = zip(*chunks, strict=True)
        joined = [torch.cat(column).float().cpu() for column in (z, distortion, rate)]
        return Codes(joined[0], None if y[0] is None else torch.cat(y), torch.cat(index), joined[1], joined[2])

    def pca(self, count: int | None = None) -> PCABaseline:
        """Return PCA of the training images, the baseline of the codes, with `count` components or one per latent."""
        train = self.prepare().data.images("train")
        return PCABaseline.of(train, min(count or self.model.latent_dim, len(train) - 1, train[0].numel()))


def load_codes(file: Path) -> Codes | None:
    """Load saved codes without executing code. Return None if the file is missing or invalid."""
    try:
        with np.load(file, allow_pickle=False) as saved:
            arrays = {k: torch.from_numpy(v) for k, v in saved.items()}
        return Codes(arrays["z"], arrays.get("y"), arrays["index"], arrays["distortion"], arrays["rate"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        return None


def save_codes(file: Path, codes: Codes) -> None:
    """Save codes atomically, and remove those of earlier weights."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for older in file.parent.glob(f"{file.name.partition('-')[0]}-*.npz"):
        older.unlink(missing_ok=True)  # another process may use the same run
    with atomic_write(file) as partial, partial.open("wb") as stream:
        np.savez(stream, **{k: v.numpy() for k, v in codes._asdict().items() if v is not None})


def run_title(model: ImageModel, data: ImageDataModule) -> str:
    """Return the title of figures: model, data, beta and latent size."""
    return ", ".join([f"{model.name.upper()} on {data.name}", *model.traits])
