"""Records with single quotes: read as literals, never executed, every fault named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.data.convert.run import Job, run
from tunesmith.data.sources import python_records, read_records
from tunesmith.errors import DataError, RecordError

PAIR = "{'prompt': '你好 \\'x\\'', 'completion': \"it's\", 'more': [1, None, true]}"


def write(folder: Path, text: str) -> str:
    (folder / "pseudo.json").write_text(text, encoding="utf-8")
    return str(folder / "pseudo.json")


@pytest.mark.parametrize("text", [f"[{PAIR},\n {PAIR},]", f"{PAIR}\n\n{PAIR}\n", f"{PAIR},\n{PAIR},\n"])
def test_lists_and_lines(text: str, tmp_path: Path) -> None:
    found = list(python_records(write(tmp_path, text)))
    wanted = {"prompt": "你好 'x'", "completion": "it's", "more": [1, None, True]}
    assert [record for record, _ in found] == [wanted, wanted]
    assert [origin.record for _, origin in found] == [0, 1] and found[0][1].line == 1
    with pytest.raises(DataError, match=r"pseudo.json --python --to messages --output NEW\.jsonl"):
        list(read_records(write(tmp_path, text)))


@pytest.mark.parametrize(
    ("element", "wanted"),
    [
        ("{'a': __import__('os')}", "holds Call, which is no literal"),
        ("{'a': 1, 'a': 2}", "'a' stands twice"),
        ("{'a': {'b': b'x'}}", "holds a bytes"),
        ("{1: 'a'}", "key is not a text"),
        ("{**x}", "key is not a text|no literal"),
        ("'text'", "not a dictionary"),
    ],
)
def test_what_is_no_record_is_named(element: str, wanted: str, tmp_path: Path) -> None:
    records = [record for record, _ in python_records(write(tmp_path, f"[{PAIR},\n{element}]"))]
    assert isinstance(records[0], dict) and isinstance(records[1], RecordError)
    assert records[1].origin.line == 2  # type: ignore[attr-defined]
    with pytest.raises(RecordError, match=wanted):
        raise records[1]


def test_what_is_no_literal_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: it is neither JSON nor a Python literal"):
        list(python_records(write(tmp_path, f"{PAIR}\n{{'a: 1}}")))
    with pytest.raises(DataError, match="no file"):
        list(python_records(str(tmp_path / "gone.json")))


def test_data_convert_makes_json_of_it(tmp_path: Path) -> None:
    path, output = write(tmp_path, "[{'prompt': 'a', 'completion': 'b'}]"), tmp_path / "out.jsonl"
    run(Job([path], "messages", str(output), python=True))
    assert [record["messages"][1]["content"] for record, _ in read_records(output)] == ["b"]
