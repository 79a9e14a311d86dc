"""The card says everything in both languages, with the same places for values."""

from __future__ import annotations

import re
from pathlib import Path

from tunesmith import report
from tunesmith.eval.metrics import METRICS
from tunesmith.report.words import FIGURES, WORDS, say


def test_both_languages_take_the_same_values() -> None:
    for name, pair in WORDS.items():
        english, chinese = (set(re.findall(r"\{\d", text)) for text in pair)
        assert english == chinese, name


def test_every_text_is_used_and_every_figure_has_a_name() -> None:
    code = "".join(file.read_text("utf-8") for file in Path(str(report.__file__)).parent.glob("*.py"))
    unused = [name for name in WORDS if code.count(f'"{name}"') + code.count(f"'{name}'") < 2]
    assert not unused  # once in the table, once where it is said
    assert set(METRICS) - {"rouge1", "rouge2"} <= set(FIGURES)


def test_values_are_escaped() -> None:
    assert "<b>" not in say("failed_text", "<b>") and "&lt;b&gt;" in say("failed_text", "<b>")
