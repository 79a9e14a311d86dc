"""The whole card: of a finished run with both models, and of one that is not finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.errors import ConfigError
from tunesmith.report import CARD
from tunesmith.report.heldout import Wanted
from tunesmith.report.run import report, spoken, versions
from tunesmith.runs import RunFolder


def test_a_finished_run(carded: Path) -> None:
    html = (carded / CARD).read_text(encoding="utf-8")
    assert "Not measured" not in html and html.count("<svg") >= 5
    assert "Asked: 3 of the 4 records that the run held out" in html and "24 short general questions" in html
    assert 'id="zh" aria-label="简体中文" autocomplete="off" checked' in html
    assert f"tunesmith report {carded}" in html
    assert html.count("<article>") == 3 + 24
    assert not [path for path in carded.rglob("*") if path.name.endswith(".partial")]


def test_a_run_that_is_not_finished(run: Path) -> None:
    (run / "adapter").rename(run / "gone")
    RunFolder(run).set_status("interrupted", step=2)
    html = report(run, run / "card.html", Wanted(device="cpu")).read_text(encoding="utf-8")
    assert "stopped at step 2" in html and "The run has no result yet" in html and html.count("<svg") >= 5
    assert "<article>" not in html


def test_mistakes_are_told_before_anything_is_asked(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith.report.run.Models", None)
    (run / CARD).write_text("mine")
    with pytest.raises(ConfigError, match="is no report card"):
        report(run)
    with pytest.raises(ConfigError, match="is not the folder of a run"):
        report(run / "adapter")


@pytest.mark.parametrize(
    ("settings", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN", "LC_ALL": "en_US"}, "en"),
        ({"LC_MESSAGES": "C"}, "en"),
        ({}, "en"),
    ],
)
def test_the_terminals_language(settings: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert spoken() == language


def test_versions() -> None:
    assert {"Python", "torch", "transformers"} <= versions().keys()
