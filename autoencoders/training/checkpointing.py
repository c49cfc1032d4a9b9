"""Checkpoint writer that replaces files atomically, so that a failure keeps the existing checkpoint."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from autoencoders.utils.atomic import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint writer, with atomic replacement of existing files.

    Lightning writes to the system's folder for temporary files and then moves the file. If that folder is on another
    disk, the move overwrites the content of the existing file. If the disk became full, `last.ckpt` and `previous.ckpt`
    (a hard link to the same file) would both be lost.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint to `path`. If writing fails, the existing file is kept.

        Raises:
            OSError: if the disk is full, or the folder is not writable.
        """
        buffer = io.BytesIO()  # torch.save to a file would hide the reason of a failure
        torch.save(checkpoint, buffer)
        with atomic_write(Path(path)) as partial:
            partial.write_bytes(buffer.getbuffer())
