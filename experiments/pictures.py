"""The figures of a study's page: figures of its runs in a smaller file, and plots over several runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies import Study

if TYPE_CHECKING:
    import numpy as np

MAX_WIDTH = 1000
"""Maximum width of a figure on a page, in pixels."""
COLORS = 256
"""Size of a figure's palette. It reduces the file to a third without a visible difference."""


def format_figure(study: Study, spec: Mapping[str, Any]) -> str:
    """Return the Markdown of a figure next to the page; empty if the figure does not exist. A plot is saved first.

    Args:
        study: the study.
        spec: `caption`, and either `run` with `figure`, or `plot`; see `save_plot`.
    """
    name = save_plot(study, spec["plot"]) if "plot" in spec else figure_name(spec)
    if name is None or not (study.folder / name).is_file():
        return ""
    return f"![{spec['caption']}]({name})\n\n*{spec['caption']}*"


def figure_name(spec: Mapping[str, Any]) -> str:
    """Return the file name of a figure of a run."""
    return f"{spec['run']}-{spec['figure']}".replace("../", "").replace("/", "-") + ".png"


def copy_figures(study: Study) -> None:
    """Save the figures of a study's finished runs next to its page: the last one of each name."""
    for spec in study.spec.get("figures", []):
        if "run" in spec:
            files = sorted((study.runs_folder / spec["run"] / "figures").glob(f"{spec['figure']}/*.png"))
            if files:
                compress(files[-1], study.folder / figure_name(spec))


def compress(source: Path, target: Path) -> None:
    """Save a PNG with a palette and a limited width."""
    from PIL import Image

    image = Image.open(source).convert("RGB")
    if image.width > MAX_WIDTH:
        image = image.resize((MAX_WIDTH, round(image.height * MAX_WIDTH / image.width)), Image.Resampling.LANCZOS)
    image.quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


def save_plot(study: Study, spec: Mapping[str, Any]) -> str | None:
    """Plot lines over the runs of a sweep, or a metric during the training of several runs, and return the file name.

    Args:
        study: the study.
        spec: `name` of the file, `title`, `x` and `y` (label), and the keys of `sweep_lines` or of `time_lines`.
    """
    from autoencoders.figures.files import render_figure
    from autoencoders.figures.line_plot import line_plot

    lines = time_lines(study, spec) if "curve" in spec else sweep_lines(study, spec)
    if not lines:
        return None
    figure = line_plot(lines, spec["title"], spec["x"]["label"], spec["y"])
    file = study.folder / f"{spec['name']}.png"
    file.write_bytes(render_figure(figure))
    compress(file, file)
    return file.name


def time_lines(study: Study, spec: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the values of a metric over the minutes of training, and constant lines for the baselines.

    Args:
        study: the study.
        spec: `curve` (metric in the history), `runs` (name -> run) and optionally `baselines` (name -> `run` and `key`)
            and `times`, a factor.
    """
    import numpy as np

    factor, lines = spec.get("times", 1), {}
    for name, run in spec["runs"].items():
        for results in study.select(run):
            minutes = results.record["training_seconds"] / results.record["epochs"] / 60
            points = [(epoch * minutes, value * factor, 0.0) for epoch, value in results.history[spec["curve"]]]
            lines[name] = np.array(points)
    end = max((line[-1, 0] for line in lines.values()), default=0.0)
    for name, baseline in spec.get("baselines", {}).items():
        number = study.number(baseline)
        if number is not None:
            lines[name] = np.array([(minute, number.mean * factor, 0.0) for minute in (0.0, end)])
    return lines


def sweep_lines(study: Study, spec: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return means over seeds with standard errors, for the runs of a sweep.

    Args:
        study: the study.
        spec: `over` (runs or patterns), `x` (`key`), `lines` (name -> key), and optionally `times`, a factor.
    """
    import numpy as np

    lines = {}
    for name, key in spec["lines"].items():
        points = []
        for run in spec["over"]:
            x, y = study.number({"run": run, "key": spec["x"]["key"]}), study.number({"run": run, "key": key})
            if x is not None and y is not None:
                points.append((x.mean, y.mean * spec.get("times", 1), 0.0 if math.isnan(y.error) else y.error))
        if points:
            lines[name] = np.array(sorted(points))
    return lines
