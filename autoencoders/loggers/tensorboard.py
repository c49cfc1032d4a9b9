"""TensorBoard logger with figures, animations, texts, and settings with results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.types import UserError

if TYPE_CHECKING:
    from argparse import Namespace

RESULTS = ("val/objective", "val/mse", "test/neg_elbo", "test/mse", "test/accuracy")
"""Metrics shown with the settings of every run under HPARAMS."""


class TensorBoardMediaLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger, with the results of the run on its HPARAMS page instead of a constant -1.

    Args:
        **settings: arguments of Lightning's logger.
    """

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings, default_hp_metric=False)
        except ModuleNotFoundError as error:
            raise UserError(
                "logger=tensorboard needs TensorBoard. Install it: pip install 'autoencoders[tensorboard]'."
            ) from error

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **keywords: Any) -> None:
        """Write `hparams.yaml`, and the flat settings with the names of the results."""
        super().log_hyperparams(params, *args, **keywords)
        from lightning.fabric.utilities.logger import _flatten_dict
        from torch.utils.tensorboard.summary import hparams

        flat = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in _flatten_dict(params).items()}
        for summary in hparams(flat, dict.fromkeys(RESULTS, 0.0)):
            self.experiment._get_file_writer().add_summary(summary)

    def picture(self, key: str, path: Path, step: int) -> None:
        """Write a PNG or GIF file unchanged, so that it is not encoded twice and animations are kept."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(path) as image:
            width, height = image.size
        picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        self.experiment._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=key, image=picture)]), step)

    def text(self, key: str, sentence: str, step: int) -> None:
        """Write a text under TEXT."""
        self.experiment.add_text(key, sentence, step)
