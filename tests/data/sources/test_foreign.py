"""What holds no records is named."""

from __future__ import annotations

import pytest

from tunesmith.data.sources.foreign import refuse_archive, refuse_packed_table, refuse_text
from tunesmith.errors import DataError


@pytest.mark.parametrize("head", [b'[{"a": 1}]', b'\xef\xbb\xbf\n {"a": 1}', '{"a": "\u4f60'.encode()[:-1], b"[]"])
def test_json_is_let_through(head: bytes) -> None:
    refuse_archive(head, "data.json")
    refuse_text(head.decode("utf-8-sig", "replace"), "data.json")


@pytest.mark.parametrize(
    "head",
    [b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\0", b"%PDF-1.7", b"SQLite format 3\0", b"FEA1", b"{\0", b"\xd0\xcf\x11\xe0"],
)
def test_archives_are_refused_in_one_paragraph(head: bytes) -> None:
    with pytest.raises(DataError, match=r"data\.json") as caught:
        refuse_archive(head, "data.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "empty"), ("\n ", "empty"), ("<html>", "web page"), ("\n \nsome\ntext", "line 3, .*'some'")],
)
def test_texts_are_refused_in_one_paragraph(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        refuse_text(text, "data.json")
    assert "\n" not in str(caught.value)


def test_prose_may_begin_with_anything_but_a_web_page() -> None:
    for text in ("# Title", "<div align=center>", "a,b"):
        refuse_text(text, "a.md", prose=True)
    with pytest.raises(DataError, match="web page"):
        refuse_text("<!DOCTYPE html>", "a.md", prose=True)


def test_a_packed_table() -> None:
    with pytest.raises(DataError, match=r"packed with gzip as a whole\. Unpack it"):
        refuse_packed_table("a.gz", "gzip")
