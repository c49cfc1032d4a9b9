"""The pictures of a study's page: those of its runs made small, and plots over them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studies import Study

WIDEST = 1000
"""Pixels of a picture in a README, across."""
COLOURS = 256
"""Of a picture's palette: a third of the bytes, and no difference that matters."""


def figure(study: Study, wanted: Mapping[str, Any]) -> str:
    """A picture of a run, or a plot over runs, made small and put beside the page; nothing where it does not exist."""
    if "plot" in wanted:
        name = plot(study, wanted["plot"])
    else:
        found = [
            path
            for folder in study.folders(wanted["run"])
            for path in (folder / "figures").glob(f"{wanted['figure']}/*.png")
        ]
        name = f"{wanted['run']}-{wanted['figure']}".replace("../", "").replace("/", "-") + ".png"
        if found:
            shrink(sorted(found)[-1], study.folder / name)
    if name is None or not (study.folder / name).is_file():
        return ""
    return f"![{wanted['caption']}]({name})\n\n*{wanted['caption']}*"


def shrink(source: Path, target: Path) -> None:
    """A picture of a palette and a limited width, from any PNG."""
    from PIL import Image

    picture = Image.open(source).convert("RGB")
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)


def plot(study: Study, told: Mapping[str, Any]) -> str | None:
    """Lines over the levels of a sweep: the means over seeds, with their standard errors."""
    import numpy as np

    from autoencoders.figures.line_plot import line_plot

    lines = {}
    for name, key in told["lines"].items():
        points = []
        for level in told["over"]:
            x, y = study.number({"run": level, "key": told["x"]["key"]}), study.number({"run": level, "key": key})
            if x is not None and y is not None:
                points.append((x.mean, y.mean * told.get("times", 1), 0.0 if math.isnan(y.error) else y.error))
        if points:
            lines[name] = np.array(sorted(points))
    if not lines:
        return None
    picture = line_plot(lines, told["title"], told["x"]["label"], told["y"])
    file = study.folder / f"{told['name']}.png"
    picture.savefig(file, dpi=100, metadata={"Software": None})
    shrink(file, file)
    return file.name
