"""Definitions of two W&B workspaces for a project: one for single runs and one for sweeps.

The workspaces are built without a network connection. Their panels show metrics and figures that runs log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces.expr import Config, Ordering, Summary

from autoencoders.loggers.wandb_keys import STEP, media_key

if TYPE_CHECKING:
    from collections.abc import Sequence

BETA, LATENTS, RATE = (wr.Config(name) for name in ("beta.value", "latent_dim.size", "optimizer.lr"))
"""Settings that sweeps often vary, with their keys in `config.yaml`."""
SETTINGS = ["config:beta.value.value", "config:latent_dim.value.size", "config:optimizer.value.lr"]
RESULTS = [f"summary:{name}" for name in ("val/neg_elbo", "test/neg_elbo", "test/rate", "test/mse", "test/mse_pca")]
"""Columns in the W&B table of runs: SETTINGS and RESULTS. W&B adds `.value` after the first component of a key."""
COMPARED = "val/neg_elbo"
"""Metric for comparing settings. The objective depends on beta, and cannot compare runs with different beta."""
CURVES = ("objective", "distortion", "rate", "mse")
"""Metrics that are shown as curves."""


def workspaces(entity: str, project: str, name: str) -> dict[str, ws.Workspace]:
    """Return two W&B workspaces in a dict with the keys `runs` and `sweeps`.

    Args:
        entity: W&B user or team.
        project: W&B project that contains the runs.
        name: prefix for the names of the workspaces.
    """
    runs = ws.Workspace(
        entity=entity,
        project=project,
        name=f"{name}: runs",
        sections=run_sections(),
        settings=ws.WorkspaceSettings(x_axis=STEP, group_by_prefix="first"),
        runset_settings=ws.RunsetSettings(pinned_columns=[*RESULTS, *SETTINGS]),
        auto_generate_panels=True,  # W&B adds panels for other metrics and figures
    )
    sweeps = ws.Workspace(
        entity=entity,
        project=project,
        name=f"{name}: sweeps",
        sections=sweep_sections(),
        settings=ws.WorkspaceSettings(x_axis=STEP, group_by_prefix="first", max_runs=20),
        runset_settings=ws.RunsetSettings(
            filters="Metric('JobType') == 'sweep'",
            order=[Ordering(Config("beta.value.value")), Ordering(Summary(COMPARED))],
            pinned_columns=["run:group", *SETTINGS, *RESULTS],
        ),
    )
    return {"runs": runs, "sweeps": sweeps}


def run_sections() -> list[ws.Section]:
    """Return the sections of the workspace for single runs, such as curves, figures and the latent space."""
    training = [_lines(f"{name}, training and validation", f"train/{name}", f"val/{name}") for name in CURVES[:3]]
    images = [_media(name) for name in ("reconstructions", "samples")]
    latent = [_media(name) for name in ("latents", "latents_tsne", "health")]
    active = [
        _lines("active units", "val/active_units"),
        _lines("KL divergence of the aggregate posterior from the prior, nats", "val/gap_to_prior"),
    ]
    per_latent = wr.LinePlot(title="KL divergence per latent dimension, nats", x=STEP, metric_regex="val_kl/latent_.*")
    table = wr.WeavePanelSummaryTable(table_name=media_key("examples"))
    steps = [_lines(name, f"step/{name}") for name in ("loss", "lr", "gradient_norm")]
    compared = [f"test/{name}" for name in ("mse", "mse_pca", "mse_mean_image")]
    bound = wr.BarPlot(title="test negative ELBO, nats", metrics=["test/neg_elbo"])
    errors = wr.BarPlot(title="test MSE with baselines", metrics=compared)
    return [
        _section(
            "Curves",
            [*training, _lines("validation MSE", "val/mse"), _lines("validation PSNR, dB", "val/psnr"), errors],
        ),
        _section(
            "Rate and distortion",
            [_path(), _plane(), bound],
        ),
        _section("Images", images, columns=2),
        _section("Latent space", [*latent, *active, per_latent]),
        _section("Single images", [table], columns=1),
        _section("Steps", steps, is_open=False),
    ]


def sweep_sections() -> list[ws.Section]:
    """Return the sections of the workspace for sweeps, such as test metrics as a function of beta."""
    against = [
        _scatter(f"test {name} as a function of beta", BETA, f"test/{name}", log_x=True)
        for name in ("neg_elbo", "mse", "rate")
    ]
    axes = {"beta": (BETA, True), "latents": (LATENTS, None), "learning rate": (RATE, True),
            COMPARED: (wr.SummaryMetric(COMPARED), None)}  # fmt: skip
    columns = [
        wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=title, log=log)
        for title, (metric, log) in axes.items()
    ]
    parallel = wr.ParallelCoordinatesPlot(columns=columns, title=f"settings and {COMPARED}")
    importance = wr.ParameterImportancePlot(with_respect_to=COMPARED)
    images = [_media(name, runs=True) for name in ("samples", "reconstructions")]
    return [
        _section("Rate and distortion", [_plane(), _path(), *against]),
        _section("Settings", [parallel, importance, wr.RunComparer(diff_only="split")], columns=1),
        _section("Images of runs, sorted by beta", images, columns=1),
        _section("Curves", [_lines(name, f"val/{name}") for name in (*CURVES, "neg_elbo")]),
    ]


def _section(name: str, panels: Sequence[Any], columns: int = 3, is_open: bool = True) -> ws.Section:
    rows = -(-len(panels) // columns)
    layout = ws.SectionLayoutSettings(columns=columns, rows=rows)
    return ws.Section(name=name, panels=list(panels), is_open=is_open, layout_settings=layout)


def _lines(title: str, *metrics: str) -> wr.LinePlot:
    return wr.LinePlot(title=title, x=STEP, y=list(metrics))


def _path() -> wr.LinePlot:
    x, y = "rate_distortion/rate", "rate_distortion/distortion"
    return wr.LinePlot(
        title="distortion as a function of the rate, one point per epoch",
        x=x,
        y=[y],
        title_x="rate",
        title_y="distortion",
    )


def _scatter(title: str, x: Any, y: str, **options: Any) -> wr.ScatterPlot:
    return wr.ScatterPlot(title=title, x=x, y=wr.SummaryMetric(y), **options)


def _plane() -> wr.ScatterPlot:
    rate = wr.SummaryMetric("test/rate")
    return _scatter("test distortion as a function of the rate", rate, "test/distortion", z=BETA)


def _media(name: str, runs: bool = False) -> wr.MediaBrowser:
    axes = {"grid_x_axis": "run", "grid_y_axis": "step"} if runs else {"gallery_axis": "step"}
    layout = wr.Layout(w=24, h=12) if runs else wr.Layout(w=12, h=10)
    return wr.MediaBrowser(title=name.replace("_", " "), media_keys=[media_key(name)], layout=layout, **axes)
