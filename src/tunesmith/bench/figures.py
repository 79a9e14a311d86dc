"""From raw steps to figures: rates, memory and mean loss of each side, and ratios to the plain recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

from .job import Job
from .lineup import OWN, PLAIN, Side
from .models import SIZES

EXACT, ROUNDED = 1e-4, 1e-2
"""How far mean losses over the same rows may be apart, relative: in float32, and in bfloat16."""


@dataclass(frozen=True)
class Failure:
    """A side that did not get to the end: the last line of what it said, and the lines before."""

    reason: str
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Measured:
    """What one process measured: the order of its rows, each step (see `clock.py`), peak memory in bytes, versions."""

    order: list[int]
    steps: list[dict[str, float]]
    peak: int
    versions: dict[str, str]


Results = Mapping[str, Sequence[Measured | Failure]]


@dataclass(frozen=True)
class Case:
    """A data set and a model's size, and what all sides were given: a job, the GPU, the tokens of each row."""

    dataset: str
    size: str
    job: Job
    gpu: str
    tokens: list[int]

    @property
    def name(self) -> str:
        """How the case is called."""
        return f"{self.dataset} x {self.size}"

    @property
    def warm(self) -> int:
        """How many first steps do not count: fewer where there are few."""
        return min(SIZES[self.size].warm, self.job.steps - 1)

    @cached_property
    def labels(self) -> list[int]:
        """How many labels of each row are learned."""
        rows = self.job.ids
        return [rows.labels(number) for number in range(len(rows.rows))]


@dataclass(frozen=True)
class Spread:
    """The median of some repeats, the least and the most."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of some values."""
        return cls(median(values), min(values), max(values))

    def text(self, digits: int) -> str:
        """Return it in words."""
        if self.least == self.most:
            return f"{self.middle:,.{digits}f}"
        return f"{self.middle:,.{digits}f} ({self.least:,.{digits}f} to {self.most:,.{digits}f})"


@dataclass(frozen=True)
class Figures:
    """What is known of a side: rates are counted over the steps after the warm ones, peaks are in MiB.

    `loss`: mean over the labels of all rows. `same`: whether it is that of the plain recipe. `reason`: why there are no
    figures. `step`: seconds of a step; `processor_step`: processor seconds of one.
    """

    side: Side
    reason: str = ""
    samples: Spread | None = None
    labels: Spread | None = None
    peak: Spread | None = None
    step: Spread | None = None
    processor_step: Spread | None = None
    loss: float = float("nan")
    same: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)


def figures(case: Case, sides: Sequence[Side], results: Results) -> list[Figures]:
    """Return the figures of each side."""
    plain = next((one for one in results[PLAIN] if isinstance(one, Measured)), None)
    reference = _loss(case, plain) if plain is not None else None
    return [_figures(case, side, results[side.name], reference) for side in sides]


def _figures(case: Case, side: Side, found: Sequence[Measured | Failure], reference: float | None) -> Figures:
    good = [one for one in found if isinstance(one, Measured)]
    failed = [one for one in found if isinstance(one, Failure)]
    if failed or not good:
        return Figures(side, failed[0].reason if failed else "not measured")
    first = case.warm * case.job.batch_size
    seconds = [sum(step["seconds"] for step in one.steps[case.warm :]) for one in good]
    processor = [sum(step["processor_seconds"] for step in one.steps[case.warm :]) for one in good]
    labels = [sum(case.labels[row] for row in one.order[first:]) for one in good]
    counted, loss = case.job.steps - case.warm, _loss(case, good[0])
    bound = ROUNDED if case.job.bf16 or "bf16" in side.settings.values() else EXACT
    return Figures(
        side,
        samples=Spread.of([counted * case.job.batch_size / time for time in seconds]),
        labels=Spread.of([count / time for count, time in zip(labels, seconds, strict=True)]),
        peak=Spread.of([one.peak / 2**20 for one in good]),
        step=Spread.of([time / counted for time in seconds]),
        processor_step=Spread.of([time / counted for time in processor]),
        loss=loss,
        same=reference is not None and abs(loss - reference) <= bound * abs(reference),
        versions=good[0].versions,
    )


def _loss(case: Case, measured: Measured) -> float:
    """Return the mean loss over all labels: each step's mean counts as many labels as it had."""
    size, total = case.job.batch_size, 0.0
    for number, step in enumerate(measured.steps):
        rows = measured.order[number * size : (number + 1) * size]
        total += step["loss"] * sum(case.labels[row] for row in rows)
    return total / sum(case.labels)


def largest_step_difference(results: Results) -> float | None:
    """Return how far loss or gradient norm of a step of tunesmith and plain are apart, relative: None without both.

    Both take the same rows in the same batches.
    """
    sides = [[one for one in results[name] if isinstance(one, Measured)] for name in (PLAIN, OWN) if name in results]
    if len(sides) < 2 or not all(sides) or sides[0][0].order != sides[1][0].order:
        return None
    pairs = zip(sides[0][0].steps, sides[1][0].steps, strict=True)
    return max(
        abs(one[name] - other[name]) / abs(one[name]) for one, other in pairs for name in ("loss", "gradient_norm")
    )


def ratio(one: Spread | None, other: Spread | None) -> float | None:
    """Return the ratio of two medians; None where one is missing."""
    return one.middle / other.middle if one is not None and other is not None and other.middle else None
