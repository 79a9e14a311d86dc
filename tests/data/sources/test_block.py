"""A block goes to another process and gives its records there."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from tunesmith.data.sources import limits
from tunesmith.data.sources.block import Block, Found, Gathering
from tunesmith.data.sources.json_elements import Sized
from tunesmith.data.types import Origin
from tunesmith.errors import DataError, RecordError


def test_lines_are_parsed_by_the_block() -> None:
    block = Block("a.jsonl", 99, lines='{"a": 1}\n\n \t\n{"a": "x\u2028y"}\n{"a"\n'.encode(), record=5, line=11)
    (first, at_first), (second, at_second), (third, _) = pickle.loads(pickle.dumps(block)).records()
    assert (first, at_first) == ({"a": 1}, Origin("a.jsonl", 5, 11))
    assert (second, at_second) == ({"a": "x\u2028y"}, Origin("a.jsonl", 6, 14))
    assert isinstance(third, RecordError) and "record 7, line 15" in str(third)


def test_parsed_records_and_errors_survive_the_way() -> None:
    origin = Origin("a.json", 0, 1)
    block = Block("a.json", 9, (({"a": 1}, origin), (RecordError(origin, "a", "bad.", "Mend."), origin)))
    copy = pickle.loads(pickle.dumps(block))
    (record, _), (error, _) = copy.records()
    assert record == {"a": 1} and str(error) == "a.json, record 0, line 1, field 'a': bad. Mend." and copy.end == 9


def test_the_lines_before_a_broken_character_are_read() -> None:
    found: list[Found] = []
    with pytest.raises(DataError, match=r"a\.jsonl, line 5: it is not UTF-8 \(byte 0xff"):
        found.extend(Block("a.jsonl", 9, lines=b'{"a": 1}\n{"a": 2}\n{"a": "\xff"}\n{"a": 4}', line=3).records())
    assert [record for record, _ in found] == [{"a": 1}, {"a": 2}]


def test_gathering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BLOCK_RECORDS", 3)
    monkeypatch.setattr(limits, "BLOCK_SIZE", 100)

    def found() -> Iterator[Sized]:
        for number, size in enumerate((1, 1, 1, 100, 1)):
            yield ({"n": number}, Origin("a", number)), size, number
        raise DataError("broken")

    blocks: list[Block] = []
    with pytest.raises(DataError, match="broken"):
        blocks.extend(Gathering("a").blocks(found()))
    assert [[record["n"] for record, _ in block.parsed] for block in blocks] == [[0, 1, 2], [3], [4]]
    assert [block.end for block in blocks] == [2, 3, 4]
