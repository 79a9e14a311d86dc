"""Finding a file's format out from its first records."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith import lookup
from tunesmith.data import formats
from tunesmith.data.formats import FIRST, alpaca, detect, messages
from tunesmith.errors import DataError, RecordError

TASK: dict[str, Any] = {"instruction": "a", "output": "b"}
CHAT: dict[str, Any] = {"messages": []}


def test_detect() -> None:
    assert detect([TASK]) is alpaca
    assert detect([CHAT] * 30) is messages


RECORDS: dict[str, list[dict[str, Any]]] = {
    "messages": [CHAT, {**CHAT, "text": "a", "prompt": "b", "prompt_id": 1}, {**CHAT, "images": [], "tools": "[]"}],
    "sharegpt": [{"conversations": []}, {"convesations": []}, {"conversations": [], "system": "", "images": []}],
    "vision": [{"conversations": [], "image": "a.jpg", "id": "0"}, {"convesations": [], "image": {}}],
    "alpaca": [TASK, {"instrution": "a", "input": "", "output": "b"}, {**TASK, "text": "a", "chosen": None}],
    "preference": [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"prompt": "a", "prompt_id": "1", "chosen": [], "rejected": [{}], "messages": [], "score_chosen": 1.0},
        {"conversations": [], "chosen": {}, "rejected": {"from": "gpt"}, "images": []},
        {"instruction": "a", "choosen": "b", "rejeted": "c"},
        {"messages": [], "label": False},
        {"prompt": "a", "completion": "b", "label": "true"},
    ],
    "completion": [
        {"prompt": "a", "completion": "b"},
        {"prompt": "a", "compleiton": "b"},
        {"question": "a", "answer": "b", "text": "a b"},
        {"query": "a", "response": "b", "original_question": "c"},
        {"system_prompt": "", "question": "a", "response": "b", "answer": "c"},
    ],
    "text": [{"text": "a"}, {"text": "a", "meta": {}, "label": "x"}, {"Text": "a"}],
    "ocnli": [{"sentence1": "a", "sentence2": "b", "label": "-", "label0": None, "genre": "x", "id": 1}],
    "advertisegen": [{"content": "a", "summary": "b"}, {"contents": "a", "sumary": "b"}],
}


@pytest.mark.parametrize("name", RECORDS)
def test_each_format_knows_its_own_records_alone(name: str) -> None:
    assert {*RECORDS, "alpaca_system"} == set(lookup.names(formats.__name__))  # that one is chosen by name alone
    for record in RECORDS[name]:
        assert detect([record]).__name__.endswith(f".{name}"), record


def test_a_foreign_record_does_not_decide() -> None:
    bad = RecordError("x.json, record 0", "(record)", "broken.", "Mend it.")
    assert detect([bad, {"x": 1}, "text", TASK]) is alpaca
    assert detect([TASK] * FIRST + [CHAT] * 5) is alpaca


def test_mixture_is_told() -> None:
    with pytest.raises(DataError, match=r"x\.json mixes formats: record 2 is alpaca, record 0 is messages\."):
        detect([CHAT, CHAT, TASK], "x.json")
    with pytest.raises(DataError, match="mixes formats"):
        detect([CHAT, TASK])


def test_records_of_two_formats_at_once() -> None:
    with pytest.raises(DataError, match=r"fit several formats \(alpaca, messages\).*data\.format"):
        detect([{**CHAT, **TASK}])
    assert detect([{**CHAT, **TASK}, CHAT]) is messages


def test_unknown_records() -> None:
    with pytest.raises(DataError) as caught:
        detect([{"ask": "a", "reply": "b"}] * 3, "x.json")
    text = str(caught.value)
    assert "x.json" in text and "'ask', 'reply'" in text
    assert 'messages: Conversations as {"messages": [' in text and 'alpaca: Tasks as {"instruction"' in text
    with pytest.raises(DataError, match="fields none"):
        detect([{}])
    with pytest.raises(DataError, match="None of the first ones is an object"):
        detect(["text"])


def test_a_wrapped_list_is_pointed_at() -> None:
    with pytest.raises(DataError, match=r"Its 'data' is a list of 2 objects: .* save that list alone"):
        detect([{"version": 1, "data": [TASK, TASK]}])
