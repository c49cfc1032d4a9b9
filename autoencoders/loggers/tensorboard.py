"""What TensorBoard gets beyond Lightning's scalars: figures' files as they are, texts, settings beside results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.types import UserError

if TYPE_CHECKING:
    from argparse import Namespace

RESULTS = ("val/objective", "val/mse", "test/neg_elbo", "test/mse", "test/accuracy")
"""Metrics beside the settings of every run, under HPARAMS: the last value of each, where there is one."""


class TensorBoardMediaLogger(TensorBoardLogger):
    """Lightning's logger, whose HPARAMS page has the run's settings and its results (not a metric that is always -1).

    Args:
        **settings: as for Lightning's.
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
        """Write `hparams.yaml`, as Lightning does, and the settings, flat, with the names of the results."""
        super().log_hyperparams(params, *args, **keywords)
        from lightning.fabric.utilities.logger import _flatten_dict
        from torch.utils.tensorboard.summary import hparams

        flat = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in _flatten_dict(params).items()}
        for summary in hparams(flat, dict.fromkeys(RESULTS, 0.0)):
            self.experiment._get_file_writer().add_summary(summary)

    def picture(self, key: str, path: Path, step: int) -> None:
        """Hand a PNG or GIF file over as it is: nothing is encoded a second time, and films move."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(path) as image:
            width, height = image.size
        picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        self.experiment._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=key, image=picture)]), step)

    def text(self, key: str, sentence: str, step: int) -> None:
        """Hand a sentence over, under TEXT."""
        self.experiment.add_text(key, sentence, step)
