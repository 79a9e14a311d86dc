"""Rows in flat arrays come back as they were put in, in whole and in parts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.report import DataReport
from tunesmith.data.rows import GrowingRows, Prepared, split
from tunesmith.data.types import IGNORE, Example, Origin
from tunesmith.errors import ConfigError, DataError

FILES = ("a.json", "b.json")


def stored(examples: list[Example]) -> Prepared:
    rows = GrowingRows(FILES)
    for example in examples:
        assert example.origin is not None
        rows.append(example, FILES.index(example.origin.file))
    assert len(rows) == len(examples)
    return Prepared.whole(rows.finished(), DataReport(), "fingerprint")


def numbered(count: int) -> Prepared:
    return stored(
        [Example([n] * (n % 5 + 1), [IGNORE] * (n % 5 + 1), Origin("a.json", n, n + 1)) for n in range(count)]
    )


tokens = st.integers(0, 2**31 - 1)
examples = st.builds(
    lambda pairs, file, record, line, cut, stops: Example(
        [token for token, _ in pairs], [label for _, label in pairs], Origin(file, record, line), cut, stops
    ),
    st.lists(st.tuples(tokens, tokens | st.just(IGNORE)), max_size=6),
    st.sampled_from(FILES),
    st.integers(0, 2**40),
    st.none() | st.integers(1, 2**40),
    st.integers(0, 2**31 - 1),
    st.lists(st.integers(0, 5), max_size=3),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(examples, max_size=6))
def test_examples_come_back(given_examples: list[Example]) -> None:
    prepared = stored(given_examples)
    assert list(prepared) == given_examples
    assert prepared.lengths.dtype == np.int64
    assert prepared.lengths.tolist() == [len(example.input_ids) for example in given_examples]


def test_memory_is_flat() -> None:
    rows = numbered(1000).rows
    assert rows.input_ids.dtype == rows.labels.dtype == np.int32
    assert sum(value.nbytes for value in vars(rows).values() if isinstance(value, np.ndarray)) < 3000 * 8 + 1000 * 48


def test_rows_travel_to_workers() -> None:
    prepared = pickle.loads(pickle.dumps(numbered(5)))
    assert list(prepared) == list(numbered(5))


@pytest.mark.parametrize(("count", "share", "apart"), [(10, 0.2, 2), (10, 0.01, 1), (10, 0.999, 9), (2, 0.5, 1)])
def test_split_takes_each_row_once(count: int, share: float, apart: int) -> None:
    prepared = numbered(count)
    train, validation = split(prepared, share, seed=7)
    assert (len(train), len(validation)) == (count - apart, apart)
    records = [[example.origin.record for example in part if example.origin] for part in (train, validation)]
    assert sorted(records[0] + records[1]) == list(range(count)) and [sorted(part) for part in records] == records
    assert train.lengths.tolist() == [len(example.input_ids) for example in train]
    assert len({prepared.fingerprint, train.fingerprint, validation.fingerprint}) == 3


def test_split_follows_the_seed() -> None:
    prepared = numbered(100)
    first, again, other = (split(prepared, 0.1, seed) for seed in (1, 1, 2))
    assert [list(part) for part in first] == [list(part) for part in again]
    assert first[0].fingerprint == again[0].fingerprint != other[0].fingerprint
    assert list(first[1]) != list(other[1])


def test_what_cannot_be_split() -> None:
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ConfigError, match="not between 0 and 1"):
            split(numbered(4), share, 0)
    with pytest.raises(DataError, match="one row cannot be split"):
        split(numbered(1), 0.5, 0)
