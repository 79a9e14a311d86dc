"""A picture of a comparison: samples/s and peak memory of each side, relative to the plain recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .figures import ratio
from .lineup import OWN, PLAIN
from .report import Compared

COLOURS = ("#9ca3af", "#cbd5e1", "#f59e0b", "#10b981", "#8b5cf6", "#ec4899")
OWN_COLOUR = "#2563eb"


def draw(path: Path, comparisons: Sequence[Compared]) -> None:
    """Draw two panels, cases side by side in each, into a PNG or SVG file."""
    # The object interface, not pyplot: no global state, no window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(one.side.name for compared in comparisons for one in compared.figures))
    colours = dict(zip([name for name in names if name != OWN], COLOURS, strict=False)) | {OWN: OWN_COLOUR}
    figure = Figure(figsize=(max(7.0, 2.6 * len(comparisons)), 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels: Any = figure.subplots(2, 1)
    titles = ("Samples a second, relative to the plain recipe", "Peak memory, relative to the plain recipe")
    for axes, title, name in zip(panels, titles, ("samples", "peak"), strict=True):
        for place, compared in enumerate(comparisons):
            plain, width = compared.of(PLAIN), 0.8 / len(names)
            for number, side in enumerate(names):
                found = compared.of(side)
                value = ratio(getattr(found, name), getattr(plain, name)) if found is not None else None
                if value is None:
                    continue
                at = place - 0.4 + (number + 0.5) * width
                label = side if place == 0 else None
                axes.bar(at, value, width * 0.92, color=colours[side], label=label)
                axes.annotate(f"{value:.2f}", (at, value), ha="center", va="bottom", fontsize=7)
        axes.axhline(1, color="#6b7280", linewidth=0.8, linestyle="--")
        axes.set_xticks(range(len(comparisons)), [compared.case.name for compared in comparisons])
        axes.set_title(title, loc="left", fontsize=10)
        axes.grid(alpha=0.25, axis="y")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(y=0.12)
    bars, labels = panels[0].get_legend_handles_labels()
    figure.legend(bars, labels, loc="outside lower center", frameon=False, fontsize=8, ncols=len(names))
    figure.savefig(path, dpi=120)
