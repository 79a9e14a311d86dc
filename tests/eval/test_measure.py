"""A figure over rows is that of their sums; nothing is nothing, not a mistake."""

from __future__ import annotations

import math

import numpy as np

from tunesmith.eval.measure import Measure, exp_ratio, mean_of, ratio, stack


def test_a_mean_leaves_out_rows_that_do_not_count() -> None:
    measure = Measure("right", mean_of([True, None, False, True]))
    assert measure.value == 2 / 3
    assert measure.count == 3


def test_loss_is_weighted_by_tokens() -> None:
    parts = stack([(10.0, 5), (1.0, 1)], 2)
    assert Measure("loss", parts).value == 11 / 6
    assert Measure("perplexity", parts, exp_ratio).value == math.exp(11 / 6)
    assert Measure("perplexity", parts, exp_ratio).count == 2


def test_nothing_and_too_much() -> None:
    assert math.isnan(Measure("none", mean_of([])).value)
    assert math.isnan(ratio([0.0, 0.0])) and math.isnan(exp_ratio([0.0, 0.0]))
    assert exp_ratio([1e6, 1.0]) == math.inf
    assert stack([], 3).shape == (0, 3) and stack([], 3).dtype == np.float64
