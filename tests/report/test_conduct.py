"""Repetition and scripts, on texts whose figures are counted by hand."""

from __future__ import annotations

import pytest

from tunesmith.report.conduct import measures, repeated, script, switched


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", (0, 0)),
        ("one two three", (0, 0)),
        ("one two three four", (0, 1)),
        ("a b c d a b c d", (1, 5)),  # abcd bcda cdab dabc abcd
        ("no no no no no no", (2, 3)),
        ("好好好好好", (1, 2)),  # each character is a word
    ],
)
def test_repeated(text: str, found: tuple[int, int]) -> None:
    assert repeated(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("使用 transformers 的方法", "EAST"),  # most words, not most letters
        ("The word 你 means you.", "LATIN"),
        ("ＡＢＣ", "LATIN"),
        ("Да", "CYRILLIC"),
        ("12, 13!", None),
        ("", None),
    ],
)
def test_script(text: str, found: str | None) -> None:
    assert script(text) == found


def test_switched() -> None:
    assert switched("北京。", "Beijing.") is True
    assert switched("北京。", "在北京") is False
    assert switched("12", "twelve") is None and switched("北京", "") is None


def test_measures_are_shares_of_all_answers() -> None:
    rows = [{"expected": "北京。"}, {"expected": "Paris."}, {"expected": "12"}]
    answers = ["Beijing Beijing Beijing Beijing Beijing", "Paris", "twelve"]
    found = {one.name: one for one in measures(rows, [{"answer": answer} for answer in answers])}
    assert found["repeated"].value == 1 / 2 and found["repeated"].count == 1
    assert found["switched"].value == 1 / 2 and found["switched"].count == 2
