"""The loss curve of a run as PNG and SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..runs import RunFolder

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#6b7280"


def draw_loss(run: RunFolder) -> list[Path]:
    """Draw training loss (raw and smoothed), validation loss and learning rate into loss.png and loss.svg.

    Returns the files; an empty list if nothing was logged.
    """
    # The object interface, not pyplot: no global state, no window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = run.metric_lines()
    train = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    validation = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
    rates = [(line["step"], line["learning_rate"]) for line in lines if "learning_rate" in line]
    if not train:
        return []
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    steps, losses = zip(*train, strict=True)
    axes.plot(steps, losses, color=BLUE, alpha=0.3, linewidth=1, label="train")
    axes.plot(steps, smoothed(losses), color=BLUE, linewidth=2, label="train, smoothed")
    if validation:
        axes.plot(*zip(*validation, strict=True), color=ORANGE, marker="o", markersize=4, label="validation")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss per label token (nats)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    rate_axes = axes.twinx()
    rate_axes.plot(*zip(*rates, strict=True), color=GREY, linewidth=1, linestyle="--", label="learning rate")
    rate_axes.set_ylabel("learning rate", color=GREY)
    rate_axes.tick_params(axis="y", colors=GREY)
    rate_axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    rate_axes.spines[["top"]].set_visible(False)
    rate_axes.set_ylim(bottom=0)
    handles, labels = axes.get_legend_handles_labels()
    more, more_labels = rate_axes.get_legend_handles_labels()
    axes.legend(handles + more, labels + more_labels, frameon=False, loc="upper right")
    axes.set_title(f"{run.path.name}: loss", loc="left")
    files = [run.path / "loss.png", run.path / "loss.svg"]
    figure.savefig(files[0], dpi=150)
    figure.savefig(files[1])
    return files


def smoothed(values: Any, weight: float = 0.9) -> list[float]:
    """Return the exponential moving average, corrected for its start (as in Adam)."""
    average, result = 0.0, []
    for number, value in enumerate(values, 1):
        average = weight * average + (1 - weight) * value
        result.append(average / (1 - weight**number))
    return result
