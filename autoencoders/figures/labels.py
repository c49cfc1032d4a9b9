"""Placement of text labels next to points, so that the labels do not overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from autoencoders.figures.style import LABEL_SIZE, MUTED_COLOR, PLAIN, TEXT_COLOR, plain_text

DISTANCES = (8, 14, 22, 32, 44, 58)
"""Tried distances between a label and its point, in points."""
DIRECTIONS = [math.radians(angle) for angle in (45, -45, 135, -135, 0, 180, 90, -90)]
"""Tried directions from the point to its label."""
LEADER_DISTANCE = 20
"""Labels at this distance in points or farther have a line to their point."""


def place_labels(
    axes: Axes, points: np.ndarray, names: Sequence[str], *, centered: bool = False, weight: str = "normal"
) -> list[Annotation]:
    """Write names next to points. Of several positions, each label takes the first one without an overlap.

    A label overlaps if it covers another label, a point, or the edge of the axes. If all positions overlap, the label
    takes the position with the fewest overlaps. Call this after the layout and the limits of the axes are final.

    Args:
        axes: axes with the points.
        points: (N, 2) positions in data coordinates.
        names: N labels. An empty label is left out.
        centered: whether a label may lie on its own point.
        weight: font weight of the labels.
    """
    scale = axes.figure.dpi / 72
    pixels = axes.transData.transform(points)
    placed: list[Bbox] = []
    annotations = []
    for i, name in enumerate(names):
        if not name:
            continue
        label = axes.annotate(
            plain_text(name), tuple(points[i]), xytext=(0, 0), textcoords="offset points", ha="center", va="center",
            fontsize=LABEL_SIZE, color=TEXT_COLOR, weight=weight, zorder=10,
            path_effects=[patheffects.withStroke(linewidth=2.5, foreground="white")], **PLAIN,
        )  # fmt: skip
        box = label.get_window_extent()
        obstacles = np.delete(pixels, i, axis=0) if centered else pixels
        offsets = [(0.0, 0.0)] if centered else []
        offsets += [_offset(box, scale, distance, angle) for distance in DISTANCES for angle in DIRECTIONS]
        boxes = [box.translated(x * scale, y * scale) for x, y in offsets]
        costs = [_overlaps(candidate, placed, obstacles, axes.bbox) for candidate in boxes]
        best = costs.index(min(costs))
        label.set_position(offsets[best])
        placed.append(boxes[best].padded(1))
        if best and math.hypot(*offsets[best]) - math.hypot(box.width, box.height) / 2 / scale > LEADER_DISTANCE:
            axes.annotate("", tuple(points[i]), xytext=offsets[best], textcoords="offset points",
                          arrowprops={"arrowstyle": "-", "lw": 0.6, "color": MUTED_COLOR})  # fmt: skip
        annotations.append(label)
    return annotations


def _offset(box: Bbox, scale: float, distance: float, angle: float) -> tuple[float, float]:
    """Return the center of a label in points, relative to its point, for a distance between point and label."""
    return (
        math.cos(angle) * (distance + box.width / 2 / scale),
        math.sin(angle) * (distance + box.height / 2 / scale),
    )


def _overlaps(box: Bbox, placed: Sequence[Bbox], points: np.ndarray, inside: Bbox) -> int:
    """Return the number of labels and points that a label covers, plus the number of edges of the axes it crosses."""
    covered = sum(box.contains(x, y) for x, y in points)
    crossed = (box.x0 < inside.x0) + (box.x1 > inside.x1) + (box.y0 < inside.y0) + (box.y1 > inside.y1)
    return box.count_overlaps(placed) + covered + crossed
