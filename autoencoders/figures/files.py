"""Options for the files of figures, and conversion of figures to PNG, PDF and SVG files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from autoencoders.figures.style import CAPTION_ID, TITLE_ID
from autoencoders.types import UserError
from autoencoders.utils.atomic import atomic_write

# Without a creation date and with fixed ids, the same figure always gives the same file.
METADATA: dict[str, dict[str, None]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""Format -> arguments for the metadata of the file."""
SETTINGS: Any = {"svg.hashsalt": "autoencoders", "pdf.fonttype": 42}
"""Settings of matplotlib. Font type 42 embeds TrueType fonts, which publishers require."""
MAX_DPI = 1200


@dataclass(frozen=True)
class FigureOptions:
    """Options for the files of figures.

    Args:
        format: `png`, `pdf` or `svg`. A PNG file is always written, because loggers, reports and animations use it.
        dpi: resolution of PNG files and of images in PDF and SVG files, in dots per inch.
        title: whether figures have a title and a caption.

    Raises:
        UserError: if an option is not valid.
    """

    format: str = "png"
    dpi: int = 100
    title: bool = True

    def __post_init__(self) -> None:
        if self.format not in METADATA:
            raise UserError(f"figures.format must be png, pdf or svg, got {self.format!r}.")
        if not 1 <= self.dpi <= MAX_DPI:
            raise UserError(f"figures.dpi must be an integer between 1 and {MAX_DPI}, got {self.dpi}.")

    @classmethod
    def from_config(cls, node: Mapping[str, Any] | None) -> FigureOptions:
        """Return the options in a config node, or the default options for None."""
        return cls(**{name: value for name, value in (node or {}).items() if name != "_target_"})


def render_figure(figure: Figure, format_name: str = "png", dpi: int = 100, title: bool = True) -> bytes:
    """Return the content of the file of a figure.

    Args:
        figure: figure to convert.
        format_name: `png`, `pdf` or `svg`.
        dpi: resolution in dots per inch.
        title: whether to show title and caption. Without them, the file is cropped to the rest of the figure.
    """
    if not title:
        for artist in figure.findobj(lambda artist: artist.get_gid() in (TITLE_ID, CAPTION_ID)):
            artist.set_visible(False)
    stream = io.BytesIO()
    with rc_context(SETTINGS):
        figure.savefig(
            stream, format=format_name, dpi=dpi, metadata=METADATA[format_name], bbox_inches=None if title else "tight"
        )
    return stream.getvalue()


def save_figure(figure: Figure, png: Path, options: FigureOptions) -> Path:
    """Save a figure as a PNG file and, if the options select another format, also in this format next to it.

    Args:
        figure: figure to save.
        png: path of the PNG file.
        options: format, resolution and title.

    Returns:
        The path of the file in the selected format.
    """
    for name in dict.fromkeys(("png", options.format)):
        with atomic_write(png.with_suffix(f".{name}")) as partial:
            partial.write_bytes(render_figure(figure, name, options.dpi, options.title))
    return png.with_suffix(f".{options.format}")
