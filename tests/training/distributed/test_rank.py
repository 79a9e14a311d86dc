"""One rank: what it reports to the process that started it, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.errors import DataError
from tunesmith.training.distributed import launch, rank
from tunesmith.training.run import RunResult


@pytest.mark.parametrize(
    ("end", "code", "told"),
    [
        (RunResult(Path("r"), "finished", 8, 0.5, Path("r/adapter")), 0, {"state": "finished", "result": "r/adapter"}),
        (
            RunResult(Path("r"), "interrupted", 3, 0.7, signal=15),
            143,
            {"state": "interrupted", "step": 3, "signal": 15},
        ),
        (DataError("no rows"), 2, {"kind": "DataError", "message": "no rows", "exit_code": 2}),
        (KeyboardInterrupt(), 130, {}),
    ],
    ids=["finished", "interrupted", "error", "ctrl-c"],
)
def test_reports_how_it_ended(
    end: RunResult | BaseException, code: int, told: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(file: Path) -> RunResult:
        assert file == Path("my.yaml")
        if isinstance(end, BaseException):
            raise end
        return end

    monkeypatch.setattr(rank, "train", train)
    monkeypatch.setattr(launch, "end_with_launcher", lambda: None)
    monkeypatch.setenv(launch.REPORT, str(tmp_path / "report.json"))
    assert rank.main("my.yaml") == code
    report = json.loads((tmp_path / "report.json").read_text()) if told else {}
    assert told.items() <= report.items()
