"""Figures in run folders: the file of the last step of each kind, unchanged."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from autoencoders.reports.run_folder import RunFolder, files_inside
from autoencoders.types import UserError

FIRST_KINDS, LAST_KINDS = ("reconstructions", "samples", "latents", "latents_tsne"), ("loss_curves",)
"""Kinds at the beginning and at the end of a page. All other kinds are between them, sorted by name."""

ANIMATION_SUFFIX = ", moving"
"""Suffix of the kind of an animation."""

FILE_ENDS = {".png": b"IEND\xaeB`\x82", ".gif": b";"}
"""Last bytes of a complete file. A file without them is incomplete."""

SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"GIF87a": "image/gif", b"GIF89a": "image/gif"}
"""First bytes of a file -> media type."""


@dataclass
class Picture:
    """An image file with a caption.

    Attributes:
        content: bytes of the file.
        media_type: such as `image/png`.
        size: width and height in pixels.
        caption: the run, or the subject of the figure.
        detail: more text after the caption.
        path: the file, or None if the report drew the figure.
    """

    content: bytes
    media_type: str
    size: tuple[int, int]
    caption: str
    detail: str = ""
    path: Path | None = None


@dataclass
class FigureGroup:
    """Figures of one kind, shown next to each other.

    Attributes:
        title: the kind.
        pictures: in the order of the runs.
        large: whether each figure needs at least half of the page's width.
    """

    title: str
    pictures: list[Picture] = field(default_factory=list)
    large: bool = False

    @property
    def wide(self) -> bool:
        """Whether a page shows two figures per row instead of three."""
        return self.large or any(picture.size[0] > 2 * picture.size[1] for picture in self.pictures)


def collect_figures(
    runs: Sequence[RunFolder], kinds: Sequence[str] | None, megabytes: float, complete_only: bool = False
) -> tuple[list[FigureGroup], list[str]]:
    """Read the last figure of each kind from all runs.

    Args:
        runs: in order.
        kinds: names or patterns of the kinds to read; None for all.
        megabytes: largest total size of the figures of one run.
        complete_only: skip files that are still being written.

    Returns:
        The figures by kind, and one sentence per run about the figures that are left out.

    Raises:
        UserError: if no run has a figure that matches an entry of `kinds`.
    """
    files = [latest_figures(run.path / "figures", complete_only) for run in runs]
    known = sorted({kind for run_files in files for kind in run_files}, key=_sort_key)
    for pattern in kinds or ():
        if not any(fnmatch(kind, pattern) for kind in known):
            raise UserError(f"No run has a figure {pattern}. Choose from: {', '.join(known) or 'none'}.")
    chosen = [kind for kind in known if kinds is None or any(fnmatch(kind, pattern) for pattern in kinds)]
    groups = {kind: FigureGroup(kind) for kind in chosen}
    omissions = []
    for run, run_files in zip(runs, files, strict=True):
        run_omissions = _add_run_figures(groups, run, run_files, megabytes * 1e6)
        if run_omissions:
            omissions.append(f"Figures of {run.label} that are not shown: {', '.join(run_omissions)}.")
    return [group for group in groups.values() if group.pictures], omissions


def _add_run_figures(
    groups: dict[str, FigureGroup], run: RunFolder, files: dict[str, Path], max_bytes: float
) -> list[str]:
    """Add the figures of a run to the groups, up to a total size. Return descriptions of the figures left out."""
    omissions = []
    for kind, group in groups.items():
        if kind not in files:
            continue
        picture = _read_picture(files[kind], run)
        if picture is None:
            omissions.append(f"{kind} (cannot be read)")
        elif len(picture.content) > max_bytes:
            omissions.append(f"{kind} ({len(picture.content) / 1e6:.1f} MB)")
        else:
            max_bytes -= len(picture.content)
            group.pictures.append(picture)
    return omissions


def latest_figures(root: Path, complete_only: bool = False) -> dict[str, Path]:
    """Return kind -> file of its last step, and `<kind>, moving` -> animation.

    Args:
        root: the folder `figures` of a run. A kind is a folder inside it: `reconstructions`, `sample/nearest`.
        complete_only: skip files that are still being written.
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
    """Read an image file, or return None if it is not a readable PNG or GIF file."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    size = read_size(content)
    if size is None:
        return None
    media_type = next(media_type for signature, media_type in SIGNATURES.items() if content.startswith(signature))
    step = f"step {int(file.stem):,}" if file.stem.isdigit() else ""
    return Picture(content, media_type, size, run.label, ", ".join(filter(None, (run.setting, step))), file)


def read_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height from the header of a PNG (first chunk IHDR) or GIF file, or None for other content."""
    signature = next((s for s in SIGNATURES if content.startswith(s)), None)
    if signature is None or len(content) < 24:
        return None
    if SIGNATURES[signature] == "image/gif":
        width, height = struct.unpack("<HH", content[6:10])
    else:
        width, height = struct.unpack(">II", content[16:24])
    return width, height
