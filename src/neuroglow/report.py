"""One self-contained HTML page: the report of train, evaluate and select for a person to read.

Pictures are embedded, no script runs and nothing is fetched: the file can be mailed, and will
open in ten years. Charts are drawn with matplotlib, without its global state.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroglow.space.volume import Array
from neuroglow.space.writing import appearing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "Page", "figure_png", "image_png", "new_figure"]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F")
"""Colours that a colour-blind person can tell apart (Okabe and Ito, 2008)."""

STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8884 }
th:first-child, td:first-child, td.words { text-align: left }
pre { padding: .7rem; background: #8882; white-space: pre-wrap; overflow-wrap: anywhere }
figure { margin: 1rem 0 } img { max-width: 100%; height: auto }
figcaption, caption { color: #777; text-align: left; font-size: .9rem }
div.wide { overflow-x: auto }
"""


class Page:
    """A page that is built part by part; every text is escaped.

    >>> page = Page("Scores").paragraph("F1 > 0.9").table([{"volume": "a", "F1": 0.9312}])
    >>> "F1 &gt; 0.9" in page.html() and "0.931" in page.html()
    True
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> Page:
        """Begin a section."""
        return self._add(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> Page:
        """Add a paragraph."""
        return self._add(f"<p>{html.escape(text)}</p>")

    def command(self, text: str) -> Page:
        """Add a command, or settings, verbatim."""
        return self._add(f"<pre>{html.escape(text)}</pre>")

    def table(self, rows: Sequence[Mapping[str, Any]], caption: str = "") -> Page:
        """Add a table, one mapping per row; the columns are those of the first row."""
        if not rows:
            return self.paragraph(f"{caption}: nothing" if caption else "nothing")
        head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
        body = "".join(
            "<tr>" + "".join(_cell(row.get(name)) for name in rows[0]) + "</tr>" for row in rows
        )
        title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        return self._add(f'<div class="wide"><table>{title}<tr>{head}</tr>{body}</table></div>')

    def picture(self, png: bytes, caption: str) -> Page:
        """Add a PNG with its caption, which is also its alternative text."""
        data, text = base64.b64encode(png).decode(), html.escape(caption)
        return self._add(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
            f"<figcaption>{text}</figcaption></figure>"
        )

    def html(self) -> str:
        """Return the page."""
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{STYLE}</style>"
            f"<body>{''.join(self._parts)}</body></html>\n"
        )

    def write(self, path: Path) -> Path:
        """Write the page; it appears completely or not at all. Raises WriteError."""
        with appearing(path) as partial:
            partial.write_text(self.html(), encoding="utf-8")
        return path

    def _add(self, part: str) -> Page:
        self._parts.append(part)
        return self


def new_figure(*, width: float = 8, height: float = 4) -> Figure:
    """Make an empty figure; sizes in inches. Draw on `figure.subplots()`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def figure_png(figure: Figure) -> bytes:
    """Return a figure as PNG; the same figure, the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def image_png(pixels: Array) -> bytes:
    """Return an image (yx or yx3, uint8) as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def _cell(value: Any) -> str:
    """Write a cell; a text of several words is aligned left."""
    text = html.escape(_shown(value))
    prose = text[:1].isalpha() and text.count(" ") > 3
    return f'<td class="words">{text}</td>' if prose else f"<td>{text}</td>"


def _shown(value: Any) -> str:
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return "-"
        return f"{value:.3f}" if abs(float(value)) < 1000 else f"{value:,.0f}"
    return "-" if value is None else str(value)
