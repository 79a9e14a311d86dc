"""Splitting and weighing: every row where it belongs, by the seed alone, and no prompt on both sides."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from tunesmith.data.prepared import Prepared, Weight, split, weigh
from tunesmith.data.report import DataReport
from tunesmith.data.rows import Columns, Rows, RowsWriter
from tunesmith.data.types import IGNORE, Example, Origin
from tunesmith.errors import ConfigError, DataError

FILES = ("a.json", "b.json")


def stored(folder: Path, *files: list[Example]) -> Prepared:
    with RowsWriter(folder / "rows.arrow") as writer:
        for number, examples in enumerate(files):
            writer.append(Columns.of(examples), number)
    return Prepared.whole(Rows(folder / "rows.arrow", FILES), DataReport(), "fingerprint")


def row(prompt: int, answer: int, record: int, file: str = "a.json") -> Example:
    return Example([1, prompt, answer] + [answer] * (record % 5), [IGNORE, IGNORE, answer] + [answer] * (record % 5),
                   Origin(file, record, record + 1))  # fmt: skip


def numbered(folder: Path, count: int) -> Prepared:
    return stored(folder, [row(100 + n, n, n) for n in range(count)])


def records(part: Prepared) -> list[int]:
    return [example.origin.record for example in part if example.origin]


@pytest.mark.parametrize(("count", "share", "apart"), [(10, 0.2, 2), (10, 0.01, 1), (10, 0.999, 9), (2, 0.5, 1)])
def test_split_takes_each_row_once(tmp_path: Path, count: int, share: float, apart: int) -> None:
    prepared = numbered(tmp_path, count)
    train, validation = split(prepared, share, seed=7)
    assert (len(train), len(validation)) == (count - apart, apart)
    assert sorted(records(train) + records(validation)) == list(range(count))
    assert records(train) == sorted(records(train))
    assert train.lengths.tolist() == [len(example.input_ids) for example in train]
    assert len({prepared.fingerprint, train.fingerprint, validation.fingerprint}) == 3


def test_split_follows_the_seed(tmp_path: Path) -> None:
    prepared = numbered(tmp_path, 100)
    first, again, other = (split(prepared, 0.1, seed) for seed in (1, 1, 2))
    assert [list(part) for part in first] == [list(part) for part in again]
    assert first[0].fingerprint == again[0].fingerprint != other[0].fingerprint
    assert list(first[1]) != list(other[1])


def test_no_prompt_on_both_sides(tmp_path: Path) -> None:
    prepared = stored(tmp_path, [row(n % 7, n, n) for n in range(70)])
    train, validation = split(prepared, 0.3, seed=3)
    prompts = [{example.input_ids[1] for example in part} for part in (train, validation)]
    assert not prompts[0] & prompts[1] and len(validation) == 20


def test_what_cannot_be_split(tmp_path: Path) -> None:
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ConfigError, match="not between 0 and 1"):
            split(numbered(tmp_path, 4), share, 0)
    with pytest.raises(DataError, match="one row cannot be split"):
        split(numbered(tmp_path, 1), 0.5, 0)
    with pytest.raises(DataError, match="5 rows with one and the same prompt"):
        split(stored(tmp_path, [row(1, n, n) for n in range(5)]), 0.5, 0)


def test_weights_repeat_and_draw(tmp_path: Path) -> None:
    prepared = stored(tmp_path, [row(n, n, n) for n in range(8)], [row(n, n, n, "b.json") for n in range(12)])
    assert weigh(prepared, [Weight(), Weight()], 0) is prepared
    weighed = weigh(prepared, [Weight(2.5), Weight(0.25, loss=3.0)], seed=4)
    counts = np.bincount(weighed.chosen, minlength=20)
    assert counts[:8].sum() == 20 and set(counts[:8]) == {2, 3}
    assert counts[8:].sum() == 3 and set(counts[8:]) == {0, 1}
    assert [example.weight for example in weighed] == [1.0] * 20 + [3.0] * 3
    assert weighed.fingerprint != prepared.fingerprint
    assert weigh(prepared, [Weight(2.5), Weight(0.25, loss=3.0)], seed=4).chosen.tolist() == weighed.chosen.tolist()
    assert weigh(prepared, [Weight(2.5), Weight(0.25, loss=3.0)], seed=5).chosen.tolist() != weighed.chosen.tolist()
    with pytest.raises(DataError, match="leave no row"):
        weigh(prepared, [Weight(0.01), Weight(0.01)], 0)


def test_split_keeps_weights(tmp_path: Path) -> None:
    prepared = stored(tmp_path, [row(n, n, n) for n in range(8)], [row(n + 50, n, n, "b.json") for n in range(8)])
    weighed = weigh(prepared, [Weight(loss=0.5), Weight()], 0)
    for part in split(weighed, 0.5, 1):
        assert {(e.origin.file, e.weight) for e in part if e.origin} == {("a.json", 0.5), ("b.json", 1.0)}


def test_prepared_rows_travel_to_workers(tmp_path: Path) -> None:
    prepared = numbered(tmp_path, 5)
    assert list(pickle.loads(pickle.dumps(prepared))) == list(prepared)
    assert prepared[-1] == prepared[4]
    with pytest.raises(IndexError):
        prepared[5]
