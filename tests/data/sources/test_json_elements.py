"""Lists and loose objects as a stream: the same records, places and messages whatever the window is."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tunesmith.data.sources import limits
from tunesmith.data.sources.encodings import UTF8
from tunesmith.data.sources.json_elements import Sized, list_records, loose_records
from tunesmith.data.sources.text import Text
from tunesmith.data.sources.unpack import Unpacked
from tunesmith.errors import DataError

Reader = Callable[[Text], Iterator[Sized]]
LIST = '\n[\n  {"a": "一\\n", "n": -12.5e3},{"b": [1, 2, {"c": null}]}\n , {"long": "' + "x" * 300 + '"},\n\n{}]\n\n'
LOOSE = '{"a":\n1}{"b": 2}\n\n{"c":\n [3,\n4]}\n'


def read(reader: Reader, text: str) -> list[tuple[Any, int | None]]:
    source = Text(Unpacked(io.BytesIO(text.encode()), "a.json"), UTF8)
    return [(record, origin.line) for (record, origin), _, _ in reader(source)]


def message(reader: Reader, text: str) -> str:
    with pytest.raises(DataError) as caught:
        read(reader, text)
    return str(caught.value)


@pytest.mark.parametrize("chunk", [1, 2, 5, 17, 100, 1 << 20])
def test_any_window(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", chunk)
    records = json.loads(LIST)
    assert read(list_records, LIST) == list(zip(records, (3, 3, 4, 6), strict=True))
    assert read(list_records, json.dumps(records * 50)) == [(record, 1) for record in records * 50]
    assert read(loose_records, LOOSE) == [({"a": 1}, 1), ({"b": 2}, 2), ({"c": [3, 4]}, 4)]


@pytest.mark.parametrize("chunk", [1, 3, 10, 64])
@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[\n" + " " * 500,
        '[{"a": 1},\n]',
        '[{"a": 1,}]' + " " * 100,
        '[\n{"a": "x"y"}, {"b": "' + "z" * 300 + '"}]',
        '[{"a": True}' + ', {"a": 2}' * 50 + "]",
        '[{"a": 1}\n\n {"a": 2}]',
        '[{"a": tru',
        '[{"a": 12',
        '[{"a": "\\u12',
        '[{"a": "x\\',
        '[{"a": 1}' + ', {"a": 2}' * 100,
        '[{"a": 1}]\n\n ] and more of this',
        '[{"a": ' + "[" * 100_000,
        '[{"a": 1},\n\n{"b": "x\ny"}]',
        "[{'a': 1}]",
    ],
)
def test_messages_do_not_depend_on_the_window(text: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = message(list_records, text)
    monkeypatch.setattr(limits, "CHUNK", chunk)
    assert message(list_records, text) == whole


def test_a_fault_is_found_without_reading_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", 1000)
    stream = io.BytesIO(('[{"a": 1}, {"a" 2}, ' + '{"a": 3}, ' * 10_000).encode())
    with pytest.raises(DataError, match=r"line 1, column 17 \(record 1\)"):
        list(list_records(Text(Unpacked(stream, "a.json"), UTF8)))
    assert stream.tell() < 5000


def test_memory_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", 1000)
    stream = io.BytesIO(("[" + '{"a": 3},\n' * 5000 + '{"a": 4}]').encode())
    for number, ((_, origin), _, end) in enumerate(list_records(Text(Unpacked(stream, "a.json"), UTF8))):
        assert origin.line == number + 1 and end - number * 10 < 4000


def test_a_record_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", 100)
    monkeypatch.setattr(limits, "MAX_RECORD", 1000)
    text = message(list_records, '[{"a": 1},\n{"a": "' + "x" * 100_000)
    assert "record 1, line 2: the record is longer than 1000 bytes" in text and '{"data": [...]}' in text
    assert "limit" in message(loose_records, '{"data": [' + '{"a": 1}, ' * 1000 + "{}]}")
