"""One text for all encodings and line ends."""

from __future__ import annotations

import io

import pytest

from tunesmith.data.sources import limits
from tunesmith.data.sources.encodings import detect
from tunesmith.data.sources.text import Text
from tunesmith.data.sources.unpack import Unpacked
from tunesmith.errors import DataError

CONTENT = "一\n二\n\n三\u2028\x85四\n"


def opened(data: bytes) -> Text:
    stream = Unpacked(io.BytesIO(data), "a.txt")
    return Text(stream, detect(*stream.peek(1000)))


@pytest.mark.parametrize("chunk", [1, 2, 3, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_line_ends(codec: str, end: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = CONTENT.replace("\n", end).encode(codec)
    monkeypatch.setattr(limits, "CHUNK", chunk)
    assert b"".join(opened(data).utf8()).decode() == CONTENT
    assert "".join(opened(data).characters()) == CONTENT


@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_gb18030(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "我们去公园。\n今天天气很好\n"
    monkeypatch.setattr(limits, "CHUNK", chunk)
    assert b"".join(opened(text.replace("\n", "\r\n").encode("gb18030")).utf8()).decode() == text


@pytest.mark.parametrize("chunk", [1, 4, 1000])
def test_a_broken_character_has_a_line(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = "一\r\n二\r\n".encode()
    monkeypatch.setattr(limits, "CHUNK", chunk)
    with pytest.raises(DataError, match="line 3: it is not UTF-8"):
        list(opened(data + b"\xe4\xb8").characters())
    with pytest.raises(DataError, match="line 2: it is not UTF-8"):
        list(opened("一\n二二二\xff\n".encode().replace("\xff".encode(), b"\xff")).characters())
    wide = "\ufeff一\n二".encode("utf-16-le") + b"\x00"
    with pytest.raises(DataError, match="line 2: the file is in UTF-16, but byte 0x00"):
        list(opened(wide).utf8())
