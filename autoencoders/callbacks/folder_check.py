"""Callback that ends a run whose folder was removed, or taken by another process."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl

from autoencoders.runs.loading import LAST
from autoencoders.types import FolderInUseError, UserError
from autoencoders.utils.folder_lock import OWNER_FILE, read_owner


class FolderCheck(pl.Callback):
    """Check after every epoch that the run folder exists and belongs to this run. The training pipeline adds this.

    Files that are saved after the removal of the folder create it again. The last checkpoint is therefore kept, but the
    results of earlier epochs are missing.

    Args:
        folder: run folder, which is locked.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._owner = folder, read_owner(folder / OWNER_FILE)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the folder. The checkpoint at the end of the previous epoch has already been saved."""
        self._check(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the folder after the last epoch."""
        self._check(trainer)

    def _check(self, trainer: pl.Trainer) -> None:
        """Raise an error if the folder was removed or taken.

        Raises:
            FolderInUseError: if another process has locked the folder.
            UserError: if the folder was removed or moved.
        """
        if not trainer.is_global_zero:
            return
        owner = read_owner(self.folder / OWNER_FILE)
        if owner not in (None, self._owner):
            raise FolderInUseError(
                f"{self.folder} was taken by {owner} during training. This process stops without writing to it."
            )
        if owner is not None or (self.folder / "config.yaml").is_file():
            return
        if trainer.world_size == 1 and not (self.folder / LAST).is_file():
            trainer.save_checkpoint(self.folder / LAST)
        raise UserError(
            f"{self.folder} was removed or moved during training. The weights after step {trainer.global_step:,} are "
            f"saved in {self.folder / LAST}, but the results before it are missing there. Restore the folder, or "
            f"continue with resume={self.folder}."
        )
