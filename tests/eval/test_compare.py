"""Intervals cover what they should, differences are paired, and the exact test is the binomial one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tunesmith.eval.compare import RESAMPLES, Difference, Interval, difference, interval, mcnemar, resampled
from tunesmith.eval.measure import Measure, mean_of


def sure(measure: Measure) -> Interval:
    return interval(measure.value, resampled(measure, seed=0))


def apart(model: Measure, baseline: Measure) -> Difference:
    return difference(model, baseline, resampled(model, seed=0) - resampled(baseline, seed=0))


def rights(share: float, rows: int, seed: int) -> Measure:
    draws = np.random.default_rng(seed).random(rows) < share
    return Measure("right", mean_of(draws.tolist()), yes_no=True)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    found = [sure(rights(0.3, 80, seed)) for seed in range(100)]
    covered = sum(one.low <= 0.3 <= one.high for one in found)
    assert 86 <= covered <= 100
    width = sum(one.high - one.low for one in found) / len(found)
    assert width == pytest.approx(2 * 1.96 * math.sqrt(0.3 * 0.7 / 80), rel=0.1)  # the normal approximation


def test_the_same_seed_draws_the_same_rows() -> None:
    measure = rights(0.5, 50, 1)
    assert (resampled(measure, 3) == resampled(measure, 3)).all()
    assert (resampled(measure, 3) != resampled(measure, 4)).any()
    assert len(resampled(measure, 3)) == RESAMPLES


def test_pairing_finds_what_two_intervals_do_not() -> None:
    base = (np.random.default_rng(0).random(200) < 0.5).tolist()
    better = [*([True] * 200)]
    for row in range(200):
        better[row] = base[row] or row % 20 == 0
    ours, theirs = (Measure("right", mean_of(one), yes_no=True) for one in (better, base))
    assert sure(ours).low < sure(theirs).high
    found = apart(ours, theirs)
    won = sum(a and not b for a, b in zip(better, base, strict=True))
    assert (found.won, found.lost) == (won, 0)
    assert found.interval.low > 0 and found.p < 0.05
    assert found.p_exact == pytest.approx(2 * 0.5**won)
    assert apart(theirs, ours).interval.value == -found.interval.value


def test_the_same_model_does_not_differ() -> None:
    found = apart(rights(0.5, 50, 1), rights(0.5, 50, 1))
    assert (found.interval.value, found.p, found.won, found.lost, found.p_exact) == (0, 1, 0, 0, 1)


def test_a_mean_of_other_numbers_has_no_exact_test() -> None:
    ours, theirs = (Measure("f", mean_of([0.5 + shift, 0.25, 0.75])) for shift in (0.1, 0.0))
    assert apart(ours, theirs).p_exact is None


# Twice the sum of the binomial coefficients up to the smaller number, over 2**(won + lost).
@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 0.0625),
        (8, 2, 0.109375),
        (3, 3, 1.0),
        (15, 5, 2 * (1 + 20 + 190 + 1140 + 4845 + 15504) / 2**20),
    ],
)
def test_mcnemar(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == mcnemar(lost, won) == pytest.approx(p)


def test_mcnemar_of_many_rows_goes_on_where_the_exact_sum_ends() -> None:
    assert mcnemar(530, 470) == pytest.approx(mcnemar(530, 469), rel=0.1)


def test_nothing_to_compare() -> None:
    none = Measure("none", mean_of([None, None]), yes_no=True)
    assert math.isnan(sure(none).low)
    assert math.isnan(apart(none, none).p)
    assert math.isnan(sure(Measure("none", mean_of([]))).value)
