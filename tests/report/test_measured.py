"""Before and after: eval's figures of both models, kept for the next time; what cannot be measured says why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tunesmith.errors import DataError
from tunesmith.report import KEPT
from tunesmith.report.facts import Facts
from tunesmith.report.heldout import Wanted
from tunesmith.report.measured import Measured, Models

QUIET = Console(quiet=True)
WANTED = Wanted(limit=2, max_new_tokens=8, device="cpu")


def test_held_out_rows_before_and_after(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = Facts.read(run)
    found = Models(facts, WANTED, QUIET).held_out()
    assert (found.count, found.whole, found.missing, len(found.rows)) == (2, 4, "", 2)
    after, before = (found.value("loss", model) for model in (0, 1))
    assert after is not None and before is not None and after < before
    assert found.value("nothing", 0) is None and found.value("loss", 2) is None
    assert {"exact", "ended", "repeated", "switched"} <= {line.measure.name for line in found.lines}
    assert 0 <= found.changed <= 2 and all(len(row["models"]) == 2 for row in found.rows)
    # the second time nobody is asked
    monkeypatch.setattr("tunesmith.generate.decode.Voice.answer", None)
    again = Models(facts, WANTED, QUIET).held_out()
    assert again.rows == found.rows
    monkeypatch.undo()
    other = Models(facts, replace(WANTED, limit=3, max_new_tokens=7), QUIET).held_out()  # beside the first ones
    assert other.missing == "" and len(other.rows) == 3


def test_the_fixed_set(run: Path) -> None:
    models = Models(Facts.read(run), replace(WANTED, max_new_tokens=2), QUIET)
    questions, texts = models.forgotten()
    assert len(questions.rows) == 24 and sum(row["prompt"][0]["content"].isascii() for row in questions.rows) == 12
    assert texts.count == 2 and math.isfinite(texts.value("perplexity", 1) or math.nan)
    assert models.lineup.loads == 1  # the base was read once for all
    assert (run / KEPT).is_dir()


def test_what_cannot_be_measured_says_why(run: Path, rows: Callable[..., Path]) -> None:
    facts = Facts.read(run)
    unfinished = replace(facts, result=None, status={"state": "interrupted", "step": 2})
    models = Models(unfinished, WANTED, QUIET)
    assert "its state is 'interrupted', at step 2" in models.held_out().missing
    assert all(one.missing and not one.lines for one in models.forgotten())
    changed = replace(facts, data={})
    assert "have changed since the run" in Models(changed, WANTED, QUIET).held_out().missing
    bad = str(rows("bad.json", ("Q?", "")))
    with pytest.raises(DataError):  # a mistake of who asks, not of the run
        Models(facts, replace(WANTED, data=(bad,)), QUIET).held_out()


def test_what_cannot_be_asked_is_named(run: Path, tmp_path: Path) -> None:
    labelled = [{"prompt": f"Q {n}?", "completion": f"A {n}.", "label": n == 0} for n in range(8)]
    file = tmp_path / "labelled.json"
    file.write_text(json.dumps(labelled))
    found = Models(Facts.read(run), replace(WANTED, data=(str(file),), on_bad="skip", limit=8), QUIET).held_out()
    assert len(found.rows) == 1 and found.whole == 8
    assert found.notes[0].startswith(f"Not asked: {file}, record 1") and found.notes[-1] == "Not asked: 2 more."


def test_changed_answers_are_counted_without_case_and_punctuation() -> None:
    pairs = [("Paris.", "paris"), ("Rome", "Paris"), ("", "")]
    rows = [{"models": [{"answer": after}, {"answer": before}]} for after, before in pairs]
    assert Measured(rows=rows).changed == 1
