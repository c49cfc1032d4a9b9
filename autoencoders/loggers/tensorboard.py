"""TensorBoard logger for metrics, figures, animations, texts and a table of settings and results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.config.diff import flatten
from autoencoders.loggers.base import MediaLogger
from autoencoders.loggers.wandb_keys import result_keys
from autoencoders.utils.extras import import_extra

if TYPE_CHECKING:
    from argparse import Namespace

    from torch.utils.tensorboard import FileWriter

RESULTS = ("val/objective", "val/mse", "test/neg_elbo", "test/mse", "test/accuracy")
"""Metrics that the HPARAMS page of TensorBoard shows next to the settings of every run."""


class TensorBoardMediaLogger(MediaLogger, TensorBoardLogger):
    """Lightning's TensorBoard logger with figures and texts, and with the final results on the HPARAMS page.

    Lightning's own logger shows a constant -1 as the result (`default_hp_metric`).

    Args:
        **settings: arguments for Lightning's `TensorBoardLogger`.

    Raises:
        UserError: if TensorBoard is not installed.
    """

    def __init__(self, **settings: Any) -> None:
        import_extra("tensorboard", "tensorboard", "logger=tensorboard")
        super().__init__(**settings, default_hp_metric=False)
        self._files: FileWriter | None = None

    def _writer(self) -> FileWriter:
        """Return the writer for a second event file, to which encoded PNG and GIF files can be written unchanged."""
        from torch.utils.tensorboard import FileWriter

        if self._files is None:
            self._files = FileWriter(self.log_dir, filename_suffix=".media")
        return self._files

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the event files at the end of training or testing."""
        super().finalize(status)
        if self._files is not None:
            self._files.close()
            self._files = None

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **keywords: Any) -> None:
        """Write `hparams.yaml`, and add the settings (dotted keys) and the names of RESULTS to the HPARAMS page."""
        super().log_hyperparams(params, *args, **keywords)
        from torch.utils.tensorboard.summary import hparams

        settings = {name.removeprefix("."): value for name, value in flatten(dict(params), "").items()}
        flat = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in settings.items()}
        for summary in hparams(flat, dict.fromkeys(RESULTS, 0.0)):
            self._writer().add_summary(summary)

    def send_figure(self, key: str, path: Path, caption: str, step: int) -> None:
        """Write a PNG or GIF file unchanged to the event file, so that animations remain animations."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        with Image.open(path) as file:
            width, height = file.size
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        self._writer().add_summary(Summary(value=[Summary.Value(tag=key, image=image)]), step)

    def send_results(self, results: Mapping[str, float], model: str, step: int, repeated: bool) -> None:
        """Write the results of an application as scalars with the keys of `result_keys`."""
        self.log_metrics({key: results[name] for name, key in result_keys(results, model).items()}, step)

    def send_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Write a text to the TEXT page of TensorBoard."""
        self.experiment.add_text(key, text, step)

    def send_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Write the notes in the run metadata to the TEXT page. The HPARAMS page shows the settings."""
        if metadata["notes"]:
            self.send_text("notes", " ".join(metadata["notes"]), 0)
