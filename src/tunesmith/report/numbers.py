"""Numbers as the card writes them."""

from __future__ import annotations

import math

from ..eval.compare import Difference, Interval


def number(value: float | None, percent: bool = False, sign: str = "", unit: str = " %") -> str:
    """Return a number with four digits that count, or as a share with one decimal; a dash for what is none."""
    if value is None or not math.isfinite(value):
        return "–"
    large = abs(value)
    form = ".1f" if percent else ",.4g" if large < 1e4 else ",.0f" if large < 1e7 else ".3e"
    shown = format(100 * value if percent else value, sign + form)
    return shown.replace("-", "−") + (unit if percent else "")


def short(value: float | None, percent: bool = False) -> str:
    """Return a number with three digits that count, or as a whole number of percent."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.0%}".replace("%", " %") if percent else f"{value:,.3g}"


def bracket(one: Interval, percent: bool = False, sign: str = "") -> str:
    """Return the interval of a figure; nothing where there is none."""
    if not (math.isfinite(one.low) and math.isfinite(one.high)):
        return ""
    return f"[{number(one.low, percent, sign, '')}, {number(one.high, percent, sign, '')}]"


def beyond(gap: Difference) -> bool:
    """Tell whether 0 lies outside the interval of a difference."""
    return gap.interval.low > 0 or gap.interval.high < 0


def duration(seconds: float) -> str:
    """Return a time in the two units that fit."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def memory(value: float) -> str:
    """Return bytes in MiB or GiB."""
    return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:,.0f} MiB"
