"""Checkpoints on disk: whole or not at all, whatever wants them written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from autoencoders.utils.atomic import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own, but for how a file takes its place.

    Lightning writes to the folder for temporary files and moves; from another disk that is a copy into the file that
    is there. On a full disk, `last.ckpt` and `previous.ckpt`, linked to it, are then both lost.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint whole; where that fails, the one that was there stays.

        Raises:
            OSError: where the disk is full, or the folder cannot be written.
        """
        buffer = io.BytesIO()  # torch would hide the reason of a failed write
        torch.save(checkpoint, buffer)
        with atomic_write(Path(path)) as partial:
            partial.write_bytes(buffer.getbuffer())
