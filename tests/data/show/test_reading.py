"""Reading: the records asked for, their format, and no further than needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.chats import MarkerChat
from tunesmith.data.show.reading import Reading, Wanted, wanted
from tunesmith.data.show.rows import Microscope
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import ConfigError, DataError

MINICPM = TextTokenizer.load(Path(__file__).parents[2] / "golden" / "tokenizers" / "minicpm-2b")
SCOPE = Microscope(MarkerChat(), MINICPM)


def record(answer: str = "好") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": answer}]}


def lines(path: Path, records: list[Any]) -> str:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    return str(path)


@pytest.fixture
def thirteen(tmp_path: Path) -> str:
    return lines(tmp_path / "a.jsonl", [record() for _ in range(13)])


@pytest.mark.parametrize(
    ("which", "numbers", "more"),
    [
        (Wanted(), list(range(13)), False),
        (Wanted(0, 3), [0, 1, 2], True),
        (Wanted(12, 1), [12], False),
        (Wanted(11, 5), [11, 12], False),
        (Wanted(0, 13), list(range(13)), False),
    ],
)
def test_the_records_wanted(thirteen: str, which: Wanted, numbers: list[int], more: bool) -> None:
    reading = Reading(thirteen, SCOPE, which)
    assert [view.record for view in reading] == numbers
    assert (reading.more, reading.format) == (more, "messages")


def test_a_record_that_is_not_there(thirteen: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no record 13 in .*the file has 13 records, 0 to 12"):
        list(Reading(thirteen, SCOPE, Wanted(13, 1)))
    with pytest.raises(DataError, match="no record 1 in .*the file has 1 record"):
        list(Reading(lines(tmp_path / "b.jsonl", [record()]), SCOPE, Wanted(1, 1)))


def test_bad_records_are_views(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [record(), {"messages": []}, [1], record()])
    views = list(Reading(path, SCOPE))
    assert [view.good for view in views] == [True, False, False, True]
    assert views[1].error is not None and views[1].error.field == "messages" and views[1].origin.line == 2
    assert views[2].error is not None and "not an object" in views[2].error.reason


def test_it_stops_as_soon_as_it_can(tmp_path: Path) -> None:
    path = Path(lines(tmp_path / "a.jsonl", [record() for _ in range(3000)]))
    with path.open("ab") as stream:
        stream.write(b"\xff\xfe this is not text\n" * 100)
    assert len(list(Reading(str(path), SCOPE, Wanted(0, 3)))) == 3
    with pytest.raises(DataError, match="UTF-8"):
        list(Reading(str(path), SCOPE))


def test_what_stands_before_a_broken_place_is_shown(tmp_path: Path) -> None:
    text = json.dumps([record() for _ in range(5)], ensure_ascii=False)
    path = tmp_path / "a.json"
    path.write_text(text.removesuffix("]") + ", {broken]", encoding="utf-8")
    reading = Reading(str(path), SCOPE, Wanted(0, 5))
    assert len(list(reading)) == 5 and reading.more
    with pytest.raises(DataError, match="not valid JSON"):
        list(Reading(str(path), SCOPE))
    path.write_text("[{broken]", encoding="utf-8")
    with pytest.raises(DataError, match="not valid JSON"):
        list(Reading(str(path), SCOPE, Wanted(0, 1)))


def test_format_is_named_or_found(thirteen: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mesages.*messages"):
        list(Reading(thirteen, SCOPE, format="mesages"))
    assert not next(iter(Reading(thirteen, SCOPE, format="alpaca"))).good
    path = lines(tmp_path / "b.jsonl", [{"instruction": "a", "output": "b"}, record()])
    with pytest.raises(DataError, match="--format"):
        list(Reading(path, SCOPE))


def test_options_say_which() -> None:
    assert wanted(None, None, 3) == Wanted(0, 3) and wanted(None, None, None) == Wanted(0, None)
    assert wanted(5, None, 3) == Wanted(5, 1) and wanted(5, 2, 3) == Wanted(5, 2) and wanted(None, 7, 3) == Wanted(0, 7)
    with pytest.raises(ConfigError, match="from 0"):
        wanted(-1, None, 3)
    with pytest.raises(ConfigError, match="--count 0"):
        wanted(None, 0, 3)
