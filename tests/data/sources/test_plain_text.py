"""A text file is one record."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.data.sources import limits, scan
from tunesmith.data.sources.plain_text import looks_like_json
from tunesmith.data.types import Origin
from tunesmith.errors import DataError


def test_the_whole_file_is_one_text(tmp_path: Path) -> None:
    (path := tmp_path / "a.md").write_bytes("\ufeff# 题目\r\n\r\n[链接](x)\r最后\n".encode())
    assert list(scan(path)) == [({"text": "# 题目\n\n[链接](x)\n最后\n"}, Origin(str(path), 0, 1))]
    (path := tmp_path / "a.txt").write_text("[1] a footnote")
    assert [record for record, _ in scan(path)] == [{"text": "[1] a footnote"}]


def test_json_in_a_text_file_is_json(tmp_path: Path) -> None:
    (path := tmp_path / "a.txt").write_text('{"a": 1}\n{"a": 2}\n')
    assert [record for record, _ in scan(path)] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("text", "is_json"),
    [('[\n {"a"', True), (' {"a"', True), ("{}", True), ("[1]", False), ("{x}", False), ("[a](b)", False)],
)
def test_looks_like_json(text: str, is_json: bool) -> None:
    assert looks_like_json(text) == is_json


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HEAD", 4)
    monkeypatch.setattr(limits, "CHUNK", 4)
    (path := tmp_path / "a.txt").write_text("one\ntwo\0")
    with pytest.raises(DataError, match="line 2: a zero byte"):
        list(scan(path))
    monkeypatch.setattr(limits, "MAX_RECORD", 10)
    path.write_text("x" * 11)
    with pytest.raises(DataError, match="more than 10 bytes"):
        list(scan(path))
    path.write_text("")
    with pytest.raises(DataError, match="is empty"):
        list(scan(path))
