"""One message for all faults."""

from __future__ import annotations

from tunesmith.data.report import SHOWN, DataReport, FileReport, refusal
from tunesmith.data.types import Origin
from tunesmith.errors import DataError, RecordError


def fault(number: int) -> RecordError:
    return RecordError(Origin("a.json", number, number + 1), "output", "it is empty.", "Fill it in.")


def report(kept: int, bad: int) -> DataReport:
    return DataReport([FileReport("a.json", "alpaca", kept + bad, kept, [fault(number) for number in range(bad)])])


def test_a_broken_file_alone_speaks_for_itself() -> None:
    error = DataError("'a.json' is empty.")
    assert refusal([error], DataReport()) is error


def test_bad_records() -> None:
    assert str(refusal([], report(5, 1))) == (
        "1 of 6 records cannot be used:\n"
        "  a.json, record 0, line 1, field 'output': it is empty. Fill it in.\n"
        "Mend them, or leave them out with data.on_bad=skip."
    )
    assert "skip" not in str(refusal([], report(0, 1))), "skipping all would leave nothing"
    lines = str(refusal([], report(1, SHOWN + 3))).splitlines()
    assert len(lines) == SHOWN + 3 and lines[-2] == "  ... and 3 more bad records."


def test_files_and_records() -> None:
    text = str(refusal([DataError("x"), DataError("y")], report(5, 1)))
    assert text.splitlines()[:3] == ["2 data files and 1 of 6 records cannot be used:", "  x", "  y"]
    assert "skip" not in text


def test_as_json() -> None:
    content = report(1, 1).as_json()
    assert content["tokens"] == 0
    assert content["files"] == [
        {
            "path": "a.json",
            "format": "alpaca",
            "records": 2,
            "kept": 1,
            "bad": [{"index": 0, "line": 1, "field": "output", "reason": "it is empty.", "mend": "Fill it in."}],
            "unlearned": 0,
            "notes": [],
            "sha256": "",
        }
    ]
    assert DataReport.from_json(content).as_json() == content
