"""survey(): what becomes of each block, in the order of the files, whatever is broken among them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data import flow
from tunesmith.data.chat import RenderOptions, render
from tunesmith.data.chats import MarkerChat
from tunesmith.data.flow import Done, Work, survey
from tunesmith.data.sources import limits
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Conversation, Example, Origin
from tunesmith.errors import ConfigError, DataError, RecordError

MINICPM = TextTokenizer.load(Path(__file__).parents[1] / "golden" / "tokenizers" / "minicpm-2b")
PARSE, ROWS = Work(), Work(MarkerChat(), MINICPM)


def pair(number: int) -> dict[str, Any]:
    return {"prompt": f"第{number}问", "completion": f"第{number}答"}


def task(number: int) -> dict[str, Any]:
    return {"instruction": f"做{number}", "output": f"好{number}"}


def write(path: Path, records: list[Any]) -> str:
    """One record a line; a text is written as it is."""
    lines = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def small_blocks(monkeypatch: pytest.MonkeyPatch, records: int = 10) -> None:
    for name, value in {"BLOCK_RECORDS": records, "CHUNK": 64}.items():
        monkeypatch.setattr(limits, name, value)


def numbers(conversations: list[Conversation], rows: list[list[Example]]) -> list[int]:
    """A probe: the numbers of the records that could be parsed."""
    assert not rows or len(rows) == len(conversations)
    return [talk.origin.record for talk in conversations if talk.origin]


def summary(done: Done) -> tuple[Any, ...]:
    """What a block gave, with its arrays as lists."""
    columns = done.columns
    rows = [columns.example(row, done.path) for row in range(len(columns))] if columns is not None else None
    faults = [str(error) for error in done.bad]
    return done.path, done.format, done.records, rows, faults, done.unlearned, done.position, done.size, str(done.error)


def test_nothing_gives_nothing() -> None:
    assert list(survey([], PARSE)) == []


def test_rows_are_the_rendered_records_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    files = [write(tmp_path / name, [pair(n) for n in range(35)]) for name in ("b.jsonl", "a.jsonl")]
    blocks = list(survey(files, ROWS))
    assert len(blocks) > 6
    found = [
        done.columns.example(row, done.path) for done in blocks if done.columns for row in range(len(done.columns))
    ]
    origins = [row.origin for row in found]
    assert origins == [Origin(file, n, n + 1) for file in files for n in range(35)]
    first = survey(files, Work(probe=lambda talks, rows: talks))
    talks = [talk for done in first for talk in done.probed]
    assert found == [render(talk, MarkerChat(), MINICPM) for talk in talks]


def test_without_a_tokenizer_records_are_only_parsed(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    work = Work(probe=lambda talks, rows: seen.append((len(talks), len(rows))))
    (done,) = survey([write(tmp_path / "a.jsonl", [pair(0), "{}", pair(2)])], work)
    assert (done.records, len(done.bad)) == (3, 1)
    assert done.columns is None or len(done.columns) == 0
    assert seen == [(2, 0)]


def test_the_probe_sees_each_block_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    file = write(tmp_path / "a.jsonl", [pair(n) if n % 7 else {"prompt": "问"} for n in range(40)])
    blocks = list(survey([file], Work(MarkerChat(), MINICPM, probe=numbers)))
    assert len(blocks) > 3
    assert [n for done in blocks for n in done.probed] == [n for n in range(40) if n % 7]
    assert [error.origin.record for done in blocks for error in done.bad] == list(range(0, 40, 7))
    assert sum(done.records for done in blocks) == 40


def test_each_file_has_its_format(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.jsonl", [pair(0)]), write(tmp_path / "b.jsonl", [task(0), task(1)])]
    assert [(done.path, done.format, done.records) for done in survey(files, ROWS)] == [
        (files[0], "completion", 1),
        (files[1], "alpaca", 2),
    ]
    first, second = survey(files, Work(format="alpaca"))
    assert (first.format, [error.field for error in first.bad], second.bad) == ("alpaca", ["instruction"], [])
    with pytest.raises(ConfigError, match=r"Unknown data.format 'alpacca'; did you mean 'alpaca'\?"):
        list(survey(["nowhere.jsonl"], Work(format="alpacca")))


def test_files_that_cannot_be_read_stand_in_their_place(tmp_path: Path) -> None:
    good = write(tmp_path / "good.jsonl", [pair(0)])
    cut, empty = write(tmp_path / "cut.json", [f"[{json.dumps(pair(0))}, {{"]), write(tmp_path / "empty.jsonl", [])
    odd, missing = write(tmp_path / "odd.jsonl", ['{"a": 1}']), str(tmp_path / "godo.jsonl")
    files = [missing, cut, good, empty, odd, good]
    blocks = list(survey(files, ROWS))
    errors = [(Path(done.path).name, done.records, str(done.error)) for done in blocks if done.error]
    assert [name for name, _, _ in errors] == ["godo.jsonl", "cut.json", "empty.jsonl", "odd.jsonl"]
    words = ["There is no file", "(record 1): it is not valid JSON", "is empty", "no format fits"]
    assert all(word in text for word, (_, _, text) in zip(words, errors, strict=True))
    assert [done.records for done in blocks if done.path == good] == [1, 1]
    assert blocks[-1].error is None


def test_a_file_is_read_up_to_the_place_where_it_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    file = Path(write(tmp_path / "a.jsonl", [pair(n) for n in range(90)]))
    lines = file.read_bytes().split(b"\n")
    lines[55] = b'{"prompt": "\xff", "completion": "a"}'
    file.write_bytes(b"\n".join(lines))
    after = write(tmp_path / "b.jsonl", [pair(0)])
    blocks = list(survey([str(file), after], Work(MarkerChat(), MINICPM, probe=numbers)))
    own = [done for done in blocks if done.path == str(file)]
    assert [done.error is not None for done in own] == [False] * (len(own) - 1) + [True]
    assert "a.jsonl, line 56: it is not UTF-8" in str(own[-1].error)
    assert [n for done in own for n in done.probed] == list(range(55))
    assert sum(done.records for done in own) == 55
    assert [(done.path, done.records) for done in blocks[len(own) :]] == [(after, 1)]


def test_answers_marked_as_bad_are_valid_but_not_learned(tmp_path: Path) -> None:
    records = [{**pair(n), "label": n % 3 > 0} for n in range(9)]
    (done,) = survey([write(tmp_path / "a.jsonl", records)], Work(MarkerChat(), MINICPM, probe=numbers))
    assert (done.records, done.bad, done.unlearned) == (9, [], 3)
    assert done.columns is not None and done.columns.record.tolist() == [1, 2, 4, 5, 7, 8]
    assert done.probed == list(range(9)), "a probe sees them too"


def test_what_cannot_be_rendered_is_a_bad_record(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [pair(0), {**pair(1), "prompt": "长" * 60}])
    (done,) = survey([file], Work(MarkerChat(), MINICPM, RenderOptions(40)))
    assert [(error.origin, error.field) for error in done.bad] == [(Origin(file, 1, 2), "messages")]
    assert "Raise max_length" in str(done.bad[0]) and done.columns is not None and len(done.columns) == 1


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "jsonl.gz", "parquet"])
def test_the_position_ends_at_the_end(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch, 5)
    records, file = [pair(n) for n in range(50)], tmp_path / f"a.{kind}"
    if kind == "parquet":
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.Table.from_pylist(records), file)
    elif kind == "csv":
        file.write_text("prompt,completion\n" + "".join(f"问{n},答{n}\n" for n in range(50)), encoding="utf-8")
    else:
        text = json.dumps(records) if kind == "json" else "\n".join(map(json.dumps, records))
        file.write_bytes(gzip.compress(text.encode(), mtime=0) if kind.endswith("gz") else text.encode())
    blocks = list(survey([str(file)], ROWS))
    positions = [done.position for done in blocks]
    assert positions == sorted(positions) and positions[-1] == file.stat().st_size
    assert {done.size for done in blocks} == {file.stat().st_size}
    assert len(blocks) > 1 and sum(done.records for done in blocks) == 50


def test_worker_processes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_blocks(monkeypatch)
    files = [write(tmp_path / f"{n}.jsonl", [pair(m) if m % 9 else "{" for m in range(60)]) for n in range(2)]
    files.insert(1, write(tmp_path / "cut.json", [json.dumps([pair(0)] * 30)[:-9]]))
    files.append(str(tmp_path / "missing.jsonl"))
    one = [summary(done) for done in survey(files, ROWS, processes=1)]
    monkeypatch.setattr(flow, "SMALL", 0)
    assert [summary(done) for done in survey(files, ROWS, processes=2)] == one
    assert [path for path, *_, error in one if error != "None"] == [files[1], files[3]]


def test_a_fault_of_ours_is_not_taken_for_the_user_s(tmp_path: Path) -> None:
    def probe(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(survey([write(tmp_path / "a.jsonl", [pair(0)])], Work(probe=probe)))


def test_errors_travel_in_their_parts() -> None:
    import pickle

    error = RecordError(Origin("a.jsonl", 3, 4), "prompt", "it is empty.", "Fill it in.")
    again = pickle.loads(pickle.dumps(error))
    assert (again.origin, again.field, again.reason, again.mend) == (
        error.origin,
        "prompt",
        "it is empty.",
        "Fill it in.",
    )
    assert str(pickle.loads(pickle.dumps(DataError("so")))) == "so"
