"""Messages: texts unchanged, and every fault named with its field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.formats.messages import matches, parse
from tunesmith.data.types import Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("chat.json", 3, 17)
ASK = {"role": "user", "content": " 你好？\n"}
ANSWER = {"role": "assistant", "content": "你好。"}


def turn(role: str, content: Any = "text", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_parse_keeps_texts_roles_and_train() -> None:
    record = {
        "id": 7,
        "messages": [
            turn("system", ""),
            ASK,
            turn("assistant", "\tno", train=False),
            turn("tool", ""),
            turn("tool", "3"),
            ANSWER,
            ASK,
            turn("assistant", "end ", name="x", tool_calls=None, weight=1),
        ],
    }
    conversation = parse(record, ORIGIN)
    assert conversation.origin == ORIGIN
    assert conversation.messages == (
        Message("system", ""),
        Message("user", " 你好？\n"),
        Message("assistant", "\tno", train=False),
        Message("tool", ""),
        Message("tool", "3"),
        Message("assistant", "你好。"),
        Message("user", " 你好？\n"),
        Message("assistant", "end "),
    )


filled = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(deadline=None)
@given(st.none() | st.text(st.characters(exclude_categories=["Cs"])), st.lists(st.tuples(filled, filled), min_size=1))
def test_any_texts_are_kept(system: str | None, pairs: list[tuple[str, str]]) -> None:
    turns = [turn("system", system)] if system is not None else []
    for question, answer in pairs:
        turns += [turn("user", question), turn("assistant", answer)]
    parsed = parse({"messages": turns}, ORIGIN)
    assert [{"role": m.role, "content": m.content} for m in parsed.messages] == turns


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        ({}, "messages", "it is missing; the record has the fields none"),
        ({"mesages": [ASK, ANSWER]}, "mesages", "Rename it to 'messages'"),
        ({"instruction": "a", "output": "b"}, "messages", "fields 'instruction', 'output'"),
        ({"messages": None}, "messages", "it is null, not a list"),
        ({"messages": {"role": "user"}}, "messages", "it is an object, not a list"),
        ({"messages": []}, "messages", "an empty list"),
        ({"messages": ["hello"]}, "messages[0]", "it is str, not an object"),
        ({"messages": [ASK, [ANSWER]]}, "messages[1]", "it is a list, not an object"),
        ({"messages": [{"content": "a"}, ANSWER]}, "messages[0].role", "it is missing"),
        ({"messages": [ASK, {"role": "assistant"}]}, "messages[1].content", "it is missing"),
        ({"messages": [{"from": "human", "value": "a"}]}, "messages[0].from", "Rename 'from' to 'role'"),
        ({"messages": [turn("human"), ANSWER]}, "messages[0].role", "did you mean 'user'?"),
        ({"messages": [ASK, turn("gpt")]}, "messages[1].role", "did you mean 'assistant'?"),
        ({"messages": [ASK, turn("Assistent")]}, "messages[1].role", "did you mean 'assistant'?"),
        ({"messages": [turn("xyz"), ANSWER]}, "messages[0].role", "no role 'xyz'. Roles are system, user"),
        ({"messages": [turn("", "a"), ANSWER]}, "messages[0].role", "no role ''"),
        ({"messages": [{**ASK, "role": 1}, ANSWER]}, "messages[0].role", "it is a number, not a role"),
        ({"messages": [turn("user", None), ANSWER]}, "messages[0].content", "it is null, not a text"),
        ({"messages": [turn("user", 5), ANSWER]}, "messages[0].content", "it is a number, not a text"),
        ({"messages": [turn("user", float("nan")), ANSWER]}, "messages[0].content", "it is a number, not a text"),
        ({"messages": [turn("user", True), ANSWER]}, "messages[0].content", "true or false, not a text"),
        ({"messages": [turn("user", [{"type": "text"}]), ANSWER]}, "messages[0].content", "Join the text parts"),
        ({"messages": [turn("user", "a \ud83d b"), ANSWER]}, "messages[0].content", r"character 2 is half .*\ud83d"),
        ({"messages": [ASK, turn("assistant", "")]}, "messages[1].content", "it is empty: a record without an answer"),
        ({"messages": [ASK, turn("assistant", " \n\u3000")]}, "messages[1].content", "it is blank"),
        ({"messages": [turn("user", "  "), ANSWER]}, "messages[0].content", "it is blank"),
        ({"messages": [ASK, {**ANSWER, "train": "false"}]}, "messages[1].train", "Write true or false"),
        ({"messages": [ASK, {**ANSWER, "weight": 0}]}, "messages[1].weight", '"train": false'),
        ({"messages": [ASK, {**ANSWER, "tool_calls": [{"id": 1}]}]}, "messages[1].tool_calls", "does not read"),
        ({"messages": [ASK]}, "messages[0].role", "ends with 'user': a record without an answer"),
        ({"messages": [turn("system")]}, "messages[0].role", "ends with 'system'"),
        ({"messages": [ASK, ANSWER, ASK]}, "messages[2].role", "ends with 'user'"),
        ({"messages": [ASK, ANSWER, turn("tool")]}, "messages[2].role", "ends with 'tool'"),
        ({"messages": [ANSWER]}, "messages[0].role", "begins with 'assistant'"),
        ({"messages": [turn("system"), ANSWER]}, "messages[1].role", "'assistant' follows 'system'"),
        ({"messages": [ASK, ASK, ANSWER]}, "messages[1].role", "assistant is expected here"),
        ({"messages": [ASK, ANSWER, ANSWER]}, "messages[2].role", "user or tool is expected here"),
        ({"messages": [ASK, turn("system"), ANSWER]}, "messages[1].role", "inside the conversation"),
        ({"messages": [turn("system"), turn("system"), ASK, ANSWER]}, "messages[1].role", "inside the conversation"),
        ({"messages": [ASK, ANSWER], "images": ["a.jpg"]}, "images", "it holds pictures"),
        ({"messages": [ASK, ANSWER], "tools": "[...]"}, "tools", "it holds tool descriptions"),
        ({"messages": [ASK, ANSWER], "label": False}, "label", "preference data"),
    ],
)
def test_faults_are_named(record: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse(record, ORIGIN)
    error = caught.value
    assert (error.origin, error.field) == (ORIGIN, field)
    first, _, last = words.partition(" .*")
    assert first in str(error) and last in str(error)
    assert str(error).startswith("chat.json, record 3, line 17, field '") and error.reason and error.mend


def test_harmless_fields_are_let_through() -> None:
    record = {"messages": [ASK, ANSWER], "images": [], "tools": None, "label": "entailment", "source": "x"}
    assert len(parse(record, ORIGIN).messages) == 2


def test_matches() -> None:
    assert matches({"messages": []}) and matches({"messages": None, "id": 1})
    assert not any(map(matches, ({"conversations": []}, {}, [], "messages", None)))
