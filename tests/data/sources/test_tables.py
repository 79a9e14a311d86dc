"""Parquet and Arrow: rows are records, broken files are named."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from tunesmith.data.sources import blocks, limits, scan
from tunesmith.data.types import Origin
from tunesmith.errors import DataError, RecordError

RECORDS: list[dict[str, Any]] = [
    {
        "messages": [{"role": "user", "content": "你好"}, {"role": "tool", "content": "x", "name": "f"}],
        "n": n,
        "t": None,
    }
    for n in range(50)
]


def write(path: Path, records: list[dict[str, Any]], kind: str) -> Path:
    table = pa.Table.from_pylist(records)
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=7)
    else:
        new = ipc.new_file if kind == "file" else ipc.new_stream
        with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=9)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a", "a.json"])
@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_rows(tmp_path: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BLOCK_RECORDS", 4)
    path = write(tmp_path / name, RECORDS, kind)
    found = list(scan(path))
    assert [record for record, _ in found] == RECORDS
    assert [origin for _, origin in found] == [Origin(str(path), n) for n in range(50)]
    made = list(blocks(path))
    ends = [block.end for block in made]
    assert len(made) >= 13 and ends == sorted(ends) and ends[-1] <= path.stat().st_size and ends[-1] > ends[0]


def test_json_in_a_column(tmp_path: Path) -> None:
    rows = [{"messages": '[{"role": "user"}]'}, {"messages": "[{"}]
    (first, _), (second, origin) = scan(write(tmp_path / "a", rows, "parquet"))
    assert first == {"messages": [{"role": "user"}]}
    assert isinstance(second, RecordError) and origin.record == 1


def test_other_types_are_passed_on(tmp_path: Path) -> None:
    rows = [{"a": b"\xff", "b": datetime.datetime(2020, 1, 1), "c": 1.5}]
    assert [record for record, _ in scan(write(tmp_path / "a", rows, "parquet"))] == rows


@pytest.mark.parametrize("kind", ["parquet", "file", "stream"])
def test_refused_tables(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a", RECORDS, kind)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="cut off"):
        list(scan(path))
    for at in range(8, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :])
        try:
            list(scan(path))
        except DataError as error:
            assert str(path) in str(error)
    empty = pa.table({"a": pa.array([], pa.string())})
    parquet.write_table(empty, path)
    with pytest.raises(DataError, match="no rows"):
        list(scan(path))


def test_a_stream_that_is_cut_anywhere(tmp_path: Path) -> None:
    data = write(path := tmp_path / "a", RECORDS, "stream").read_bytes()
    for cut in range(4, len(data), 4):
        path.write_bytes(data[:cut])
        with pytest.raises(DataError):
            list(scan(path))


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "a")
    with pytest.raises(DataError, match="two columns called 'a'"):
        list(scan(tmp_path / "a"))


def test_a_row_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_RECORD", 1000)
    path = write(tmp_path / "a", [{"a": "x"}, {"a": "x" * 5000}], "stream")
    monkeypatch.setattr(limits, "BLOCK_SIZE", 1)
    with pytest.raises(DataError, match="record 1: the record is longer than 1000 bytes"):
        list(scan(path))
