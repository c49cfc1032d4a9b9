"""W&B logger with figures, tables, alerts and artifacts, and with a limit on the size of figures.

The W&B summary of a run contains the validation metrics from the best epoch so far, as `metrics.json` does. The
argument `summary="min"` of `define_metric` is not used, for two reasons. W&B would take each metric from a different
epoch, and would nest the value (`{"min": ...}`), which the panels for sweeps cannot read.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from autoencoders.loggers.base import MediaLogger
from autoencoders.loggers.wandb_keys import ONCE, STEP, definition, media_key, result_keys, summary_values
from autoencoders.loggers.wandb_tables import convert_column, describe_row, join_images
from autoencoders.runs.record import record_warning
from autoencoders.types import UserError
from autoencoders.utils.error_messages import short_reason

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

ROWS, BINS = 200, 64
"""Maximum rows in a table, and bins in a histogram."""
ARTIFACT = ("online", "always", "never")
"""Valid values of logger.wandb.artifact."""
FALLBACK = {
    "online": "offline", "run": "offline", "shared": "offline", "offline": "disabled", "dryrun": "disabled",
    "disabled": None,
}  # fmt: skip
"""W&B mode -> W&B mode that is used instead if the first mode cannot be started; None if there is no other mode."""
TAG, TITLE = 64, 63
"""Maximum number of characters in a W&B tag, and in the title of a W&B alert."""


class WandbMediaLogger(MediaLogger, WandbLogger):
    """W&B logger that never prompts for a login. It works online or offline.

    The environment variable WANDB_MODE sets the mode. By default, the mode is online if the user is logged in or has an
    API key, and offline otherwise. If the server does not respond, the logger switches to offline, so that training
    continues.

    Args:
        save_dir: path of the run folder. W&B writes to the subfolder `wandb/`.
        model: name of the model, from which the default job type is chosen.
        job_type: W&B job type. None selects `classifier` for a classifier, `sweep` for a run with a group or in a W&B
            sweep, and `train` for other runs.
        artifact: when to log the best checkpoint as a W&B artifact: `online` (in online mode), `always` or `never`.
        media_megabytes: maximum total size of logged figures in megabytes. Further figures are only saved on disk.
        init_timeout: seconds to wait for the server before the run continues offline.
        finish_timeout: seconds to wait for uploads at the end of the run.
        **settings: arguments for `wandb.init`, such as project, name, group, tags, entity and notes.

    Raises:
        UserError: if `artifact` is not a valid value, or `media_megabytes` is not a number >= 0.
    """

    supports_tables = True

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
            raise UserError(f"logger.wandb.artifact must be one of {', '.join(ARTIFACT)}, got {artifact!r}.")
        if not isinstance(media_megabytes, (int, float)) or media_megabytes < 0:
            raise UserError(f"logger.wandb.media_megabytes must be a number >= 0, got {media_megabytes!r}.")
        # Suppress W&B's own output. The location of the W&B run is printed at the end of the run.
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        _choose_cache_folder(Path(save_dir))
        mode = os.environ.get("WANDB_MODE") or _default_mode()
        if job_type is None:
            in_sweep = bool(settings.get("group") or os.environ.get("WANDB_SWEEP_ID"))
            job_type = _choose_job_type(model, in_sweep)
        wandb_settings = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            finish_timeout_raises=True,
        )
        super().__init__(save_dir=save_dir, project=settings.get("project"))
        self._init = {"mode": mode, "settings": wandb_settings, "job_type": job_type, "resume": "allow", **settings}
        self._run: Any = None  # created when `experiment` is first read
        self._artifact, self._bytes_left, self._left_out = artifact, media_megabytes * 1e6, 0
        self._best: dict[str, float] = {}
        self._defined: set[str] = set()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B run object. The W&B run is created when this property is first read."""
        import wandb

        while self._run is None:
            mode, folder = self._init["mode"], Path(self.save_dir or ".")
            folder.mkdir(parents=True, exist_ok=True)
            try:
                _check_mode(mode)
                self._run = wandb.init(dir=folder, **self._init)
                self._run.define_metric(STEP)
                self._run.define_metric("*", step_metric=STEP, step_sync=True)
            except Exception as error:  # an exception from W&B, or from the W&B process on a full disk
                fallback = FALLBACK.get(mode, "offline")
                if fallback is None:
                    raise
                self._init["mode"] = fallback
                if mode not in FALLBACK:  # W&B reads the variable too
                    os.environ["WANDB_MODE"] = fallback
                record_warning(
                    folder,
                    f"W&B could not start {mode} ({short_reason(error)}). W&B is {fallback} for this run, but "
                    "metrics.csv and figures/ are complete.",
                )
        return self._run

    @property
    def version(self) -> str | None:
        """Identifier of the W&B run, or None before the W&B run is created."""
        return None if self._run is None else self._run.id

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        """Log the configuration, and add the name of the net to the tags of the W&B run."""
        super().log_hyperparams(params)
        target = dict(params).get("model", {}).get("encoder", {}).get("_target_", "")  # empty for PCA, which has no net
        if net := ".".join(target.split(".")[:-1]).rpartition(".")[2][:TAG]:
            self.experiment.tags = tuple(dict.fromkeys([*(self.experiment.tags or ()), net]))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics for an optimizer step. Metrics that have one value per run are only added to the summary.

        If the metrics contain validation metrics, also log the rate (KL divergence) and the distortion under the keys
        for the rate-distortion panel. If the validation objective is the lowest so far, update the summary.
        """
        final = {name: value for name, value in metrics.items() if name.startswith(ONCE)}
        self.experiment.summary.update(summary_values(final))
        metrics = {name: value for name, value in metrics.items() if name not in final}
        if not metrics.keys() - {"epoch"}:
            return
        if metrics.get("val/rate") and metrics.get("val/distortion"):
            metrics |= {f"rate_distortion/{name}": metrics[f"val/{name}"] for name in ("rate", "distortion")}
        for name in metrics.keys() - self._defined:
            if arguments := definition(name):
                self.experiment.define_metric(name, **({"step_metric": STEP} | arguments))
        self._defined |= metrics.keys()
        self.experiment.log(metrics if step is None else {**metrics, STEP: step})
        if "val/objective" in metrics:
            if not metrics["val/objective"] >= self._best.get("val/objective", math.inf):
                self._best = {key: value for key, value in metrics.items() if key.startswith("val/")}
            self.experiment.summary.update(self._best)

    @rank_zero_only
    def send_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add the run metadata to the configuration of the W&B run, under the key `run`."""
        self.experiment.config.update({"run": dict(metadata)}, allow_val_change=True)

    def send_figure(self, key: str, path: Path, caption: str, step: int) -> None:
        """Log a PNG or GIF file, unless the total size of figures would exceed `media_megabytes`."""
        import wandb

        size = path.stat().st_size
        if size > self._bytes_left:
            self._left_out += 1
            self.experiment.summary["media_left_out"] = self._left_out
            return
        self._bytes_left -= size
        if path.suffix == ".gif":
            self.experiment.log({media_key(key): wandb.Video(str(path), caption, format="gif"), STEP: step})
        else:
            self.experiment.log({media_key(key): wandb.Image(str(path), caption=caption), STEP: step})

    def send_results(self, results: Mapping[str, float], model: str, step: int, repeated: bool) -> None:
        """Add the results of an application to the summary, or to the history if the application is repeated."""
        values = {key: results[name] for name, key in result_keys(results, model).items()}
        if repeated:
            self.log_metrics(values, step)
        else:
            self.experiment.summary.update(values)

    def send_histogram(self, key: str, values: np.ndarray, step: int) -> None:
        """Log a histogram with BINS bins of the finite values in an array of any shape."""
        import numpy as np
        import wandb

        histogram = np.histogram(values[np.isfinite(values)], bins=BINS)
        self.experiment.log({media_key(key): wandb.Histogram(np_histogram=histogram), STEP: step})

    def send_table(self, key: str, table: pd.DataFrame, step: int) -> None:
        """Log the first ROWS rows of a table. A cell may be an image (C, H, W) with values in [0, 1].

        W&B stores the images in a table of an offline run by their absolute path, so that they are lost if the folder
        is moved before `wandb sync`. Offline, the images are therefore logged as the panel `<key>_images`, with one
        entry per row, and the table contains the other columns.
        """
        import wandb

        table = table.iloc[:ROWS]
        if self.experiment.offline:
            table = self._send_table_images(key, table, step)
        columns = [convert_column(table.iloc[:, i].tolist()) for i in range(table.shape[1])]
        media = wandb.Table(columns=list(map(str, table.columns)), data=list(map(list, zip(*columns, strict=True))))
        with self._local_data_folder():
            self.experiment.log({media_key(key): media, STEP: step})

    def _send_table_images(self, key: str, table: pd.DataFrame, step: int) -> pd.DataFrame:
        """Log the images in each row of a table next to each other, and return the table without them.

        The caption of a row contains its other values.
        """
        import numpy as np
        import wandb

        has_images = [any(isinstance(value, np.ndarray) for value in table.iloc[:, i]) for i in range(table.shape[1])]
        if not any(has_images):
            return table
        others = table.loc[:, [not images for images in has_images]]
        strips = [join_images(row) for row in table.loc[:, has_images].itertuples(index=False, name=None)]
        captions = [describe_row(row) for row in others.to_dict("records")]
        media = [wandb.Image(image, caption=text) for image, text in zip(strips, captions, strict=True)]
        self.experiment.log({media_key(f"{key}_images"): media, STEP: step})
        return others

    @contextmanager
    def _local_data_folder(self) -> Iterator[None]:
        """In offline mode, let W&B stage the file of a table in the run folder, not in the user's data folder."""
        before = os.environ.get("WANDB_DATA_DIR")
        if self.experiment.offline:
            os.environ["WANDB_DATA_DIR"] = str(Path(self.save_dir or ".", "wandb").absolute())
        try:
            yield
        finally:
            os.environ.pop("WANDB_DATA_DIR", None)
            if before is not None:
                os.environ["WANDB_DATA_DIR"] = before

    def send_text(self, key: str, text: str, step: int, failed: bool = False) -> None:
        """Add a text to the summary of the W&B run, and send the text as a W&B alert."""
        self.experiment.summary[key] = text
        title = key.rpartition("/")[2].replace("_", " ").capitalize()[:TITLE]
        self.experiment.alert(title=title, text=text, level="ERROR" if failed else "WARN")

    def close(self, results: Mapping[str, float], checkpoint: Path, failed: bool) -> str | None:
        """Finish the W&B run, so that the next job of a sweep creates a new W&B run.

        Args:
            results: final metrics of the training run, as in `metrics.json`.
            checkpoint: path of the best checkpoint. The file may not exist.
            failed: whether the training run failed.

        Returns:
            The URL of the W&B run, or a text with the command that uploads the W&B run. None without a W&B run.
        """
        import wandb

        run = self._run
        if not isinstance(run, wandb.Run) or run.disabled:
            return None
        sync = f"upload with: wandb sync {_shell_path(Path(run.dir).parent)}"
        location = f"offline; {sync}" if run.offline else run.url
        try:
            self._finish(run, results, checkpoint, failed)
        except Exception as error:  # a timeout, or the W&B process has ended; the run folder contains all data
            return f"upload incomplete ({short_reason(error)}); {sync}"
        return location

    def _finish(self, run: Any, results: Mapping[str, float], checkpoint: Path, failed: bool) -> None:
        import wandb

        run.summary.update(summary_values(results))
        log_artifact = self._artifact == "always" or (self._artifact == "online" and not run.offline)
        if log_artifact and checkpoint.is_file() and not failed:
            artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=dict(results))
            artifact.add_file(str(checkpoint), policy="immutable", skip_cache=True)  # no copy in the cache
            run.log_artifact(artifact, aliases=["best"])
        run.finish(exit_code=int(failed))


def _default_mode() -> str:
    """Return the W&B mode to use if the user has not set it."""
    import wandb

    try:
        return "online" if wandb.login(prompt=False, verify=False) else "offline"
    except Exception:  # W&B refuses the value of an environment variable; `experiment` reports it
        return "offline"


def _check_mode(mode: str) -> None:
    """Raise UserError if a W&B mode, which the user has set in the environment, does not exist."""
    if mode not in FALLBACK:
        raise UserError(f"WANDB_MODE must be one of {', '.join(FALLBACK)}, got {mode!r}")


def _choose_cache_folder(folder: Path) -> None:
    """Let W&B use the run folder for its cache and logs if there is no folder with write permission for them.

    Otherwise, W&B would print its log messages. Containers often run without a home folder.
    """
    cache = os.environ.get("WANDB_CACHE_DIR") or (os.environ.get("HOME") and platformdirs.user_cache_dir("wandb"))
    try:
        if cache:
            Path(cache).expanduser().mkdir(parents=True, exist_ok=True)
            if os.access(cache, os.W_OK):
                return
    except OSError:
        pass
    os.environ["WANDB_CACHE_DIR"] = str((folder / "wandb" / "cache").absolute())


def _choose_job_type(model: str, in_sweep: bool) -> str:
    if model == "classifier":
        return "classifier"
    return "sweep" if in_sweep else "train"


def _shell_path(path: Path) -> str:
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)
