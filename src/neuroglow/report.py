"""One self-contained HTML page: the report of a verb for a person to read.

Pictures, styles and a small script are embedded and nothing is fetched: the file can be
mailed, and will open in ten years. Light or dark like the reader's system, or by a button;
printed, it is light. Without scripts only the sliders are missing. Charts are drawn with
matplotlib, without its global state.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroglow.files.writing import appearing, as_utf8
from neuroglow.pictures.stack import Stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "Page", "figure_png", "is_page", "new_figure"]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F")
"""Colours that a colour-blind person can tell apart (Okabe and Ito, 2008)."""

INK = "#010203"
"""Stands in a chart for the colour of the page's text, which is dark or light."""


class Page:
    """A page that is built part by part; every text is escaped.

    >>> page = Page("Scores").paragraph("F1 > 0.9").table([{"volume": "a", "F1": 0.9312}])
    >>> "F1 &gt; 0.9" in page.html() and "0.931" in page.html()
    True
    """

    def __init__(self, title: str, definitions: Mapping[str, str] | None = None) -> None:
        """Begin a page. definitions: of terms that tables name, shown where they stand."""
        self.title = title
        self.definitions = dict(definitions or {})
        self._used: dict[str, str] = {}
        self._parts: list[str] = []

    def verdict(self, text: str) -> Page:
        """Say what it comes to: the first thing on a page."""
        return self._add(f'<p class="verdict">{html.escape(text)}</p>')

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
        return self._add(self._table(rows, caption))

    def picture(self, png: bytes, caption: str, *, title: str = "") -> Page:
        """Add a PNG with its title and caption, which are also its alternative text."""
        data = base64.b64encode(png).decode()
        alt = html.escape(f"{title}: {caption}" if title else caption)
        image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
        return self._add(_figure(image, title, caption))

    def chart(self, figure: Figure, caption: str, *, title: str = "") -> Page:
        """Add a chart as a drawing in the page's text colour, dark or light."""
        alt = html.escape(f"{title}: {caption}" if title else caption)
        drawing = _svg(figure).replace("<svg ", f'<svg role="img" aria-label="{alt}" ', 1)
        return self._add(_figure(drawing, title, caption))

    def stack(self, stack: Stack, caption: str, *, title: str) -> Page:
        """Add a volume as slabs, with a slider of planes, and one of the threshold."""
        return self._add(_stack_figure(stack, title, caption))

    def details(self, summary: str, rows: Sequence[Mapping[str, Any]], caption: str = "") -> Page:
        """Add a table that is folded until opened."""
        table = self._table(rows, caption) if rows else "<p>nothing</p>"
        return self._add(f"<details><summary>{html.escape(summary)}</summary>{table}</details>")

    def settings(self, command: str, settings: Mapping[str, Any]) -> Page:
        """Close with the command that repeats the run, and all its settings."""
        self.heading("Repeat this run").command(command)
        rows = [
            {"setting": name, "value": "-" if v in (None, "") else str(v)}
            for name, v in settings.items()
        ]
        return self.details("Settings", rows)

    def html(self) -> str:
        """Return the page."""
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self.title)}</title><style>{_asset('report.css')}</style></head>"
            f"<body><header><h1>{html.escape(self.title)}</h1>"
            '<button type="button" hidden>Dark</button></header>'
            f"<main>{''.join(self._parts)}{self._glossary()}</main>"
            f"<script>{_asset('report.js')}</script></body></html>\n"
        )

    def write(self, path: Path) -> Path:
        """Write the page; it appears completely or not at all. Raises WriteError."""
        with appearing(path) as partial:
            partial.write_bytes(as_utf8(self.html()))
        return path

    def _add(self, part: str) -> Page:
        self._parts.append(part)
        return self

    def _table(self, rows: Sequence[Mapping[str, Any]], caption: str) -> str:
        words = {name: any(_is_prose(row.get(name)) for row in rows) for name in rows[0]}
        first = next(iter(rows[0]))
        words[first] |= any(isinstance(row.get(first), str) for row in rows)  # names
        head = "".join(_cell("th", self._term(str(name)), words=words[name]) for name in rows[0])
        body = "".join(
            "<tr>"
            + "".join(
                _cell("td", self._value(row.get(name)), words=words[name]) for name in rows[0]
            )
            + "</tr>"
            for row in rows
        )
        title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        return (
            f'<div class="wide"><table>{title}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _term(self, text: str) -> str:
        """Write a word; one that is defined shows its definition, and leads to it."""
        meaning = self.definitions.get(text)
        if meaning is None:
            return html.escape(text)
        self._used[text] = meaning
        tip = html.escape(meaning)
        return f'<a class="term" href="#{_anchor(text)}" title="{tip}">{html.escape(text)}</a>'

    def _value(self, value: Any) -> str:
        """Write a value: a colour as a swatch, a word that is defined as a term."""
        if isinstance(value, tuple):
            return f'<i class="swatch" style="background:rgb{value}"></i>'
        return self._term(value) if isinstance(value, str) else html.escape(_shown(value))

    def _glossary(self) -> str:
        if not self._used:
            return ""
        entries = "".join(
            f'<dt id="{_anchor(term)}">{html.escape(term)}</dt><dd>{html.escape(meaning)}</dd>'
            for term, meaning in self._used.items()
        )
        return f"<h2>Definitions</h2><dl>{entries}</dl>"


def is_page(path: Path, title: str) -> bool:
    """Tell whether a file is a page with this title."""
    begins = Page(title).html().partition("<style>")[0].encode()
    try:
        with path.open("rb") as file:
            return file.read(len(begins)) == begins
    except OSError:
        return False


def new_figure(*, width: float = 8, height: float = 4) -> Figure:
    """Make an empty figure; sizes in inches. Draw on `figure.subplots()`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def figure_png(figure: Figure) -> bytes:
    """Return a figure as PNG; the same figure, the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


@lru_cache
def _asset(name: str) -> str:
    return (files("neuroglow") / name).read_text(encoding="utf-8")


def _anchor(term: str) -> str:
    return "term-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def _figure(inside: str, title: str, caption: str) -> str:
    head = f"<strong>{html.escape(title)}</strong>" if title else ""
    return f"<figure>{head}{inside}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _svg(figure: Figure) -> str:
    """Return a figure as SVG in the page's text colour; equal figures give equal text."""
    from matplotlib import rc_context

    _ink(figure)
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "neuroglow", "svg.fonttype": "none"}):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    text = buffer.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # an HTML page knows them
    return re.sub(r"\n\s*", " ", text).replace(INK, "currentColor")


def _ink(figure: Figure) -> None:
    """Give lines and text of the axes the page's text colour; legends without background."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_color() in ("black", "k"):
            text.set_color(INK)
    for axes in figure.axes:
        axes.tick_params(which="both", color=INK, labelcolor=INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(INK)
        if legend := axes.get_legend():
            legend.get_frame().set_alpha(0)


def _stack_figure(stack: Stack, title: str, caption: str) -> str:
    """Write a stack: its canvas, scale bar, sliders, keys, and its slabs as data."""
    slabs = json.dumps(stack.slabs).replace("</", "<\\/")
    height, width = stack.pixels
    bar = f'<div class="bar" style="width:{100 * stack.bar.pixels / width:.4f}%">{stack.bar}</div>'
    controls = ""
    if len(stack.slabs) > 1:
        last = len(stack.slabs) - 1
        controls += _slider(
            "planes", f'min="0" max="{last}" step="1" value="{last // 2}"', "planes"
        )
    if stack.threshold is not None:
        at = f'min="0.02" max="1" step="0.01" value="{stack.threshold:.2f}"'
        controls += _slider("threshold", at, "threshold")
    words = html.escape(stack.over)
    controls += f'<label><input type="checkbox" name="over" checked> show {words}</label>'
    keys = "".join(
        f'<span class="key"><i style="background:rgb{colour}"></i>{html.escape(name)}</span>'
        for name, colour in stack.keys.items()
    )
    alt = html.escape(f"{title}: {caption}")
    return (
        f'<figure class="stack" hidden><strong>{html.escape(title)}</strong>'
        f'<canvas width="{width}" height="{height}" role="img" aria-label="{alt}"></canvas>{bar}'
        f"<div>{keys}</div>{controls}<figcaption>{html.escape(caption)}</figcaption>"
        f'<script type="application/json">{slabs}</script></figure>'
    )


def _slider(name: str, values: str, words: str) -> str:
    return (
        f'<label><span>{words}</span><input type="range" name="{name}" {values}>'
        "<output></output></label>"
    )


def _is_prose(value: Any) -> bool:
    """Return whether a value is prose, which is aligned left, and not a number."""
    return isinstance(value, str) and value.count(" ") > 3


def _cell(kind: str, content: str, *, words: bool) -> str:
    return f'<{kind} class="words">{content}</{kind}>' if words else f"<{kind}>{content}</{kind}>"


def _shown(value: Any) -> str:
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return "-"
        return _number(float(value))
    return "-" if value is None else str(value)


def _number(value: float) -> str:
    """Write a number with about three digits that count."""
    size = abs(value)
    if size >= 1000 or (size >= 10 and value == int(value)):
        return f"{value:,.0f}"
    if 0.000005 < size < 0.0005:
        return f"{value:.5f}"
    return f"{value:.{3 if size < 10 else 2 if size < 100 else 1}f}"
