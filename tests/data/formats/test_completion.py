"""Completions: the pairs of fields, and every fault named with its field."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.formats.completion import PAIRS, matches, parse
from tunesmith.data.types import Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.jsonl", 2, 3)


@pytest.mark.parametrize(("question", "answer"), PAIRS)
def test_pairs(question: str, answer: str) -> None:
    record = {question: " a\n", answer: " b", "id": 1, "system": "", "history": None, "context": ""}
    assert matches(record)
    assert parse(record, ORIGIN).messages == (Message("user", " a\n"), Message("assistant", " b"))


def test_system_and_history() -> None:
    found = parse({"system_prompt": "s", "query": "c", "response": "C", "history": [["a", "A"]]}, ORIGIN)
    assert [(m.role, m.content) for m in found.messages] == [
        ("system", "s"),
        ("user", "a"),
        ("assistant", "A"),
        ("user", "c"),
        ("assistant", "C"),
    ]


def test_lists_of_messages() -> None:
    prompt = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]
    found = parse({"prompt": prompt, "completion": [{"role": "assistant", "content": "b"}]}, ORIGIN)
    assert found.messages == (Message("system", "s"), Message("user", "a"), Message("assistant", "b"))


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        ({}, "prompt", "it is missing: a record without a question"),
        ({"prompt": "a"}, "completion", "it is missing: a record without an answer"),
        ({"prompt": "a", "compleiton": "b"}, "compleiton", "Rename it to 'completion'"),
        ({"promt": "a", "completion": "b"}, "promt", "Rename it to 'prompt'"),
        ({"question": "a", "answr": "b"}, "answr", "Rename it to 'answer'"),
        ({"prompt": "a", "completion": None}, "completion", "it is null"),
        ({"prompt": "a", "completion": ""}, "completion", "it is empty: a record without an answer"),
        ({"prompt": "", "completion": "b"}, "prompt", "it is empty: a record without a question"),
        ({"prompt": " ", "completion": "b"}, "prompt", "it is blank"),
        ({"question": "a", "answer": 4}, "answer", "it is a number, not a text"),
        ({"question": "a", "answer": {"text": ["b"]}}, "answer", "it is an object, not a text"),
        ({"prompt": "a", "completion": "b", "response": "c"}, "response", "a second question or answer"),
        ({"prompt": "a", "completion": "b", "question": "c"}, "question", "a second question or answer"),
        ({"question": "a", "answer": "b", "context": "c"}, "context", "the model would not see it"),
        ({"question": "a", "answer": "b", "choices": ["c"]}, "choices", "the model would not see it"),
        ({"prompt": [{"role": "user"}], "completion": "b"}, "prompt[0].content", "it is missing"),
        ({"prompt": [{"role": "assistant", "content": "x"}], "completion": "b"}, "prompt[0].role", "begins with"),
        ({"prompt": "a", "completion": [{"role": "user", "content": "b"}]}, "completion[0].role", "follows 'user'"),
        ({"prompt": "a", "completion": "b", "label": True}, "label", "preference data"),
    ],
)
def test_faults_are_named(record: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse(record, ORIGIN)
    assert (caught.value.origin, caught.value.field) == (ORIGIN, field)
    assert words in str(caught.value)


def test_matches() -> None:
    assert matches({"promt": "a", "completion": "b"}) and not matches({"prompt": "a", "messages": []})
    assert not any(map(matches, ({"prompt": "a"}, {"answer": "a"}, {"question": "a", "choices": []}, {}, [], None)))
    assert not matches({"prompt": "a", "completion": "b", "label": False})
