"""How sure a figure is, and a difference of two: bootstrap over the rows, and McNemar's test for right and wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .measure import Floats, Measure

RESAMPLES, SURE = 1000, 0.95
_CHUNK = 2**23  # numbers that are drawn at once


@dataclass(frozen=True)
class Interval:
    """A figure and where 95 % of its resamples lie; NaN where there is nothing to take it over."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """What a baseline has less than the model, with its interval; `p` as the share of resamples beyond 0, two-sided.

    `won` rows are right in the model alone, `lost` ones in the baseline alone; `p_exact` is McNemar's exact test of
    these. They are None where rows are not simply right or wrong.
    """

    interval: Interval
    p: float
    won: int | None = None
    lost: int | None = None
    p_exact: float | None = None


def resampled(measure: Measure, seed: int) -> Floats:
    """Return the figure over `RESAMPLES` samples of as many rows, drawn with replacement (Efron 1979).

    Which rows are drawn depends on their number and the seed alone: two models are taken over the same samples.
    """
    rows, draw = len(measure.parts), np.random.default_rng(seed)
    size = max(1, _CHUNK // max(rows, 1))
    found: list[float] = []
    for start in range(0, RESAMPLES, size):
        count = min(size, RESAMPLES - start)
        drawn = draw.integers(0, max(rows, 1), size=(count, rows)) + np.arange(count)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows).astype(np.float64)
        found += [measure.score(sums) for sums in (weights @ measure.parts).tolist()]
    return np.array(found)


def interval(value: float, samples: Floats) -> Interval:
    """Return a figure with the percentile interval of its resamples."""
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(samples, [(1 - SURE) / 2, (1 + SURE) / 2])
    return Interval(value, float(low), float(high))


def difference(model: Measure, baseline: Measure, gaps: Floats) -> Difference:
    """Compare two models on the same rows, in the same order; `gaps`: model minus baseline, resample by resample."""
    gaps = gaps[np.isfinite(gaps)]
    beyond = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (len(gaps) + 1)) if len(gaps) else math.nan
    found = interval(model.value - baseline.value, gaps)
    if not model.yes_no:
        return Difference(found, p)
    counted = (model.parts[:, 1] > 0) & (baseline.parts[:, 1] > 0)
    ours, theirs = model.parts[counted, 0] > 0, baseline.parts[counted, 0] > 0
    won, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    return Difference(found, p, won, lost, mcnemar(won, lost))


def mcnemar(won: int, lost: int) -> float:
    """Return the two-sided p of McNemar's exact test: a fair coin, thrown won + lost times, is as uneven as this."""
    total = won + lost
    tail, term = 0, 1
    for k in range(min(won, lost) + 1):
        tail += term
        term = term * (total - k) // (k + 1)
    return min(1.0, float(2 * tail / 2**total)) if total < 1000 else _many(won, lost)


def _many(won: int, lost: int) -> float:
    """Return the same by the normal distribution, with the continuity correction: exact enough from 1,000 throws on."""
    return math.erfc(max(abs(won - lost) - 1, 0) / math.sqrt(won + lost) / math.sqrt(2))
