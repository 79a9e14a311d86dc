"""Sides take turns, failures end a side and not the rest, and processes see nothing but the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.bench.figures import Case, Failure, Measured
from tunesmith.bench.lineup import SIDES, Side
from tunesmith.bench.measure import Bench, Terms
from tunesmith.errors import MachineError, RunError

from .conftest import measured

TERMS = Terms(repeats=3, threads=1, device="cpu", batch_size=3)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, TERMS, lambda text: None)


def test_another_side_begins_each_time(bench: Bench, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def one(self: Bench, case: Case, models: Any, side: Side) -> Measured | Failure:
        seen.append(side.name)
        return Failure("broken") if side.name == "trl" else measured(case, 1.0)

    monkeypatch.setattr(Bench, "_measure", one)
    sides = [side for side in SIDES if side.name in ("plain", "trl", "tunesmith")]
    found = bench.compare(case, {}, sides)
    assert seen == ["plain", "trl", "tunesmith", "tunesmith", "plain", "tunesmith", "plain"]
    assert [len(found[side.name]) for side in sides] == [3, 1, 3]


def test_other_rows_are_an_error(bench: Bench, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"order": [0, 1, 2], "steps": [{}] * case.job.steps, "peak": 1, "versions": {}}
    monkeypatch.setattr(Bench, "_run", lambda *_: half)
    case = Case(
        case.dataset,
        case.size,
        type(case.job)(**{**vars(case.job), "rows": str(bench.folder / "rows")}),
        "",
        case.tokens,
    )
    with pytest.raises(RunError, match="other rows or steps"):
        bench.compare(case, {"native": "x", "granite": "y"}, [SIDES[0]])


def test_the_last_line_is_the_reason(bench: Bench, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" >&2\nls "$PYTHONPATH" >&2\necho "Error: no paper" >&2\nexit 1\n')
    python.chmod(0o755)
    found = bench._run(str(python), "child", tmp_path / "job.json")
    assert isinstance(found, Failure) and found.reason == "Error: no paper"
    assert list(found.lines) == [str(tmp_path / "path"), "tunesmith", "Error: no paper"]
    python.write_text("#!/bin/sh\nkill -9 $$\n")
    found = bench._run(str(python), "child", tmp_path / "job.json")
    assert isinstance(found, Failure) and "signal 9" in found.reason


def test_preparing_that_fails_says_why(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "_run", lambda *_: Failure("no GPU"))
    with pytest.raises(MachineError, match="pairs x 2b could not be prepared: no GPU"):
        bench.prepare("pairs", "2b", 1)
