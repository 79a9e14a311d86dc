"""CSV: what a spreadsheet writes is read, and what would lose something is named."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.sources import limits, scan
from tunesmith.data.sources.csv_rows import csv_records
from tunesmith.data.sources.encodings import UTF8
from tunesmith.data.sources.text import Text
from tunesmith.data.sources.unpack import Unpacked
from tunesmith.errors import DataError, RecordError


def read(text: str, delimiter: str | None = None) -> list[tuple[Any, int | None]]:
    source = Text(Unpacked(io.BytesIO(text.encode()), "a.csv"), UTF8)
    return [(record, origin.line) for (record, origin), _, _ in csv_records(source, delimiter)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("chunk", [1, 3, 1 << 20])
def test_rows(chunk: int, delimiter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", chunk)
    text = '\n"问题", 答案\n你好,"一\n""二"", 三"\n\n,x\n'.replace(",", delimiter, 1).replace("好,", f"好{delimiter}")
    text = text.replace("\n,x", f"\n{delimiter}x")
    assert read(text) == [({"问题": "你好", "答案": '一\n"二", 三'}, 3), ({"问题": "", "答案": "x"}, 6)]


def test_one_column(tmp_path: Path) -> None:
    assert read("text\na b\n\n") == [({"text": "a b"}, 2)]
    (path := tmp_path / "a.tsv").write_bytes(b"\xef\xbb\xbfa,b\tc\r\n1\t2\r\n")
    assert [record for record, _ in scan(path)] == [{"a,b": "1", "c": "2"}]


def test_a_large_cell() -> None:
    assert read(f'a,b\n1,"{"x" * 300_000}"\n')[0][0]["b"] == "x" * 300_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,,c\n1,2,3", "line 1: column 2 of 3 .*index=False"),
        (",a\n0,1", "column 1 of 2"),
        ("a,b,a\n1,2,3", "two columns are called 'a'"),
        ("你好。今天怎么样？,我很好！\n", "line 1: the first line must name the columns"),
        ("1,2\n3,4\n", "'1' is no name"),
        ("x" * 100 + ",b\n", "no name"),
        ("a,b\n", "no row under its header"),
        ('a,"b\n1,2', "header cannot be read"),
        ("a,b\n1,\0\n", "line 2: a zero byte"),
    ],
)
def test_refused_files(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(text)
    assert not isinstance(caught.value, RecordError)


def test_bad_rows_are_named_and_the_others_read() -> None:
    found = read('a,b\n1,2\n1\n1,2,3\n"x"y,2\n5,6\n7,"8\n9,10\n')
    assert [(record, line) for record, line in found if isinstance(record, dict)] == [
        ({"a": "1", "b": "2"}, 2),
        ({"a": "5", "b": "6"}, 6),
    ]
    bad = [(str(record), line) for record, line in found if isinstance(record, RecordError)]
    assert [line for _, line in bad] == [3, 4, 5, 7]
    words = ["field 'b': it has 1 cells", "it has 3 cells", "its quotes are not those of CSV", "never closed"]
    assert all(word in text for word, (text, _) in zip(words, bad, strict=True)), bad


def test_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_RECORD", 1000)
    monkeypatch.setattr(limits, "CHUNK", 100)
    for text in ('a,b\n1,2\n1,"' + "x\n" * 5000, "a,b\n1,2\n" + "x" * 5000):
        with pytest.raises(DataError, match="line 3: the row is longer than 1000 bytes"):
            read(text)


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_python_writes_comes_back(rows: list[tuple[str, str]], end: str, quoted: bool) -> None:
    out = io.StringIO()
    style = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    writer = csv.writer(out, lineterminator=end, quoting=style)
    writer.writerow(("prompt", "answer"))
    writer.writerows(rows)
    found = [record for record, _ in read(out.getvalue())]
    assert found == [{"prompt": a, "answer": b} for a, b in rows]
