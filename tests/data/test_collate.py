"""Padding at the right, a mask that tells segments apart, and no label where nothing can be predicted."""

from __future__ import annotations

import copy
import pickle

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.collate import Collator, collate
from tunesmith.data.types import IGNORE, Example, Pack

ROWS = [Example([1, 5, 6, 2], [IGNORE, IGNORE, 6, 2]), Example([1, 7], [1, 9])]


def test_batch() -> None:
    batch = collate(ROWS, pad_id=3)
    assert batch["input_ids"].tolist() == [[1, 5, 6, 2], [1, 7, 3, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORE, IGNORE, 6, 2], [IGNORE, 9, IGNORE, IGNORE]]
    assert set(batch) == {"input_ids", "attention_mask", "labels"}
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())  # type: ignore[attr-defined]


def test_packs_number_their_segments() -> None:
    batch = collate([Pack((ROWS[1], ROWS[0])), Pack((ROWS[1],))], pad_id=3)
    assert batch["input_ids"].tolist() == [[1, 7, 1, 5, 6, 2], [1, 7, 3, 3, 3, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 2, 2, 2, 2], [1, 1, 0, 0, 0, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2, 3], [0, 1, 0, 0, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORE, 9, IGNORE, IGNORE, 6, 2], [IGNORE, 9, *[IGNORE] * 4]]
    assert "weights" not in batch


def test_the_first_label_of_every_segment_is_ignored() -> None:
    learned = Example([4, 5], [4, 5])
    assert collate([Pack((learned, learned))], 0)["labels"].tolist() == [[IGNORE, 5, IGNORE, 5]]


def test_an_example_among_packs_is_one_segment() -> None:
    batch, alone = collate([Pack((ROWS[0],)), ROWS[1]], 3), collate(ROWS, 3)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3], [0, 1, 0, 0]]
    assert all(torch.equal(batch[key], alone[key]) for key in ("input_ids", "attention_mask", "labels"))


def test_weights_only_where_one_is_not_1() -> None:
    heavy = Example([1, 8, 2], [IGNORE, 8, 2], weight=2.5)
    assert "weights" not in collate(ROWS, 0)
    batch = collate([Pack((ROWS[1], heavy)), ROWS[0]], 0)
    assert batch["weights"].tolist() == [[1, 1, 2.5, 2.5, 2.5], [1, 1, 1, 1, 0]]
    assert batch["weights"].dtype == torch.float32
    assert collate([heavy], 0)["weights"].tolist() == [[2.5, 2.5, 2.5]]


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


def test_nothing_makes_a_batch_without_labels() -> None:
    """For a rank that has no row left: the model can compute it, and nobody learns from it."""
    batch = Collator(3)([])
    assert batch["input_ids"].tolist() == [[3, 3]] and batch["attention_mask"].tolist() == [[1, 1]]
    assert (batch["labels"] == -100).all() and set(batch) == {"input_ids", "attention_mask", "labels"}
