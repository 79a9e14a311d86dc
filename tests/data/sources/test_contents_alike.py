"""The same records come out of every container, encoding and line end, however the file is read."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tunesmith.data.sources import blocks, expand, limits, note, scan
from tunesmith.data.sources.contents import suffix
from tunesmith.errors import DataError

RECORDS = [
    {"prompt": "今天天气怎么样？", "answer": "很好，我们去公园吧。"},
    {"prompt": 'x,"\n[{', "answer": "\\n\t"},
] * 3
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=6)
records_of_texts = st.lists(st.fixed_dictionaries({"prompt": texts, "answer": texts}), min_size=1, max_size=5)


def written(records: list[dict[str, str]], kind: str, end: str = "\n") -> bytes:
    if kind == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, ["prompt", "answer"], lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(records)
        return out.getvalue().replace("\n", end).encode()
    if kind == "parquet":
        sink = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(records), sink)
        return sink.getvalue()
    if kind == "lines":
        return "".join(json.dumps(record, ensure_ascii=False) + end for record in records).encode()
    indent = {"list": None, "indented list": 2, "objects": 1}[kind]
    if kind == "objects":
        return end.join(json.dumps(record, indent=1).replace("\n", end) for record in records).encode()
    return json.dumps(records, ensure_ascii=False, indent=indent).replace("\n", end).encode()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records_of_texts,
    st.sampled_from(["lines", "list", "indented list", "objects", "csv", "parquet"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["", "gz", "zst"]),
    st.sampled_from([1, 2, 3, 10, 1 << 20]),
    st.booleans(),
)
def test_alike(
    tmp_path: Path, records: list[dict[str, str]], kind: str, end: str, packing: str, chunk: int, mark: bool
) -> None:
    data = written(records, kind, end)
    if kind != "parquet":
        data = b"\xef\xbb\xbf" * mark + data
        data = gzip.compress(data, mtime=0) if packing == "gz" else data
        data = bytes(pa.Codec("zstd").compress(data, asbytes=True)) if packing == "zst" else data
    (path := tmp_path / ("data.csv" if kind == "csv" else "data.json")).write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "CHUNK", chunk)
        patch.setattr(limits, "HEAD", 20)
        found = list(scan(path))
    assert [record for record, _ in found] == records
    assert [origin.record for _, origin in found] == list(range(len(records)))
    lines = [origin.line for _, origin in found]
    if kind == "lines":
        assert lines == list(range(1, len(records) + 1))
    if kind == "indented list":
        assert lines == [2 + 4 * n for n in range(len(records))]
    if kind == "csv":
        breaks = [sum(text.count("\n") for text in record.values()) for record in records]
        assert lines == [2 + n + sum(breaks[:n]) for n in range(len(records))]


@pytest.mark.parametrize("kind", ["lines", "list", "indented list", "csv"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("codec", ["gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8"])
def test_encodings(tmp_path: Path, codec: str, end: str, kind: str) -> None:
    (path := tmp_path / "a.csv").write_bytes(written(RECORDS, kind, end).decode().encode(codec))
    assert [record for record, _ in scan(path)] == RECORDS
    name = {"gb18030": "GB18030"}.get(codec, codec[:6].upper())
    assert note(path) == ([] if codec == "utf-8" else [f"read as {name} (not UTF-8)"])


def test_carriage_returns_of_the_user_stay(tmp_path: Path) -> None:
    (path := tmp_path / "a.jsonl").write_bytes(b'{"a": "x\\r\\ny"}\r\n{"a": "\\r"}\r\n')
    assert [record for record, _ in scan(path)] == [{"a": "x\r\ny"}, {"a": "\r"}]


@pytest.mark.parametrize("kind", ["lines", "list", "objects"])
def test_the_position_reaches_the_end(tmp_path: Path, kind: str) -> None:
    for pack in (bytes, gzip.compress):
        (path := tmp_path / "a").write_bytes(pack(written(RECORDS, kind)))
        assert [block.end for block in blocks(path)] == [path.stat().st_size]


def test_a_first_line_longer_than_the_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD", 10)
    monkeypatch.setattr(limits, "CHUNK", 10)
    (path := tmp_path / "a").write_text(json.dumps({"a": "x" * 1000}) + '\n{"a": broken}\n{"a": 1}')
    found = [record for record, _ in scan(path)]
    assert len(found) == 3 and found[2] == {"a": 1}


def test_one_endless_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD", 10)
    monkeypatch.setattr(limits, "MAX_RECORD", 5000)
    monkeypatch.setattr(limits, "CHUNK", 100)
    for begin, packed in itertools.product(('{"a": "', '[{"a": "'), (False, True)):
        data = begin.encode() + b"x" * 100_000
        (path := tmp_path / "a").write_bytes(gzip.compress(data, mtime=0) if packed else data)
        with pytest.raises(DataError, match="longer than 5000 bytes, which is the limit"):
            list(scan(path))


def test_wrapped_lists_are_one_record(tmp_path: Path) -> None:
    for content in ({"data": [{"a": 1}]}, {"0": {"a": 1}}, {"columns": ["a"]}):
        (path := tmp_path / "a").write_text(json.dumps(content, indent=1))
        records: list[Any] = [record for record, _ in scan(path)]
        assert records == [content]


def test_much_white_space_in_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD", 10)
    monkeypatch.setattr(limits, "CHUNK", 10)
    (path := tmp_path / "a").write_text(" \n" * 100 + '[{"a": 1}]')
    assert [(record, origin.line) for record, origin in scan(path)] == [({"a": 1}, 101)]


def test_a_packed_table_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "a.gz").write_bytes(gzip.compress(written(RECORDS, "parquet"), mtime=0))
    with pytest.raises(DataError, match="packed with gzip as a whole"):
        list(scan(path))


def test_suffix() -> None:
    assert [suffix(name) for name in ("a.jsonl.gz", "b.CSV", "c", "d.gz", "x.y/e.txt.zst")] == [
        ".jsonl",
        ".csv",
        "",
        "",
        ".txt",
    ]


def test_expand_is_public(tmp_path: Path) -> None:
    (path := tmp_path / "a.json").write_text("[]")
    assert expand(str(path)) == [str(path)]
