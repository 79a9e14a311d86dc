"""Rows as a forest: each row is found again, each shared token stands once; and rows that begin alike meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.collate import Collator, collate
from tunesmith.data.order import EpochOrder
from tunesmith.data.prefixes import LEAST, beginnings, lay_out, saved_share, tree_of
from tunesmith.data.prepared import Prepared
from tunesmith.data.report import DataReport
from tunesmith.data.rows import Columns, Rows, RowsWriter
from tunesmith.data.types import IGNORE, Example, Origin, Pack, Picture


@st.composite
def tries(draw: st.DrawFn) -> list[list[int]]:
    """Rows that share beginnings, some of them whole, in any order."""
    stretch = st.lists(st.integers(0, 2), min_size=1, max_size=3 * LEAST)
    rows = [draw(stretch)]
    for _ in range(draw(st.integers(0, 8))):
        row = draw(st.sampled_from(rows))
        rows.append(row[: draw(st.integers(0, len(row)))] + draw(stretch))
    return draw(st.permutations(rows))


@settings(max_examples=200, deadline=None)
@given(tries())
def test_every_row_is_a_path(rows: list[list[int]]) -> None:
    tree = lay_out(rows)
    tokens = [-1] * tree.size
    for row, places in zip(rows, tree.places, strict=True):
        assert len(places) == len(row) == len(set(places.tolist()))
        for token, place in zip(row, places.tolist(), strict=True):
            assert tokens[place] in (-1, token)
            tokens[place] = token
    assert -1 not in tokens
    starts = np.cumsum([0, *(length * count for _, length, count in tree.runs)])
    for number, (parent, length, count) in enumerate(tree.runs):
        assert length > 0 and count > 0 and parent < number
        assert parent < 0 or tree.runs[parent][2] == 1
    found = [_path(tree.runs, starts, int(places[-1])) for places in tree.places]
    assert [places.tolist() for places in tree.places] == found


def _path(runs: list[tuple[int, int, int]], starts: np.ndarray, last: int) -> list[int]:
    """The places from a root to `last`, by the runs alone."""
    run = int(np.searchsorted(starts, last, side="right")) - 1
    first = last - (last - int(starts[run])) % runs[run][1]
    places = list(range(first, last + 1))
    while (run := runs[run][0]) >= 0:
        places = list(range(starts[run], starts[run + 1])) + places
    return places


def test_what_is_shared_stands_once() -> None:
    common, asked = list(range(40)), list(range(100, 120))
    rows = [common + asked + [1], common + asked + [2, 3], common + [7, 8], common + [9, 9], [5] * 30]
    tree = lay_out(rows)
    assert tree.size == 40 + 20 + 1 + 2 + 2 + 2 + 30
    assert tree.runs == [
        (-1, 30, 1),
        (-1, 40, 1),
        (1, 2, 2),
        (1, 20, 1),
        (3, 1, 1),
        (3, 2, 1),
    ]  # two leaves in one call
    assert lay_out([common, common + [1], common]).size == 41
    short = list(range(LEAST - 1))
    assert lay_out([[*short, 50], [*short, 60]]).runs == [(-1, LEAST, 2)]


def example(ids: list[int], *paths: str, second: int = 0, weight: float = 1.0) -> Example:
    """The pictures stand in slots 2 to 9, 12 to 19 ..."""
    slots = tuple(Picture(path, ((2 + 10 * n, 10 + 10 * n),)) for n, path in enumerate(paths))
    labels = [IGNORE] * (len(ids) - 2) + ids[-2:]
    return Example(ids, labels, Origin("a.json", 0), pictures=slots, second=second, weight=weight)


def test_other_pictures_are_other_beginnings() -> None:
    ids = [1, 2, *[0] * 8, *range(3, 40)]
    same = [example([*ids, 90], "a.png"), example([*ids, 91], "a.png")]
    assert tree_of(same).size == len(ids) + 2
    assert tree_of([same[0], example([*ids, 91], "b.png")]).size == 2 * len(ids) + 2


def test_a_batch_with_a_forest() -> None:
    common = list(range(10, 40))
    rows = [example([*common, n, n + 1], weight=2.0) for n in (1, 3, 5)]
    whole = Pack((rows[0], rows[2])), Pack((rows[1],))
    for items in (rows, whole):
        plain, shared = collate(items, 0), Collator(0, share=True)(items)
        assert shared.keys() - plain.keys() == {"places", "tree"}
        assert all(torch.equal(plain[name], shared[name]) for name in plain)  # type: ignore[literal-required]
        assert shared["tree"] == [(-1, 30, 1), (0, 2, 3)]
        assert shared["places"].shape == plain["input_ids"].shape
        assert not shared["places"][plain["attention_mask"] == 0].any()
    assert "tree" not in collate(rows[:1], 0, share=True)
    assert "tree" not in Collator(0, share=True)([])


def test_saved_share() -> None:
    common = list(range(100))
    rows = [example([*common, n, n]) for n in range(4)]
    assert saved_share([rows]) == pytest.approx(300 / 408)
    assert saved_share([[Pack(tuple(rows[:2]))], rows[2:]]) == pytest.approx(200 / 408)
    assert saved_share([[example([*common, 1, *common, 2], second=101)]]) == pytest.approx(100 / 202)
    assert saved_share([[row] for row in rows]) == 0 == saved_share([])


# --- who meets whom --------------------------------------------------------------------------------------------------


def stored(folder: Path, *blocks: list[Example]) -> Prepared:
    with RowsWriter(folder / "rows.arrow") as writer:
        for examples in blocks:
            writer.append(Columns.of(examples), 0)
    return Prepared.whole(Rows(folder / "rows.arrow", ("a.json",)), DataReport(), "fingerprint")


def families(folder: Path) -> tuple[Prepared, np.ndarray]:
    """Two system prompts, three questions behind each, four answers to each; and eight rows of their own. In any order."""
    draw = np.random.default_rng(0)
    rows = []
    for system in range(2):
        start = draw.integers(0, 50, 40).tolist()
        for question in range(3):
            asked = start + draw.integers(0, 50, 30).tolist()
            rows += [(system * 3 + question, example(asked + draw.integers(0, 50, 2).tolist())) for _ in range(4)]
    rows += [(6 + n, example(draw.integers(0, 50, 20 + n).tolist())) for n in range(8)]
    rows = [rows[n] for n in draw.permutation(len(rows))]
    return stored(folder, [one for _, one in rows[:15]], [one for _, one in rows[15:]]), np.array([n for n, _ in rows])


def test_rows_that_begin_alike_meet(tmp_path: Path) -> None:
    prepared, family = families(tmp_path)
    starts = beginnings(prepared)
    assert starts.shape[0] == 32 and 1 <= starts.shape[1] <= 4  # levels that tell nothing are left out
    orders = []
    for epoch in range(3):
        order = EpochOrder(prepared.lengths, 4, 0, beginnings=starts)
        order.set_epoch(epoch)
        taken = order.indexes()
        assert sorted(taken.tolist()) == list(range(32))
        saved = saved_share([[prepared[int(n)] for n in batch] for batch in taken.reshape(-1, 4)])
        plain = EpochOrder(prepared.lengths, 4, 0)
        plain.set_epoch(epoch)
        before = saved_share([[prepared[int(n)] for n in batch] for batch in plain.indexes().reshape(-1, 4)])
        assert saved > 0.4 > before
        orders.append([family[n] for n in taken])
    assert orders[0] != orders[1] != orders[2]
    again = EpochOrder(prepared.lengths, 4, 0, beginnings=starts)
    assert [family[n] for n in again] == orders[0]


def test_chosen_rows_and_pictures(tmp_path: Path) -> None:
    ids = [1, 2, *[0] * 8, *range(3, 40)]
    rows = [example([*ids, n], f"{'abc'[n % 3]}.png") for n in range(9)]
    prepared = stored(tmp_path, rows)
    starts = beginnings(prepared)
    assert len(np.unique(starts, axis=0)) == 3 and np.array_equal(starts[0], starts[3])
    half = Prepared(prepared.rows, np.array([8, 5, 0, 1, 2]), prepared.report, "")
    assert np.array_equal(beginnings(half)[0], beginnings(half)[1])
    assert beginnings(stored(tmp_path, rows[:1])).shape == (1, 0)
    alone = EpochOrder(np.ones(3, np.int64), 1, 0, beginnings=np.zeros((3, 0), np.uint64))
    assert sorted(alone) == [0, 1, 2]


def test_the_order_is_the_same_however_a_step_is_cut(tmp_path: Path) -> None:
    prepared, _ = families(tmp_path)
    starts = beginnings(prepared)
    one, other = (
        EpochOrder(prepared.lengths, size, 3, step_batches=8 // size, beginnings=starts).indexes() for size in (8, 2)
    )
    assert np.array_equal(one, other)
