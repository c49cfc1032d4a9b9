"""Read the figures in run folders. For each kind of figure, the file with the highest optimizer step is read."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from autoencoders.reports.run_folder import RunFolder, files_inside
from autoencoders.types import UserError

FIRST_KINDS, LAST_KINDS = ("reconstructions", "samples", "latents", "latents_tsne"), ("loss_curves",)
"""Kinds of figures at the beginning and at the end of a page. All other kinds are between them, sorted by name."""

ANIMATION_SUFFIX = ", moving"
"""Suffix in the kind of a figure that is an animation, such as `samples, moving`."""

FILE_ENDS = {".png": b"IEND\xaeB`\x82", ".gif": b";"}
"""File suffix -> last bytes of a complete file. A file that does not end in these bytes is still being written."""

SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"GIF87a": "image/gif", b"GIF89a": "image/gif"}
"""First bytes of an image file -> media type."""

DEFAULT_DPI, PAGE_DPI, MIN_DPI = 100, 100, 72
"""Resolution of a file that does not contain its resolution, and largest and smallest resolution on an HTML page, in
pixels per inch. The smallest text of a figure has 8 points, which are 8 pixels at 72 pixels per inch."""
MAX_INCHES = 32
"""Width in inches above which a page does not limit the reduction of a figure."""


@dataclass
class Picture:
    """A figure of a report: an image file with a caption.

    Attributes:
        content: bytes of the image file.
        media_type: media type of the file, such as `image/png`.
        size: width and height in pixels.
        dpi: resolution in dots per inch.
        caption: label of the run, or the subject of the figure.
        detail: text after the caption, such as the optimizer step.
        path: path of the file in the run folder; None if the report has plotted the figure.
    """

    content: bytes
    media_type: str
    size: tuple[int, int]
    caption: str
    detail: str = ""
    path: Path | None = None
    dpi: float = DEFAULT_DPI

    @property
    def page_size(self) -> tuple[int, int]:
        """Width and height on an HTML page in CSS pixels, which do not depend on the resolution."""
        return round(self.size[0] * PAGE_DPI / self.dpi), round(self.size[1] * PAGE_DPI / self.dpi)

    @property
    def inches(self) -> int:
        """Width in inches, rounded up. A page uses it to limit the reduction of the figure; see `MIN_DPI`."""
        return math.ceil(self.size[0] / self.dpi)


@dataclass
class FigureGroup:
    """Figures of the same kind, which the report shows next to each other.

    Attributes:
        title: kind of the figures, such as `reconstructions` or `sample/nearest`.
        pictures: the figures, in the order of the runs.
        large: whether each figure needs at least half of the width of a Markdown page.
    """

    title: str
    pictures: list[Picture] = field(default_factory=list)
    large: bool = False

    @property
    def wide(self) -> bool:
        """Whether Markdown shows the figures below each other. True if a figure is large or much wider than high."""
        return self.large or any(picture.size[0] > 2 * picture.size[1] for picture in self.pictures)


def collect_figures(
    runs: Sequence[RunFolder], kinds: Sequence[str] | None, megabytes: float, complete_only: bool = False
) -> tuple[list[FigureGroup], list[str]]:
    """Read the figure with the highest optimizer step for each kind and each run.

    Args:
        runs: runs of the report.
        kinds: names or glob patterns of the kinds to read, such as `sample/*`; None for all kinds.
        megabytes: maximum total size of the figures from one run, in megabytes. Further figures are omitted.
        complete_only: whether to skip files that are still being written.

    Returns:
        One group of figures per kind, and one sentence for each run with omitted figures.

    Raises:
        UserError: if no figure in any run matches one of the `kinds`.
    """
    files = [latest_figures(run.path / "figures", complete_only) for run in runs]
    known = sorted({kind for run_files in files for kind in run_files}, key=_sort_key)
    for pattern in kinds or ():
        if not any(fnmatch(kind, pattern) for kind in known):
            raise UserError(
                f"figures must be a list of figures in the runs, but no run has a figure {pattern}. The figures in the "
                f"runs are: {', '.join(known) or 'none'}."
            )
    chosen = [kind for kind in known if kinds is None or any(fnmatch(kind, pattern) for pattern in kinds)]
    groups = {kind: FigureGroup(kind) for kind in chosen}
    omissions = []
    for run, run_files in zip(runs, files, strict=True):
        run_omissions = _add_run_figures(groups, run, run_files, megabytes * 1e6)
        if run_omissions:
            omissions.append(f"These figures of {run.label} are not shown: {', '.join(run_omissions)}.")
    return [group for group in groups.values() if group.pictures], omissions


def _add_run_figures(
    groups: dict[str, FigureGroup], run: RunFolder, files: dict[str, Path], max_bytes: float
) -> list[str]:
    """Add the figures of one run to the groups.

    Args:
        groups: kind -> group of figures, which is extended.
        run: run that contains the figures.
        files: kind -> image file.
        max_bytes: maximum total size of the figures of this run, in bytes.

    Returns:
        For each omitted figure, its kind and its size, or its kind and the reason.
    """
    omissions = []
    for kind, group in groups.items():
        if kind not in files:
            continue
        picture = _read_picture(files[kind], run)
        if picture is None:
            omissions.append(f"{kind} (cannot be read)")
        elif len(picture.content) > max_bytes:
            omissions.append(f"{kind} ({len(picture.content) / 1e6:.1f} MB, above the size limit)")
        else:
            max_bytes -= len(picture.content)
            group.pictures.append(picture)
    return omissions


def latest_figures(root: Path, complete_only: bool = False) -> dict[str, Path]:
    """Find the file with the highest optimizer step for each kind of figure, and all animations.

    Args:
        root: the folder `figures` in a run folder. Each folder in it with PNG files is a kind of figure, such as
            `reconstructions` or `sample/nearest`.
        complete_only: whether to skip files that are still being written.

    Returns:
        Kind -> PNG file, and `<kind>, moving` -> GIF file.
    """
    latest: dict[str, Path] = {}
    files = files_inside(root.parent, root.glob("*/**/*.png"))
    for file in sorted(files, key=lambda file: (len(file.stem), file.stem), reverse=True):
        kind = file.parent.relative_to(root).as_posix()
        if kind not in latest and (not complete_only or _is_complete(file)):
            latest[kind] = file
    for file in files_inside(root.parent, root.rglob("*.gif")):
        if not complete_only or _is_complete(file):
            latest[file.relative_to(root).with_suffix("").as_posix() + ANIMATION_SUFFIX] = file
    return latest


def _is_complete(file: Path) -> bool:
    end = FILE_ENDS[file.suffix]
    try:
        with file.open("rb") as stream:
            stream.seek(-min(len(end), file.stat().st_size), 2)
            return stream.read() == end
    except OSError:
        return False


def _sort_key(kind: str) -> tuple[bool, bool, int, str]:
    index = FIRST_KINDS.index(kind) if kind in FIRST_KINDS else len(FIRST_KINDS)
    return (kind in LAST_KINDS, kind.endswith(ANIMATION_SUFFIX), index, kind)


def _read_picture(file: Path, run: RunFolder) -> Picture | None:
    """Read a PNG or GIF file of a run as a figure. Return None if the file is not a readable PNG or GIF file."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    size = read_size(content)
    if size is None:
        return None
    media_type = next(media_type for signature, media_type in SIGNATURES.items() if content.startswith(signature))
    step = f"step {int(file.stem):,}" if file.stem.isdigit() else ""
    detail = ", ".join(filter(None, (run.setting, step)))
    return Picture(content, media_type, size, run.label, detail, file, read_dpi(content))


def read_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height in pixels from the header of a PNG or GIF file.

    Args:
        content: bytes of the file. In a PNG file, the first chunk (IHDR) contains the size.

    Returns:
        Width and height, or None if the content is not a PNG or GIF file.
    """
    signature = next((s for s in SIGNATURES if content.startswith(s)), None)
    if signature is None or len(content) < 24:
        return None
    if SIGNATURES[signature] == "image/gif":
        width, height = struct.unpack("<HH", content[6:10])
    else:
        width, height = struct.unpack(">II", content[16:24])
    return width, height


def read_dpi(content: bytes) -> float:
    """Return the resolution of a PNG file in dots per inch, from its chunk pHYs. Other files have `DEFAULT_DPI`."""
    position = 8
    while content.startswith(b"\x89PNG") and position + 17 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        if kind == b"pHYs":
            per_meter, _, unit = struct.unpack(">IIB", content[position + 8 : position + 17])
            return per_meter * 0.0254 if unit == 1 and per_meter else DEFAULT_DPI
        if kind == b"IDAT":
            break
        position += 12 + length
    return DEFAULT_DPI
