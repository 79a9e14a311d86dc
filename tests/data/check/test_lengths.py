"""Histograms and the proposed max_length."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.data.check.lengths import Lengths, cut_rows, propose
from tunesmith.data.check.tokens import STEP


def lengths(*values: int) -> Lengths:
    return Lengths("tokens", np.sort(np.array(values, np.int32)))


def places(*values: int, prompt: int = 8) -> np.ndarray:
    """Return the label tokens by place of rows of these lengths with prompts of 8 tokens."""
    return np.bincount(np.concatenate([np.arange(prompt, value) // STEP for value in values]))


@pytest.mark.parametrize("values", [(3,), (0, 0), tuple(range(1, 500)), (5, 6, 7, 100_000), (1000,) * 50])
def test_a_histogram_holds_every_record_once(values: tuple[int, ...]) -> None:
    bars = lengths(*values).histogram()
    assert len(bars) <= 11
    for start, end, count in bars:
        assert count == sum(start <= value <= end for value in values)
    assert sum(count for *_, count in bars) == len(values)
    assert bars[0][2] > 0


def test_no_records_have_no_histogram() -> None:
    assert lengths().histogram() == []


def test_figures() -> None:
    made = lengths(*range(100))
    assert (made.total, made.below(0.5), made.below(0.95), made.below(1)) == (4950, 50, 95, 99)


def test_little_data_of_one_length_is_not_cut() -> None:
    proposal = propose(lengths(100, 130, 140), places(100, 130, 140), None)
    assert proposal is not None
    assert (proposal.length, proposal.cut_rows, proposal.lost, proposal.whole) == (192, 0, 0, 192)


def test_a_few_long_rows_are_cut() -> None:
    values = (*[200] * 1000, 1500)
    proposal = propose(lengths(*values), places(*values), None)
    assert proposal is not None
    assert proposal.length % STEP == 0
    assert proposal.cut_rows == 1 == cut_rows(lengths(*values), proposal.length)
    assert proposal.lost == 1500 - proposal.length <= 0.005 * places(*values).sum()
    assert proposal.lost + STEP > 0.005 * places(*values).sum(), "a shorter one would do"
    assert proposal.whole == 1536


def test_the_model_limits_the_proposal() -> None:
    proposal = propose(lengths(100, 900), places(100, 900), 512)
    assert proposal is not None and proposal.limited
    assert (proposal.length, proposal.cut_rows, proposal.lost) == (512, 1, 900 - 512)


def test_nothing_to_cut_is_nothing_to_propose() -> None:
    assert propose(lengths(), np.zeros(0, np.int64), 512) is None
