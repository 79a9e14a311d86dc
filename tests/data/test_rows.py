"""Rows on disk come back as they were put in, whichever block they were in."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.data.rows import Columns, Rows, RowsWriter
from tunesmith.data.types import IGNORE, Example, Origin

FILES = ("a.json", "b.json")
tokens = st.integers(0, 2**31 - 1)
examples = st.builds(
    lambda pairs, record, line, cut, stops: Example(
        [token for token, _ in pairs], [label for _, label in pairs], Origin("", record, line), cut, stops, cut // 2
    ),
    st.lists(st.tuples(tokens, tokens | st.just(IGNORE)), max_size=6),
    st.integers(0, 2**40),
    st.none() | st.integers(1, 2**40),
    st.integers(0, 2**31 - 1),
    st.lists(st.integers(0, 5), max_size=3),
)


def store(folder: Path, blocks: list[tuple[int, list[Example]]]) -> Rows:
    with RowsWriter(folder / "rows.arrow") as writer:
        for file, block in blocks:
            writer.append(Columns.of(block), file)
    return Rows(folder / "rows.arrow", FILES)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1), st.lists(examples, max_size=4)), max_size=4))
def test_examples_come_back(tmp_path: Path, blocks: list[tuple[int, list[Example]]]) -> None:
    for file, block in blocks:
        for example in block:
            assert example.origin is not None
            example.origin = Origin(FILES[file], example.origin.record, example.origin.line)
    rows = store(tmp_path, blocks)
    given_examples = [example for _, block in blocks for example in block]
    assert [rows.example(number) for number in range(len(rows))] == given_examples
    assert rows.lengths.tolist() == [len(example.input_ids) for example in given_examples]
    assert rows.file_numbers().tolist() == [file for file, block in blocks for _ in block]


@given(st.lists(examples, max_size=5))
def test_columns_give_examples_and_counts(given_examples: list[Example]) -> None:
    columns = Columns.of(given_examples)
    assert len(columns) == len(given_examples)
    assert columns.label_counts.tolist() == [example.label_count for example in given_examples]
    for number, example in enumerate(given_examples):
        assert example.origin is not None
        example.origin = Origin("x", example.origin.record, example.origin.line)
        assert columns.example(number, "x") == example


def test_data_stays_on_disk_and_rows_travel_to_workers(tmp_path: Path) -> None:
    rows = store(tmp_path, [(0, [Example([n] * 50, [IGNORE] * 50, Origin("a.json", n)) for n in range(1000)])])
    assert not rows._arrays(0)["input_ids"].flags.owndata, "a view of the mapped file"
    again = pickle.loads(pickle.dumps(rows))
    assert len(pickle.dumps(rows)) < 500 and again.example(999) == rows.example(999)


def example(prompt: list[int], answer: list[int], *more: list[int]) -> Example:
    """A row whose last of several answers is `answer`."""
    ids, labels = list(prompt), [IGNORE] * len(prompt)
    for number, part in enumerate((answer, *more)):
        ids += part
        labels += part if number % 2 == 0 else [IGNORE] * len(part)
    return Example(ids, labels, Origin("a.json", 0))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (example([1, 5, 6], [7]), example([1, 5, 6], [8, 9]), True),
        (example([1, 5, 6], [7]), example([1, 6, 5], [7]), False),
        (example([1, 5], [7]), example([1, 5, 6], [7]), False),
        (example([1, 5], [7], [3], [4]), example([1, 5], [7], [3], [9, 9]), True),
        (example([1, 5], [7], [3], [4]), example([1, 5], [8], [3], [4]), False),
        (example([1], [7, 8]), example([1], [7, 9]), False),  # plain text: the whole of it counts
        (example([1], [7, 8]), example([1], [7, 8]), True),
    ],
)
def test_prompts_are_told_apart(one: Example, other: Example, same: bool) -> None:
    between = example([1, 2, 3], [4])
    hashes = Columns.of([one, between, other]).prompt
    assert (hashes[0] == hashes[2]) is np.bool_(same)
    assert Columns.of([other]).prompt[0] == hashes[2], "the neighbours do not matter"
