"""OCNLI: the published prompt, and every fault named with its field."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.formats.ocnli import matches, parse
from tunesmith.data.types import Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.jsonl", 2, 3)
PAIR = {
    "level": "easy",
    "sentence1": "外面下雨 {0}",
    "sentence2": " 天气很好。",
    "label": "contradiction",
    "label0": None,
}


def test_the_published_prompt() -> None:
    found = parse(PAIR, ORIGIN)
    question = (
        "请判断下边两个句子的关系属于 [entailment, neutral, contradiction]中的哪一种？\n"
        "句子1: 外面下雨 {0}\n句子2： 天气很好。\n"
    )
    assert found.messages == (Message("user", question), Message("assistant", "contradiction"))
    assert found.origin == ORIGIN


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"label": "-"}, "label", "the annotators did not agree"),
        ({"label": "Neutral"}, "label", "there is no label 'Neutral'. Labels are entailment, neutral, contradiction"),
        ({"label": None}, "label", "it is null: a record without an answer"),
        ({"label": ""}, "label", "there is no label ''"),
        ({"label": 1}, "label", "it is a number, not a text"),
        ({"label": True}, "label", "it is true or false, not a text"),
        ({"sentence1": ...}, "sentence1", "it is missing"),
        ({"sentence2": ...}, "sentence2", "it is missing"),
        ({"sentence2": ..., "sentense2": "a"}, "sentense2", "Rename it to 'sentence2'"),
        ({"sentence1": " "}, "sentence1", "it is blank"),
        ({"sentence2": ["a"]}, "sentence2", "it is a list"),
        ({"sentence2": "\udc00"}, "sentence2", "surrogate"),
        ({"tools": "[1]"}, "tools", "it holds tool descriptions"),
    ],
)
def test_faults_are_named(change: dict[str, Any], field: str, words: str) -> None:
    record = {name: value for name, value in {**PAIR, **change}.items() if value is not ...}
    with pytest.raises(RecordError) as caught:
        parse(record, ORIGIN)
    assert (caught.value.origin, caught.value.field) == (ORIGIN, field)
    assert words in str(caught.value)


def test_matches() -> None:
    assert matches(PAIR) and matches({"sentence1": "a", "sentense2": "b"})
    assert not any(map(matches, ({"sentence1": "a"}, {"sentence1": "a", "label": "b"}, {}, [], None)))
