"""Packing: every row once, no pack over the budget, hardly any room left over, and the seed decides who meets whom."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.collate import collate
from tunesmith.data.order import EpochOrder
from tunesmith.data.pack import PackedRows, Packs, pack, pack_alike
from tunesmith.data.types import Example, Pack
from tunesmith.errors import DataError

LENGTHS = np.clip(np.random.default_rng(0).lognormal(5, 0.9, size=3000), 8, 2048).astype(np.int64)


def groups(packs: Packs) -> list[list[int]]:
    return [packs.members(number).tolist() for number in range(len(packs))]


def plain_best_fit(lengths: list[int], budget: int) -> list[list[int]]:
    """The definition: the longest first, each into the fullest pack with room; the lengths in each pack."""
    packs: list[list[int]] = []
    for length in sorted(lengths, reverse=True):
        fitting = [one for one in packs if sum(one) + length <= budget]
        if fitting:
            max(fitting, key=sum).append(length)
        else:
            packs.append([length])
    return packs


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=80), st.integers(30, 64), st.integers(-3, 2**40))
def test_every_row_once_and_none_over_the_budget(rows: list[int], budget: int, seed: int) -> None:
    lengths = np.array(rows, dtype=np.int64)
    packs = pack(lengths, budget, seed)
    assert sorted(packs.indexes.tolist()) == list(range(len(rows)))
    assert np.concatenate([np.array([], dtype=np.int64), *groups(packs)]).tolist() == packs.indexes.tolist()
    assert all(groups(packs))
    assert [sum(rows[index] for index in group) for group in groups(packs)] == packs.lengths.tolist()
    assert (packs.lengths <= budget).all()
    again = pack(lengths, budget, seed)
    assert all(np.array_equal(getattr(packs, name), getattr(again, name)) for name in ("indexes", "starts", "lengths"))
    assert 0 <= packs.padding_share < 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=60), st.integers(30, 50))
def test_it_is_best_fit_decreasing(rows: list[int], budget: int) -> None:
    packs = pack(np.array(rows, dtype=np.int64), budget)
    # Which of equally full packs takes a row is left open; how full the packs get is not.
    assert sorted(packs.lengths.tolist()) == sorted(map(sum, plain_best_fit(rows, budget)))


def test_hardly_any_room_is_left() -> None:
    packs = pack(LENGTHS, 2048)
    assert packs.padding_share < 0.01
    assert len(packs) <= -(-int(LENGTHS.sum()) // 2048) + 2


def test_the_seed_decides_which_rows_meet() -> None:
    first, second = pack(LENGTHS, 2048, seed=1), pack(LENGTHS, 2048, seed=2)
    assert len(first) == len(second)
    assert sorted(map(sorted, groups(first))) != sorted(map(sorted, groups(second)))


def test_packs_stay_the_same_for_ever() -> None:
    assert groups(pack(np.array([3, 5, 2, 2, 4, 1]), 6, seed=7)) == [[1, 5], [4, 2], [0, 3]]


def test_rows_that_cannot_be_packed() -> None:
    with pytest.raises(DataError, match="Row 1 has 9 tokens; only rows of 1 to 8"):
        pack(np.array([3, 9]), 8)
    with pytest.raises(DataError, match="Row 0 has 0 tokens"):
        pack(np.array([0]), 8)
    assert len(pack(np.array([], dtype=np.int64), 8)) == 0


def test_packed_rows_as_a_dataset() -> None:
    rows = [Example([number] * length, [number] * length) for number, length in enumerate((3, 5, 2, 2, 4, 1))]
    data = PackedRows(rows, pack(np.array([len(row.input_ids) for row in rows]), 6, seed=7))
    assert len(data) == 3 and data[1] == Pack((rows[4], rows[2]))
    assert data.lengths.tolist() == [6, 6, 5]
    order = list(EpochOrder(data.lengths, 2, 0))
    assert sorted(order) == [0, 1, 2]
    batch = collate([data[index] for index in order], 0)
    assert batch["input_ids"].shape == (3, 6)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 4)), min_size=1, max_size=60), st.integers(30, 64))
def test_packs_of_rows_that_begin_alike(rows: list[tuple[int, int]], budget: int) -> None:
    lengths, kinds = (np.array(part) for part in zip(*rows, strict=True))
    packs = pack_alike(lengths, budget, kinds[:, None].astype(np.uint64), 3)
    assert sorted(packs.indexes.tolist()) == list(range(len(rows))) and (packs.lengths <= budget).all()
    assert [int(lengths[group].sum()) for group in groups(packs)] == packs.lengths.tolist()
    order = kinds[packs.indexes]  # each kind in one stretch
    assert int((order[1:] != order[:-1]).sum()) == len(set(kinds.tolist())) - 1
    with pytest.raises(DataError, match="only rows of 1 to 5 tokens can be packed"):
        pack_alike(np.array([3, 6]), 5, np.zeros((2, 1), np.uint64))
