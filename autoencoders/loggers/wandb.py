"""A W&B run: what goes into it, under which keys, and how much of it at most. With the dashboard it alone says wandb.

The summary, and so a row of W&B's table of runs, holds what `metrics.json` holds: validation metrics of the best epoch
so far, flat. `define_metric(summary="min")` would nest each (`{"min": ...}`), which a sweep's panels do not read, and
take each from an epoch of its own.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.loggers.wandb_keys import STEP, definition, media_key
from autoencoders.runs.record import record_warning
from autoencoders.types import UserError
from autoencoders.utils.error_messages import short_reason

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

ROWS, SIDE, BINS = 200, 64, 64
"""Of a table: rows, and pixels of an image's longer side, at most; of a histogram: bins."""
ARTIFACT = ("online", "always", "never")
FALLBACK = {"online": "offline", "offline": "disabled"}
"""The mode that a run goes on with where one cannot begin."""
TAG, TITLE = 64, 63
"""Characters that W&B allows a tag, and an alert's title."""


class WandbMediaLogger(WandbLogger):
    """Lightning's W&B logger: online where a login, a key or WANDB_MODE says so, else offline, never a prompt.

    It goes offline where the server does not answer: no training waits for it or ends.

    Args:
        save_dir: the run's folder; W&B writes to its `wandb/`.
        model: the model's name.
        job_type: None for `classifier`, `sweep` (one of a group, or of a sweep of W&B's) or `train`, as it is.
        artifact: when the best checkpoint becomes an artifact: `online` alone, `always`, or `never`.
        media_megabytes: of pictures, at most; those beyond it are on disk alone.
        init_timeout: seconds to wait for the server before the run goes on offline.
        finish_timeout: seconds to wait, when the run has ended, for what is not uploaded yet.
        **settings: project, name, group, tags, entity, notes, ... as for `wandb.init`.

    Raises:
        UserError: for an unknown `artifact`, or a bound that is none.
    """

    def __init__(
        self,
        save_dir: str,
        *,
        model: str = "",
        job_type: str | None = None,
        artifact: str = "online",
        media_megabytes: float = 100,
        init_timeout: float = 30.0,
        finish_timeout: float = 300.0,
        **settings: Any,
    ) -> None:
        if artifact not in ARTIFACT:
            raise UserError(f"logger.wandb.artifact must be one of {list(ARTIFACT)}, and is {artifact!r}.")
        if not isinstance(media_megabytes, (int, float)) or media_megabytes < 0:
            message = f"logger.wandb.media_megabytes must be a number from 0 up, and is {media_megabytes!r}."
            raise UserError(message)
        # W&B's own lines on the terminal would bury ours; what matters of them, the door prints.
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        mode = os.environ.get("WANDB_MODE")
        if mode is None:
            mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
        member = settings.get("group") or os.environ.get("WANDB_SWEEP_ID")
        job_type = job_type or ("classifier" if model == "classifier" else "sweep" if member else "train")
        own = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            finish_timeout_raises=True,
        )
        # Not the logger's own offline=True: it sets WANDB_MODE for the rest of the process, later jobs included.
        super().__init__(save_dir=save_dir, mode=mode, settings=own, job_type=job_type, **settings)
        self._wandb_init.pop("anonymous", None)  # Lightning passes an option that W&B only warns about
        self._artifact, self._bytes_left, self._left_out = artifact, media_megabytes * 1e6, 0
        self._best: dict[str, float] = {}
        self._defined: set[str] = set()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run, begun when it is first asked for."""
        try:
            return super().experiment
        except Exception as error:  # W&B's own kinds, and whatever its process makes of a full disk
            mode = self._wandb_init["mode"]
            if mode not in FALLBACK:
                raise
            self._wandb_init["mode"] = FALLBACK[mode]
            record_warning(
                Path(self.save_dir),
                f"W&B could not begin {mode} ({short_reason(error)}), and this run's is {FALLBACK[mode]}; metrics.csv and "
                "figures/ have everything.",
            )
        return self.experiment

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """The configuration; the net joins the tags."""
        super().log_hyperparams(params)
        target = dict(params).get("model", {}).get("encoder", {}).get("_target_", "")  # PCA has none
        if net := ".".join(target.split(".")[:-1]).rpartition(".")[2][:TAG]:
            self.experiment.tags = tuple(dict.fromkeys([*(self.experiment.tags or ()), net]))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics; of a validation also the pair of rate and distortion, and the best epoch's into the summary."""
        pair = {f"rate_distortion/{name}": metrics.get(f"val/{name}") for name in ("rate", "distortion")}
        metrics = {**metrics, **pair} if all(pair.values()) else dict(metrics)
        for name in metrics.keys() - self._defined:
            if arguments := definition(name):
                self.experiment.define_metric(name, **({"step_metric": STEP} | arguments))
        self._defined |= metrics.keys()
        super().log_metrics(metrics, step)
        if "val/objective" in metrics:
            if not metrics["val/objective"] >= self._best.get("val/objective", math.inf):
                self._best = {key: value for key, value in metrics.items() if key.startswith("val/")}
            self.experiment.summary.update(self._best)

    @rank_zero_only
    def describe(self, metadata: Mapping[str, Any]) -> None:
        """Put what is known of the run at its start beside its configuration, to filter by."""
        self.experiment.config.update({"run": dict(metadata)}, allow_val_change=True)

    def send_picture(self, name: str, path: Path, caption: str, step: int) -> None:
        """A PNG or GIF file, as long as there is room for it."""
        import wandb

        size = path.stat().st_size
        if size > self._bytes_left:
            self._left_out += 1
            self.experiment.summary["media_left_out"] = self._left_out
            return
        self._bytes_left -= size
        film = path.suffix == ".gif"
        media = wandb.Video(str(path), caption, format="gif") if film else wandb.Image(str(path), caption=caption)
        self.experiment.log({media_key(name): media, STEP: step})

    def send_histogram(self, name: str, values: np.ndarray, step: int) -> None:
        """How values of any shape are distributed, in BINS bins."""
        import numpy as np
        import wandb

        counted = np.histogram(values[np.isfinite(values)], bins=BINS)
        self.experiment.log({media_key(name): wandb.Histogram(np_histogram=counted), STEP: step})

    def send_table(self, name: str, table: pd.DataFrame, step: int) -> None:
        """A table to sort and filter: its first ROWS rows; cells that are images, (C, H, W) in [0, 1], as such."""
        import wandb

        columns = [_column(table.iloc[:ROWS, i].tolist()) for i in range(table.shape[1])]
        media = wandb.Table(columns=list(map(str, table.columns)), data=list(map(list, zip(*columns, strict=True))))
        with self._staged():
            self.experiment.log({media_key(name): media, STEP: step})

    @contextmanager
    def _staged(self) -> Iterator[None]:
        """Offline, have what a table holds copied into the run's folder, not into the user's, where it would stay."""
        before = os.environ.get("WANDB_DATA_DIR")
        if self.experiment.offline:
            os.environ["WANDB_DATA_DIR"] = str(Path(self.save_dir, "wandb").absolute())
        try:
            yield
        finally:
            os.environ.pop("WANDB_DATA_DIR", None)
            if before is not None:
                os.environ["WANDB_DATA_DIR"] = before

    def say(self, key: str, sentence: str, failed: bool) -> None:
        """A sentence for the summary, and an alert, which W&B passes on as its settings say."""
        self.experiment.summary[key] = sentence
        title = key.rpartition("/")[2].replace("_", " ").capitalize()[:TITLE]
        self.experiment.alert(title=title, text=sentence, level="ERROR" if failed else "WARN")

    def close(self, results: Mapping[str, float], checkpoint: Path, failed: bool) -> str | None:
        """End W&B's run, so that the next job of a sweep gets its own.

        Args:
            results: what `metrics.json` holds.
            checkpoint: the best one, if there is such a file.
            failed: whether the run did not come to its end.

        Returns:
            Where the run is; None where none was begun.
        """
        import wandb

        run = self._experiment
        if not isinstance(run, wandb.Run) or run.disabled:
            return None
        sync = f"upload with: wandb sync {_shell(Path(run.dir).parent)}"
        where = f"offline; {sync}" if run.offline else run.url
        try:
            self._end(run, results, checkpoint, failed)
        except Exception as error:  # a TimeoutError, or its process has died: the run's own folder has it all
            return f"not all uploaded ({short_reason(error)}); {sync}"
        return where

    def _end(self, run: Any, results: Mapping[str, float], checkpoint: Path, failed: bool) -> None:
        import wandb

        run.summary.update({name: value for name, value in results.items() if "summary" not in definition(name)})
        wanted = self._artifact == "always" or (self._artifact == "online" and not run.offline)
        if wanted and checkpoint.is_file() and not failed:
            artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=dict(results))
            artifact.add_file(str(checkpoint), policy="immutable", skip_cache=True)  # no copy of it
            run.log_artifact(artifact, aliases=["best"])
        run.finish(exit_code=int(failed))


def _column(values: list[Any]) -> list[Any]:
    """Values as W&B's tables take them: images as such, what is of several kinds as text."""
    import numpy as np
    import wandb

    values = [wandb.Image(_thumbnail(value)) if isinstance(value, np.ndarray) else value for value in values]
    kinds = {float if type(value) is int else type(value) for value in values if value is not None}
    return values if len(kinds) < 2 else list(map(str, values))


def _thumbnail(image: np.ndarray) -> Any:
    import numpy as np
    from PIL import Image

    pixels = (np.clip(np.nan_to_num(image), 0, 1) * 255).round().astype("uint8").transpose(1, 2, 0)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((SIDE, SIDE))
    return picture


def _shell(path: Path) -> str:
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)
