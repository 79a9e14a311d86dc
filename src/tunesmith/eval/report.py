"""What an evaluation says: figures with intervals for every model, differences, a table, and results.json."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from .compare import Difference, Interval, difference, interval, resampled
from .desk import Outcome
from .measure import Measure

LIKELY = 0.05
"""A p below this is printed in bold."""


@dataclass(frozen=True)
class Line:
    """One figure: of every model, and for each baseline how much less it has, or None where rows cannot be compared."""

    task: str
    measure: Measure
    models: tuple[Interval, ...]
    differences: tuple[Difference | None, ...]


def lines_of(task: str, outcomes: Sequence[Outcome], seed: int) -> list[Line]:
    """Return the figures of a task; the first outcome is the model's, the others those of the baselines."""
    first, *others = outcomes
    found = []
    for place, measure in enumerate(first.measures):
        same = [measure, *(other.measures[place] for other in others)]
        samples = [resampled(one, seed) for one in same]
        gaps = tuple(
            difference(measure, one, samples[0] - drawn) if other.alike == first.alike else None
            for one, other, drawn in zip(same[1:], others, samples[1:], strict=True)
        )
        shown = tuple(interval(one.value, drawn) for one, drawn in zip(same, samples, strict=True))
        found.append(Line(task, measure, shown, gaps))
    return found


def tables(names: Sequence[str], lines: Sequence[Line]) -> Iterator[Table]:
    """Yield the figures of all models side by side, and for each baseline how the model differs from it."""
    made = Table(_column("figure"), "rows", *names)
    for line, begins in _sections(lines):
        if begins:
            made.add_section()
        cells = [_cell(one, line.measure.percent) for one in line.models]
        made.add_row(line.measure.name, f"{line.measure.count:,}", *cells)
    yield made
    for number, name in enumerate(names[1:]):
        made = Table(
            _column("figure"), "difference", "p", "won:lost", "p (McNemar)", title=f"{names[0]} minus {name}",
            title_justify="left",
        )  # fmt: skip
        for line, begins in _sections(lines):
            if begins:
                made.add_section()
            made.add_row(line.measure.name, *_gap(line.differences[number], line.measure.percent))
        yield made


def print_legend(console: Console, lines: Sequence[Line]) -> None:
    """Say what the figures are."""
    for line in lines:
        console.print(f"  {line.measure.name}: {line.measure.about}", style="dim", highlight=False, soft_wrap=True)
    text = "[ ]: 95 % of 1,000 bootstrap samples of the rows"
    if any(line.differences for line in lines):
        text += "; p: two-sided, over the same samples of both models; won:lost: rows right in one of both alone, with "
        text += "the p of McNemar's exact test"
    console.print(f"  {text}.", style="dim", highlight=False, markup=False, soft_wrap=True)


def summary(lines: Sequence[Line]) -> dict[str, dict[str, Any]]:
    """Return the figures as JSON types, by task and name."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        found.setdefault(line.task, {})[line.measure.name] = {
            "rows": line.measure.count,
            "about": line.measure.about,
            "models": [asdict(one) for one in line.models],
            "differences": [None if gap is None else asdict(gap) for gap in line.differences],
        }
    return found


def rows_of(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return every row with what each model did, side by side where the rows are the same."""
    first, *others = outcomes
    same = [first, *(other for other in others if len(other.rows) == len(first.rows))]
    return [
        {**row, "models": [other.results[number] for other in same]} if len(same) == len(outcomes) else row
        for number, row in enumerate(first.rows)
    ]


def finite(value: Any) -> Any:
    """Return JSON types with null in place of what is no number: JSON knows neither NaN nor infinity."""
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cell(one: Interval, percent: bool) -> str:
    return f"{_number(one.value, percent)} \\[{_number(one.low, percent)}, {_number(one.high, percent)}]"


def _gap(gap: Difference | None, percent: bool) -> list[str]:
    if gap is None:
        return ["other rows or tokens"]
    one = gap.interval
    found = [
        f"{_number(one.value, percent, '+')} \\[{_number(one.low, percent, '+')}, {_number(one.high, percent, '+')}]"
    ]
    exact = [] if gap.p_exact is None else [f"{gap.won}:{gap.lost}", _p(gap.p_exact)]
    return [*found, _p(gap.p), *exact]


def _column(title: str) -> Column:
    return Column(title, no_wrap=True)


def _sections(lines: Sequence[Line]) -> Iterator[tuple[Line, bool]]:
    """Yield each line, and whether another task begins with it."""
    return ((line, bool(n) and line.task != lines[n - 1].task) for n, line in enumerate(lines))


def _p(p: float) -> str:
    text = "-" if not math.isfinite(p) else f"{p:.3f}" if p >= 0.001 else "<0.001"
    return f"[bold]{text}[/bold]" if p < LIKELY else text


def _number(value: float, percent: bool, sign: str = "") -> str:
    if not math.isfinite(value):
        return "-"
    return (
        format(value, f"{sign}.1%") if percent else format(value, f"{sign},.4g" if abs(value) < 1e4 else f"{sign}.3e")
    )
