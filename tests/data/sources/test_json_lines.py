"""JSON lines in blocks: cut at line ends, counted right, and never more than a record's limit in memory."""

from __future__ import annotations

import io
import itertools
import json

import pytest

from tunesmith.data.sources import limits
from tunesmith.data.sources.encodings import UTF8
from tunesmith.data.sources.json_lines import line_blocks
from tunesmith.data.sources.text import Text
from tunesmith.data.sources.unpack import Unpacked
from tunesmith.errors import DataError


class Endless(io.RawIOBase):
    """A file that is one line without end; counts what is read of it."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return b"x" * size

    def seek(self, *_: int) -> int:
        return 0

    def tell(self) -> int:
        return self.given


def text(data: bytes) -> Text:
    return Text(Unpacked(io.BytesIO(data), "a.jsonl"), UTF8)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("records", [1, 3, 2000])
def test_blocks_make_the_file(chunk: int, records: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", chunk)
    monkeypatch.setattr(limits, "BLOCK_RECORDS", records)
    lines = [json.dumps({"n": n, "a": "x" * (n % 7 * 5)}) for n in range(60)]
    ends = itertools.cycle(["\n", "\n\n", "\n \t\n", "\r\n"])
    data = "".join(line + next(ends) for line in lines)
    blocks = list(line_blocks(text(data.encode())))
    found = [(record, origin) for block in blocks for record, origin in block.records()]
    file_lines = data.replace("\r\n", "\n").split("\n")
    assert [origin.record for _, origin in found] == list(range(60))
    assert [json.loads(file_lines[(origin.line or 0) - 1]) for _, origin in found] == [record for record, _ in found]
    assert [record["n"] for record, _ in found if isinstance(record, dict)] == list(range(60))
    ends_of = [block.end for block in blocks]
    assert ends_of == sorted(ends_of) and ends_of[-1] <= len(data)
    assert len(blocks) > 10 or chunk > 7 and records > 3


def test_a_line_without_end_is_refused_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_RECORD", 10_000)
    monkeypatch.setattr(limits, "CHUNK", 1000)
    endless = Endless()
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: the line is longer than 10000 bytes, which is the limit"):
        list(line_blocks(Text(Unpacked(endless, "a.jsonl"), UTF8)))  # type: ignore[arg-type]
    assert endless.given < 20_000
    with pytest.raises(DataError, match="line 3: the line is longer"):
        list(line_blocks(text(b'{"a": 1}\n\n{"a": "' + b"x" * 20_000)))
