"""The command line of the report card: its options, the command that it writes down, and how it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith import cli
from tunesmith.report import command
from tunesmith.report.heldout import Wanted


def test_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []

    def report(*arguments: Any) -> Path:
        asked.append(arguments)
        return Path("out.html")

    monkeypatch.setattr("tunesmith.report.run.report", report)
    options = ["--html", "out.html", "--data", "a b.json", "--data", "c.json", "--limit", "3", "--language", "zh"]
    assert cli.main(["report", "runs/mine", *options, "--on-bad", "skip", "--max-new-tokens", "9"]) == 0
    folder, target, wanted, language, words, _ = asked[0]
    assert (folder, target, language) == (Path("runs/mine"), Path("out.html"), "zh")
    assert wanted == Wanted(("a b.json", "c.json"), "skip", None, 3, 9)
    assert words == [
        *["runs/mine", "--html", "out.html", "--data", "a b.json", "--data", "c.json", "--on-bad", "skip"],
        *["--limit", "3", "--max-new-tokens", "9", "--language", "zh"],
    ]
    assert capsys.readouterr().out == "Report card: out.html\n"
    assert cli.main(["report", "runs/mine"]) == 0
    assert asked[1][1:5] == (None, Wanted(), None, ["runs/mine"])


def test_usual_values_are_those_of_what_is_wanted() -> None:
    usual = command.Options(Path("x"))
    assert (usual.limit, usual.max_new_tokens, usual.on_bad) == (Wanted.limit, Wanted.max_new_tokens, Wanted.on_bad)


def test_stopping_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tunesmith.report.run.report", stopped)
    assert cli.main(["report", "runs/mine"]) == 130
    assert "No page was written; what is done is kept" in capsys.readouterr().err


def test_a_mistake_is_one_paragraph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    assert cli.main(["report", str(tmp_path), "--language", "fr"]) == 2
