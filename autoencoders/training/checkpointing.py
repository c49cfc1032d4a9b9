"""Atomic writing of checkpoints."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from autoencoders.utils.atomic import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint writer, with atomic replacement of the file.

    Lightning writes to the system's folder for temporary files and moves the file. From another disk this is a copy
    into the existing file. On a full disk `last.ckpt` and `previous.ckpt`, which is linked to it, would both be lost.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint atomically. If this fails, the existing file is kept.

        Raises:
            OSError: if the disk is full, or the folder cannot be written.
        """
        buffer = io.BytesIO()  # writing directly, torch would hide the reason of a failure
        torch.save(checkpoint, buffer)
        with atomic_write(Path(path)) as partial:
            partial.write_bytes(buffer.getbuffer())
