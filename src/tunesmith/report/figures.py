"""The curves of a run as SVG inside the page: numbers as text, colours of the style sheet, no words.

What a curve shows stands beside it in both languages, so an SVG holds axes and numbers alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..training.plot import smoothed

Series = Sequence[tuple[int, float]]
INK = {"#010203": "var(--quiet)", "#040506": "var(--line)", "#070809": "var(--first)", "#0a0b0c": "var(--second)"}
"""Colours that are drawn with, and what the style sheet calls those that are seen: they differ in light and dark."""
QUIET, LINE, FIRST, SECOND = INK
SIZE = (4.6, 2.4)
"""Inches; at 72 points an inch a phone shows a curve about as large as it is drawn."""


@dataclass(frozen=True)
class Curve:
    """What is drawn: `name` is that of the caption. `dots`: a second series, seldom measured, as points with a line.

    `smooth`: the values are drawn faint, with their moving average; `from_zero`: the axis begins at 0.
    """

    name: str
    line: Series
    dots: Series = field(default=())
    smooth: bool = False
    from_zero: bool = True
    form: Callable[[float], str] = lambda value: f"{value:,.4g}"


def draw(curve: Curve) -> str:
    """Return a curve as an SVG element without identity of its own: several stand in one page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    style = {"svg.fonttype": "none", "svg.hashsalt": curve.name, "font.size": 9, "font.family": "sans-serif"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=SIZE, layout="constrained", facecolor="none")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(facecolor="none")
        steps, values = zip(*curve.line, strict=True) if curve.line else ((), ())
        alone = "o" if len(steps) == 1 else None
        if curve.smooth:
            axes.plot(steps, values, color=FIRST, alpha=0.35, linewidth=1, marker=alone, markersize=4)
            axes.plot(steps, smoothed(values), color=FIRST, linewidth=1.8)
        else:
            axes.plot(steps, values, color=FIRST, linewidth=1.5, marker=alone, markersize=4)
        if curve.dots:
            axes.plot(*zip(*curve.dots, strict=True), color=SECOND, linewidth=1.5, marker="o", markersize=4)
        if curve.from_zero:
            axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: curve.form(value)))
        axes.tick_params(colors=QUIET, length=0)
        axes.grid(axis="y", color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _inline(stream.getvalue(), curve.name)


def _inline(text: str, name: str) -> str:
    """Return matplotlib's file as an element of the page: no prologue, metadata or style sheet, its own names, our colours."""
    text = text[text.index("<svg") :]
    for part in ("metadata", "style"):
        text = re.sub(rf"<{part}\b.*?</{part}>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", '<svg role="img" aria-hidden="true"', 1)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font-family: [^;\"]*; ", "", text)
    for drawn, seen in INK.items():
        text = text.replace(drawn, seen)
    return text.strip()
