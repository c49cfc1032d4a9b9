"""The pictures in the folders of runs: the last of every kind, as it is."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from autoencoders.reports.run_folder import RunFolder, own
from autoencoders.types import UserError

FIRST, LAST = ("reconstructions", "samples", "latents", "latents_tsne"), ("curves",)
"""Kinds that a page begins and ends with; the others stand between, by name."""

ENDS = {".png": b"IEND\xaeB`\x82", ".gif": b";"}
"""Last bytes of a file that is whole: others are still being written, or were cut short."""

SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"GIF87a": "image/gif", b"GIF89a": "image/gif"}


@dataclass
class Picture:
    """A picture with its caption.

    Attributes:
        content: the bytes of the file.
        media: its media type.
        size: width and height in pixels.
        caption: what it is of.
        detail: more about it.
        path: where it lies; None where the report drew it.
    """

    content: bytes
    media: str
    size: tuple[int, int]
    caption: str
    detail: str = ""
    path: Path | None = None


@dataclass
class Group:
    """Pictures of one kind, side by side; `large` ones want half of a page at least."""

    title: str
    pictures: list[Picture] = field(default_factory=list)
    large: bool = False

    @property
    def wide(self) -> bool:
        """Whether the pictures are two in a row of a page rather than three."""
        return self.large or any(picture.size[0] > 2 * picture.size[1] for picture in self.pictures)


def galleries(
    runs: Sequence[RunFolder], kinds: Sequence[str] | None, megabytes: float, whole: bool = False
) -> tuple[list[Group], list[str]]:
    """The last figure of every kind of every run, and what is not shown, a sentence per run.

    Args:
        runs: in order.
        kinds: names or patterns of what is shown; None: everything.
        megabytes: of one run's figures, at most.
        whole: pass over files that are still being written.

    Raises:
        UserError: where a name fits no figure of any run.
    """
    files = [last_of_each_kind(run.path / "figures", whole) for run in runs]
    known = sorted({kind for found in files for kind in found}, key=_order)
    for pattern in kinds or ():
        if not any(fnmatch(kind, pattern) for kind in known):
            raise UserError(f"No run has a figure {pattern}. They have: {', '.join(known) or 'none'}.")
    groups = {kind: Group(kind) for kind in known if kinds is None or any(fnmatch(kind, p) for p in kinds)}
    left = []
    for run, found in zip(runs, files, strict=True):
        room, without = megabytes * 1e6, []
        for kind, group in groups.items():
            picture = _read(found[kind], run) if kind in found else None
            if picture is None:
                without += [f"{kind}, which cannot be read"] if kind in found else []
            elif len(picture.content) > room:
                without.append(f"{kind} ({len(picture.content) / 1e6:.1f} MB)")
            else:
                room -= len(picture.content)
                group.pictures.append(picture)
        if without:
            left.append(f"Not on this page, of {run.label}: {', '.join(without)}.")
    return [group for group in groups.values() if group.pictures], left


def last_of_each_kind(root: Path, whole: bool = False) -> dict[str, Path]:
    """Kind, such as `reconstructions` or `sample/nearest` -> the file of its last step (that is whole), or its film."""
    found: dict[str, Path] = {}
    files = own(root.parent, root.glob("*/**/*.png"))
    for file in sorted(files, key=lambda file: (len(file.stem), file.stem), reverse=True):
        kind = file.parent.relative_to(root).as_posix()
        if kind not in found and (not whole or _whole(file)):
            found[kind] = file
    films = {
        f"{file.relative_to(root).with_suffix('').as_posix()}, moving": file
        for file in own(root.parent, root.rglob("*.gif"))
    }
    return found | {kind: film for kind, film in films.items() if not whole or _whole(film)}


def _whole(file: Path) -> bool:
    end = ENDS[file.suffix]
    try:
        with file.open("rb") as stream:
            stream.seek(-min(len(end), file.stat().st_size), 2)
            return stream.read() == end
    except OSError:
        return False


def _order(kind: str) -> tuple:
    first = FIRST.index(kind) if kind in FIRST else len(FIRST)
    return (kind in LAST, kind.endswith("moving"), first, kind)


def _read(file: Path, run: RunFolder) -> Picture | None:
    try:
        content = file.read_bytes()
    except OSError:
        return None
    size = size_of(content)
    if size is None:
        return None
    media = next(media for signature, media in SIGNATURES.items() if content.startswith(signature))
    step = f"step {int(file.stem):,}" if file.stem.isdigit() else ""
    return Picture(content, media, size, run.label, ", ".join(filter(None, (run.setting, step))), file)


def size_of(content: bytes) -> tuple[int, int] | None:
    """Width and height from the head of a PNG (its first chunk is IHDR) or GIF file; None where it is neither."""
    signature = next((s for s in SIGNATURES if content.startswith(s)), None)
    if signature is None or len(content) < 24:
        return None
    if SIGNATURES[signature] == "image/gif":
        return struct.unpack("<HH", content[6:10])
    return struct.unpack(">II", content[16:24])
