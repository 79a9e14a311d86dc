"""The sections from the run's files: every state, the doctor's findings, settings, commands; nothing of it is markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tunesmith.report import sections
from tunesmith.report.facts import Facts

EVIL = "<script>alert(1)</script>"


def english(parts: Iterable[str] | str) -> str:
    """Return what is read in English."""
    html = "".join(parts)
    assert EVIL not in html
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", re.sub(r'<span class="zh".*?</span>', "", html))).split())


@pytest.mark.parametrize(
    ("status", "badge", "said"),
    [
        ({"state": "finished", "verified": True, "max_logit_difference": 0.0}, "verified", "the largest difference"),
        ({"state": "finished", "verified": False}, "finished", "was not compared"),
        (
            {"state": "failed", "step": 7, "reason": f"No space {EVIL}"},
            "failed",
            "failed at step 7.* No space <script>",
        ),
        ({"state": "interrupted", "step": 3}, "interrupted", "stopped at step 3"),
        ({"state": "running", "step": 3}, "running", "Nothing says that the run has ended.*'running'"),
        ({}, "running", "'unknown'"),
    ],
)
def test_how_it_ended(facts: Facts, status: dict[str, Any], badge: str, said: str) -> None:
    found, html = sections.state(replace(facts, status=status))
    assert found == badge and re.search(said, english(html)), html


def test_what_was_trained(facts: Facts) -> None:
    shown = english(sections.trained(facts))
    assert "lora, rank 4, alpha 32.0, dropout 0.1" in shown and "4; 4 rows a step" in shown
    assert "0.001, cosine; adamw" in shown and re.search(r"cpu; threads: \d+ ;", shown)
    assert re.search(r"Parameters [\d,]+ in the result, on a base of 2,534,592", shown)
    evil = replace(facts, config=facts.config.model_copy(update={"model": EVIL}), environment={}, lines=[], result=None)
    shown = english(sections.trained(evil))
    assert EVIL in shown and "Result none yet" in shown and "Speed" not in shown


def test_files_and_findings(facts: Facts) -> None:
    shown = english(sections.data(facts))
    assert (
        "rows.json training messages 20 20 0" in shown
        and "Nothing to report" in shown
        and "20% were set apart" in shown
    )
    file = facts.data["files"][0]
    bad = [{"index": n, "line": 9, "field": "x", "reason": f"it is {EVIL}.", "mend": "Mend it."} for n in range(22)]
    other = {**file, "path": f"{EVIL}.json", "bad": bad, "notes": ["read as GB18030"], "unlearned": 2, "sha256": ""}
    data = {**facts.data, "files": [other], "cut_rows": 3, "cut_tokens": 40, "cut_label_tokens": 5}
    shown = english(sections.data(replace(facts, data=data)))
    assert f"{EVIL}.json, record 0, line 9: x: it is {EVIL}. Mend it." in shown and "... and 2 more" in shown
    assert "3 rows were longer than max_length and cut: 40 tokens, 5 of them" in shown
    assert "read as GB18030" in shown and "2 answers marked as bad ones" in shown and "not recorded" in shown
    assert "ended before its data were read" in english(sections.data(replace(facts, data={})))


def test_curves_of_what_was_logged(facts: Facts) -> None:
    html = "".join(sections.curves(facts))
    assert html.count("<svg") == 5 + bool(facts.series("wait_share")) and "Gradient norm" in html
    waits = [{**line, "wait_share": 0.5} for line in facts.lines]
    assert "waiting for data" in "".join(sections.curves(replace(facts, lines=waits)))
    nothing = replace(facts, lines=facts.lines[:1])  # the validation before the first step
    assert english(sections.curves(nothing)) == "The run has logged no step."


def test_commands_can_be_copied(facts: Facts) -> None:
    strange = replace(facts, folder=Path("my runs/it's"))
    shown = english(sections.commands(strange, ["my runs/it's", "--limit", "3"]))
    folder = "'my runs/it'\"'\"'s'"
    assert f"tunesmith chat {folder}" in shown and f"tunesmith reproduce {folder}" in shown
    assert f"tunesmith report {folder} --limit 3" in shown
    assert "tunesmith train 'my runs/it'\"'\"'s/config.yaml' " in shown
    unfinished = english(sections.commands(replace(facts, result=None), []))
    assert "Go on with the training tunesmith train" in unfinished and "tunesmith chat" not in unfinished


def test_versions_and_settings(facts: Facts) -> None:
    shown = english(sections.versions(facts, {"torch": "9.9", "Python": "3.99"}))
    assert f"torch {facts.environment['versions']['torch']} 9.9" in shown and "3.99" in shown
    assert f"name: {EVIL}" in english(sections.settings(replace(facts, text=f"name: {EVIL}")))
