"""Padding at the right, a 0/1 mask, and no label where nothing can be predicted."""

from __future__ import annotations

import copy
import pickle

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.collate import Collator, collate
from tunesmith.data.types import IGNORE, Example

ROWS = [Example([1, 5, 6, 2], [IGNORE, IGNORE, 6, 2]), Example([1, 7], [1, 9])]


def test_batch() -> None:
    batch = collate(ROWS, pad_id=3)
    assert batch["input_ids"].tolist() == [[1, 5, 6, 2], [1, 7, 3, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORE, IGNORE, 6, 2], [IGNORE, 9, IGNORE, IGNORE]]
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())  # type: ignore[attr-defined]


def test_examples_are_not_changed() -> None:
    before = copy.deepcopy(ROWS)
    collate(ROWS, pad_id=0)
    assert before == ROWS


def test_collator_travels_to_workers() -> None:
    again = pickle.loads(pickle.dumps(Collator(3)))
    assert torch.equal(again(ROWS)["input_ids"], collate(ROWS, 3)["input_ids"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999) | st.just(IGNORE)), min_size=1, max_size=9),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 999),
)
def test_masked_part_is_the_examples(rows: list[list[tuple[int, int]]], pad_id: int) -> None:
    examples = [Example([token for token, _ in row], [label for _, label in row]) for row in rows]
    batch = collate(examples, pad_id)
    for row, example in enumerate(examples):
        mask = batch["attention_mask"][row].bool()
        assert batch["input_ids"][row][mask].tolist() == example.input_ids
        assert batch["labels"][row][mask].tolist()[1:] == example.labels[1:]
        assert (batch["labels"][row][~mask] == IGNORE).all() and batch["labels"][row, 0] == IGNORE
        assert (batch["input_ids"][row][~mask] == pad_id).all()
