"""Figures made into pictures of the page, small enough to stand inside it."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from analysis.pages.page import Picture
from analysis.pictures import figures

INLINE_DPI = 110  # files get more


class Drawer:
    """Makes figures into pictures of the page, and files where a folder is given."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __call__(self, figure: Figure | Iterable[Figure], name: str, title: str, *, wide: bool = False) -> Picture:
        """The picture of a figure; of several pages the first, and all of them in the files."""
        pages = iter([figure] if isinstance(figure, Figure) else figure)
        first = next(pages)
        if self.folder:
            figures.save_both([first, *pages], self.folder, name)
        return Picture(title, b64encode(smaller(figures.drawn(first, "png", INLINE_DPI))).decode(), wide)


def smaller(png: bytes) -> bytes:
    """The picture with 32 colours, which are enough for ours: about a third of the bytes."""
    made = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(32).save(made, format="png", optimize=True)
    return made.getvalue()
