"""Pictures: named as the record writes them, and each with a mark of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.formats._images import listed, numbered, refer
from tunesmith.data.types import ImageRef, Message, Origin
from tunesmith.errors import RecordError


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(str(tmp_path / "x.json"), 0)


def test_paths_begin_at_the_data_file(origin: Origin, tmp_path: Path) -> None:
    ref = refer("<image>", "pictures/a.jpg", "image", origin)
    assert ref == ImageRef("<image>", str(tmp_path / "pictures" / "a.jpg"))
    assert (ref.written, ref.field) == ("pictures/a.jpg", "image")
    assert refer("<image>", ref.path, "image", origin).path == ref.path
    assert refer("<image>", "pictures/a.jpg", "image", Origin("x.json", 0)).path == "pictures/a.jpg"
    for address in ("https://example.org/a.jpg", "HTTP://example.org//a.jpg"):
        assert refer("<image>", address, "image", origin).path == address


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("data:image/png;base64," + "A" * 1000, "A...' is an address"),
        ("file:///etc/passwd", "is an address; pictures are read from files"),
        ("FTP://example.org/a.jpg", "is an address; pictures are read from files"),
        ("", "it is empty: no picture is named"),
        (None, "it is null, not a text"),
        ({"bytes": "x"}, "it is an object, not a text"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_is_no_path_is_named(origin: Origin, path: Any, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        refer("<image>", path, "image", origin)
    assert words in str(caught.value) and caught.value.field == "image"


def test_listed(origin: Origin) -> None:
    assert listed("a.jpg", origin) == [("images", "a.jpg")]
    assert listed(["a", 1], origin) == [("images[0]", "a"), ("images[1]", 1)]
    assert listed("", origin) == []
    with pytest.raises(RecordError, match="it is a number, not a list"):
        listed(1, origin)


def numbering(origin: Origin, *texts: str, count: int) -> tuple[list[str], tuple[ImageRef, ...]]:
    messages = [Message("assistant" if number % 2 else "user", text) for number, text in enumerate(texts)]
    pictures = [(f"images[{number}]", "pictures/a.jpg") for number in range(count)]
    found, refs = numbered(messages, pictures, [f"m[{number}]" for number in range(len(texts))], origin)
    return [message.content for message in found], refs


def test_marks_are_numbered(origin: Origin, tmp_path: Path) -> None:
    texts, refs = numbering(origin, "<image><image>a", "b", "<image>", count=3)
    assert texts == ["<image_00><image_01>a", "b", "<image_02>"]
    assert refs == tuple(ImageRef(f"<image_0{n}>", str(tmp_path / "pictures/a.jpg")) for n in range(3))
    assert numbering(origin, "a <image_00>", "b", count=0) == (["a <image_00>", "b"], ())
    assert numbering(origin, "<image>" * 101, "b", count=101)[0][0].endswith("<image_99><image_100>")


@pytest.mark.parametrize(
    ("texts", "count", "field", "words"),
    [
        (("a", "b"), 1, "images", "there are 1 pictures, but '<image>' stands 0 times"),
        (("<image>", "b"), 0, "images", "there are 0 pictures, but '<image>' stands 1 times"),
        (("a", "<image>"), 1, "m[1]", "stands in an answer"),
        (("<image> <image_00>", "b"), 1, "m[0]", "it holds '<image_00>'"),
    ],
)
def test_marks_that_do_not_agree(origin: Origin, texts: tuple[str, ...], count: int, field: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        numbering(origin, *texts, count=count)
    assert caught.value.field == field and words in str(caught.value)
