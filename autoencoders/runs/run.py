"""A run that can be asked: its model, its data, and what the one makes of the other."""

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

from autoencoders.data.image_io import list_images
from autoencoders.models.evaluation import evaluation_noise
from autoencoders.types import Annotations, Batch, Codes, UserError
from autoencoders.utils.atomic import atomic_write
from autoencoders.utils.pca import PCABaseline

if TYPE_CHECKING:
    import lightning.pytorch as pl

    from autoencoders.data.datamodule import ImageDataModule
    from autoencoders.models.autoencoder import Autoencoder

ROWS_PER_CHUNK = 250
"""Images that pass through a network together."""


@dataclass
class Run:
    """A run opened again, or one that is being trained.

    Attributes:
        path: its folder, or the checkpoint it was opened from.
        config: the resolved configuration, plain containers.
        model: with the weights of the best checkpoint (the last where there is none), in evaluation mode.
        data: the datamodule, not prepared until something asks for it.
        checkpoint: the file the weights came from; None for a run that is being trained.
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
    def live(cls, trainer: pl.Trainer, model: Autoencoder) -> Run:
        """The run that a trainer works on, as it is now."""
        config, path = dict(model.hparams), Path(trainer.default_root_dir)
        return cls(path, config, model, trainer.datamodule, step=trainer.global_step, _ready=True)

    @property
    def title(self) -> str:
        """Model, data, beta and latent size: what every figure says."""
        return run_title(self.model, self.data)

    def prepare(self) -> Run:
        """Read the data, once, and see that they are what the model was trained on."""
        if not self._ready:
            self.data.prepare_data()
            self.data.setup()
            if self.data.shape != self.model.shape:
                raise UserError(f"The model takes images of {self.model.shape}, and the data have {self.data.shape}.")
            self._ready = True
        return self

    # Images in, codes and images out --------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Codes (N, Z) of images (N, C, H, W), and labels where the model is told; on the CPU, in parts."""
        return torch.cat([self.model.encode(a, b).float().cpu() for a, b in self._parts(x, y)])

    @torch.no_grad()
    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Expected images (N, C, H, W) of codes (N, Z), on the CPU, in parts."""
        return torch.cat([self.model.decode(a, b).float().cpu() for a, b in self._parts(z, y)])

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images through the posterior mean and back, (N, C, H, W)."""
        return self.decode(self.encode(x, y), y)

    def _parts(self, a: Tensor, y: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        device, y = self.model.device, y if self.model.context_size else None
        starts = range(0, len(a), ROWS_PER_CHUNK)
        return [
            (a[s : s + ROWS_PER_CHUNK].to(device), None if y is None else y[s : s + ROWS_PER_CHUNK].to(device))
            for s in starts
        ]

    def batch(self, split: str, rows: Tensor | int | None = None) -> Batch:
        """Rows of a split as evaluation sees them: an index tensor, the first so many, or all of them."""
        count = len(self.prepare().data.images(split))
        if not isinstance(rows, Tensor):
            rows = torch.arange(count if rows is None else min(rows, count))
        return self.data.evaluation(split).batch(rows)

    def annotations(self, split: str) -> Annotations:
        """What is known of each image of a split."""
        return self.prepare().data.annotations(split)

    def pictures(self, path: str | Path) -> tuple[Tensor, list[str]]:
        """Somebody's own pictures, a file or all in a folder, prepared like the data: (N, C, H, W) floats, and names.

        Raises:
            UserError: where there is nothing, or something that cannot be read.
        """
        path = Path(path).expanduser()
        if not path.exists():
            raise UserError(f"images must be a picture or a folder of pictures, and there is no {path}.")
        files = list_images(path)
        return self.prepare().data.read_pictures(files).float() / 255, [file.name for file in files]

    def codes(self, split: str) -> Codes:
        """A split, encoded once: kept in memory, and beside the checkpoint for whoever asks next."""
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
        """`codes/<split>-<digest>.npz` in the run's folder; the digest is of checkpoint and pixels."""
        if self.checkpoint is None:
            return None
        status = self.checkpoint.stat()
        words = f"{status.st_size} {status.st_mtime_ns} {self.prepare().data.fingerprint()}"
        folder = self.path if self.path.is_dir() else self.path.parent
        return folder / "codes" / f"{split}-{hashlib.sha256(words.encode()).hexdigest()[:16]}.npz"

    @torch.no_grad()
    def _encode_split(self, split: str) -> Codes:
        model, parts = self.model, []
        self.prepare()
        for batch in self.data.evaluation(split):
            eps = evaluation_noise(model, batch.index.to(model.device), split)
            moved = Batch(*(None if part is None else part.to(model.device) for part in batch))
            terms = model.terms(moved, eps)
            parts.append((terms.posterior.mean, terms.distortion, terms.rate, batch.y, batch.index))
        z, distortion, rate, y, index = zip(*parts, strict=True)
        joined = [torch.cat(column).float().cpu() for column in (z, distortion, rate)]
        return Codes(joined[0], None if y[0] is None else torch.cat(y), torch.cat(index), joined[1], joined[2])

    def pca(self, count: int | None = None) -> PCABaseline:
        """PCA of the training images with as many components as latents (or `count`): the baseline of a code."""
        train = self.prepare().data.images("train")
        return PCABaseline.of(train, min(count or self.model.latent_dim, len(train) - 1, train[0].numel()))


def load_codes(file: Path) -> Codes | None:
    """Codes that were kept, without executing code; None where there are none, or the file is something else."""
    try:
        with np.load(file, allow_pickle=False) as saved:
            parts = {k: torch.from_numpy(v) for k, v in saved.items()}
        return Codes(**{name: parts[name] if name != "y" else parts.get(name) for name in Codes._fields})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        return None


def save_codes(file: Path, codes: Codes) -> None:
    """Write codes whole or not at all; those of earlier weights go."""
    file.parent.mkdir(parents=True, exist_ok=True)
    for older in file.parent.glob(f"{file.name.partition('-')[0]}-*.npz"):
        older.unlink(missing_ok=True)  # another process may ask the same run
    with atomic_write(file) as partial, partial.open("wb") as stream:
        np.savez(stream, **{k: v.numpy() for k, v in codes._asdict().items() if v is not None})


def run_title(model: Autoencoder, data: ImageDataModule) -> str:
    """Model, data, beta and latent size: what every figure says."""
    return ", ".join([f"{model.name.upper()} on {data.name}", *model.traits])
