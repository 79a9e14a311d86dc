"""Measure: a figure over many rows, kept as what each row adds to it, so that it can be taken over any sample of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ratio(sums: Sequence[float]) -> float:
    """Return the first sum over the second; NaN where there is nothing."""
    return sums[0] / sums[1] if sums[1] else math.nan


def exp_ratio(sums: Sequence[float]) -> float:
    """Return e to the first sum over the second; NaN where there is nothing."""
    mean = ratio(sums)
    return math.inf if mean > 700 else math.exp(mean)


@dataclass(frozen=True)
class Measure:
    """`parts` (rows, k): what each row adds; `score` makes the figure of their sums.

    `yes_no`: each row is right or wrong (1 or 0, and 1 where it counts). `percent`: how it is shown. `about` says what
    it is, in a few words.
    """

    name: str
    parts: Floats
    score: Callable[[Sequence[float]], float] = ratio
    yes_no: bool = False
    percent: bool = False
    about: str = ""

    @property
    def value(self) -> float:
        """The figure over all rows."""
        return self.score(self.parts.sum(axis=0).tolist())

    @property
    def count(self) -> int:
        """The number of rows that it is taken over."""
        return int((self.parts[:, -1] > 0).sum()) if self.score is ratio else len(self.parts)


def mean_of(values: Sequence[float | bool | None]) -> Floats:
    """Return the parts of a mean; rows with None do not count."""
    return np.array([(0.0, 0.0) if value is None else (float(value), 1.0) for value in values]).reshape(-1, 2)


def stack(rows: Iterable[Sequence[float]], size: int) -> Floats:
    """Return rows of `size` numbers as an array, which may have no row."""
    return np.array(list(rows), np.float64).reshape(-1, size)
