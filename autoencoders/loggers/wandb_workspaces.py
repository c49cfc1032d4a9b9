"""Two W&B workspaces of a project, defined in code: one for runs, one for sweeps.

Both are built without a network. They name metrics that runs log.
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
"""Settings of a sweep, as nested in `config.yaml`."""
SETTINGS = ["config:beta.value.value", "config:latent_dim.value.size", "config:optimizer.value.lr"]
RESULTS = [f"summary:{name}" for name in ("val/neg_elbo", "test/neg_elbo", "test/rate", "test/mse", "test/mse_pca")]
"""Columns of the table of runs. W&B appends `.value` to the first component of a configuration key."""
COMPARED = "val/neg_elbo"
"""Metric by which settings are compared. The objective depends on beta and does not compare runs of different beta."""
CURVES = ("objective", "distortion", "rate", "mse")


def workspaces(entity: str, project: str, name: str) -> dict[str, ws.Workspace]:
    """Return the workspaces by name: `runs` and `sweeps`.

    Args:
        entity: a user or a team.
        project: project of the runs.
        name: prefix of the workspaces' names.
    """
    runs = ws.Workspace(
        entity=entity,
        project=project,
        name=f"{name}: runs",
        sections=run_sections(),
        settings=ws.WorkspaceSettings(x_axis=STEP, group_by_prefix="first"),
        runset_settings=ws.RunsetSettings(pinned_columns=[*RESULTS, *SETTINGS]),
        auto_generate_panels=True,  # further panels, such as those of applications and histograms, follow
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
    """Return the sections for runs: curves, rate and distortion, latent space, figures, table of single images."""
    training = [_lines(f"{name}, training and validation", f"train/{name}", f"val/{name}") for name in CURVES[:3]]
    images = [_media(name) for name in ("reconstructions", "samples")]
    latent = [_media(name) for name in ("latents", "latents_tsne", "health")]
    active = [_lines("active units", "val/active_units"), _lines("gap to the prior, nats", "val/gap_to_prior")]
    per_latent = wr.LinePlot(title="KL per latent, nats", x=STEP, metric_regex="val_kl/latent_.*")
    table = wr.WeavePanelSummaryTable(table_name=media_key("examples"))
    steps = [_lines(name, f"step/{name}") for name in ("loss", "lr", "gradient_norm")]
    compared = [f"test/{name}" for name in ("mse", "mse_pca", "mse_mean_image")]
    bound = wr.BarPlot(title="test negative ELBO, nats", metrics=["test/neg_elbo"])
    errors = wr.BarPlot(title="test MSE, with its baselines", metrics=compared)
    return [
        _section("Curves", [*training, _lines("MSE of validation", "val/mse"), _lines("PSNR, dB", "val/psnr"), errors]),
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
    """Return the sections for sweeps: rate and distortion, settings and results, figures by beta, curves."""
    against = [
        _scatter(f"test {name} against beta", BETA, f"test/{name}", log_x=True) for name in ("neg_elbo", "mse", "rate")
    ]
    axes = {"beta": (BETA, True), "latents": (LATENTS, None), "learning rate": (RATE, True),
            COMPARED: (wr.SummaryMetric(COMPARED), None)}  # fmt: skip
    columns = [
        wr.ParallelCoordinatesPlotColumn(metric=metric, display_name=title, log=log)
        for title, (metric, log) in axes.items()
    ]
    parallel = wr.ParallelCoordinatesPlot(columns=columns, title=f"settings against {COMPARED}")
    importance = wr.ParameterImportancePlot(with_respect_to=COMPARED)
    images = [_media(name, runs=True) for name in ("samples", "reconstructions")]
    return [
        _section("Rate and distortion", [_plane(), _path(), *against]),
        _section("Settings", [parallel, importance, wr.RunComparer(diff_only="split")], columns=1),
        _section("Images, runs in the order of beta", images, columns=1),
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
    return wr.LinePlot(title="distortion against rate, by epoch", x=x, y=[y], title_x="rate", title_y="distortion")


def _scatter(title: str, x: Any, y: str, **options: Any) -> wr.ScatterPlot:
    return wr.ScatterPlot(title=title, x=x, y=wr.SummaryMetric(y), **options)


def _plane() -> wr.ScatterPlot:
    rate = wr.SummaryMetric("test/rate")
    return _scatter("test distortion against rate", rate, "test/distortion", z=BETA)


def _media(name: str, runs: bool = False) -> wr.MediaBrowser:
    axes = {"grid_x_axis": "run", "grid_y_axis": "step"} if runs else {"gallery_axis": "step"}
    layout = wr.Layout(w=24, h=12) if runs else wr.Layout(w=12, h=10)
    return wr.MediaBrowser(title=name.replace("_", " "), media_keys=[media_key(name)], layout=layout, **axes)
