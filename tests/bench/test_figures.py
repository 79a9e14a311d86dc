"""Figures from raw steps: warm steps do not count, losses are weighed by labels, failures stay visible."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from tunesmith.bench.figures import Case, Failure, Spread, figures, largest_step_difference, ratio
from tunesmith.bench.lineup import OWN, PLAIN, SIDES

from .conftest import measured

TWO = [side for side in SIDES if side.name in (PLAIN, OWN)]


def test_rates_count_the_steps_after_the_warm_ones(case: Case) -> None:
    slow, fast = measured(case, 2.0), measured(case, 0.5, peak=2**19)
    slow.steps[0]["seconds"] = 100.0
    plain, own = figures(case, TWO, {PLAIN: [slow], OWN: [fast, fast]})
    assert case.warm == 1 and plain.samples == Spread(1.5, 1.5, 1.5) and plain.step == Spread.of([2.0])
    assert ratio(own.samples, plain.samples) == pytest.approx(4.0)
    assert ratio(own.peak, plain.peak) == 0.5 and own.processor_step == Spread.of([0.25])
    assert own.labels is not None and own.labels.middle == pytest.approx(sum(case.labels[3:]) / 0.5)
    assert own.same and plain.same


def test_the_mean_loss_is_over_labels_not_steps(case: Case) -> None:
    uneven = replace(case)
    object.__setattr__(uneven, "labels", [1, 1, 1, 5, 5, 5])
    one = measured(case, 1.0)
    one.steps[1]["loss"] = 4.0
    (plain,) = figures(uneven, TWO[:1], {PLAIN: [one]})
    assert plain.loss == pytest.approx((3 * 2.0 + 15 * 4.0) / 18)


def test_another_loss_is_seen(case: Case) -> None:
    _, own = figures(case, TWO, {PLAIN: [measured(case, 1.0)], OWN: [measured(case, 1.0, loss=2.001)]})
    assert not own.same


def test_a_failure_has_its_reason_and_no_figures(case: Case) -> None:
    plain, own = figures(case, TWO, {PLAIN: [measured(case, 1.0)], OWN: [Failure("out of paper")]})
    assert own.reason == "out of paper" and own.samples is None and math.isnan(own.loss) and not own.same
    assert ratio(own.samples, plain.samples) is None


def test_steps_of_the_same_batches_are_compared(case: Case) -> None:
    one, other = measured(case, 1.0), measured(case, 1.0)
    other.steps[1]["gradient_norm"] = 1.5
    assert largest_step_difference({PLAIN: [one], OWN: [other]}) == pytest.approx(0.5)
    turned = replace(other, order=other.order[::-1])
    assert largest_step_difference({PLAIN: [one], OWN: [turned]}) is None


def test_a_spread_in_words() -> None:
    assert Spread.of([1.0, 3.0, 2.0]).text(1) == "2.0 (1.0 to 3.0)"
    assert Spread.of([1234.5]).text(0) == "1,234"
