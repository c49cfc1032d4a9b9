"""TensorBoard logger with figures, animations, texts, and settings with results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.config.diff import flatten
from autoencoders.loggers.base import MediaLogger
from autoencoders.utils.extras import import_extra

if TYPE_CHECKING:
    from argparse import Namespace

    from torch.utils.tensorboard import FileWriter

RESULTS = ("val/objective", "val/mse", "test/neg_elbo", "test/mse", "test/accuracy")
"""Metrics shown with the settings of every run under HPARAMS."""


class TensorBoardMediaLogger(MediaLogger, TensorBoardLogger):
    """Lightning's TensorBoard logger, with the results of the run on its HPARAMS page instead of a constant -1.

    Args:
        **settings: arguments of Lightning's logger.
    """

    def __init__(self, **settings: Any) -> None:
        import_extra("tensorboard", "tensorboard", "logger=tensorboard")
        super().__init__(**settings, default_hp_metric=False)
        self._files: FileWriter | None = None

    def _writer(self) -> FileWriter:
        """Return the writer of a second event file, for contents that `SummaryWriter` would encode again."""
        from torch.utils.tensorboard import FileWriter

        if self._files is None:
            self._files = FileWriter(self.log_dir, filename_suffix=".media")
        return self._files

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the event files at the end of a fit or a test."""
        super().finalize(status)
        if self._files is not None:
            self._files.close()
            self._files = None

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **keywords: Any) -> None:
        """Write `hparams.yaml`, and the flat settings with the names of the results."""
        super().log_hyperparams(params, *args, **keywords)
        from torch.utils.tensorboard.summary import hparams

        settings = {name.removeprefix("."): value for name, value in flatten(dict(params), "").items()}
        flat = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in settings.items()}
        for summary in hparams(flat, dict.fromkeys(RESULTS, 0.0)):
            self._writer().add_summary(summary)

    def send_figure(self, key: str, path: Path, caption: str, step: int) -> None:
        """Write a PNG or GIF file unchanged, so that it is not encoded twice and animations are kept."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(path) as file:
            width, height = file.size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        self._writer().add_summary(Summary(value=[Summary.Value(tag=key, image=image)]), step)

    def send_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Write a text under TEXT."""
        self.experiment.add_text(key, text, step)

    def send_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Write the notes of the metadata under TEXT. Settings and results are under HPARAMS."""
        if metadata["notes"]:
            self.send_text("notes", " ".join(metadata["notes"]), 0)
