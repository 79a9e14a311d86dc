"""ShareGPT: speakers, calls of tools, and every fault named with its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.formats.sharegpt import matches, parse
from tunesmith.data.types import ImageRef, Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("talk.json", 1, 5)
CALL = '{"name":"weather",  "arguments": {"town": "Köln"}}'


def turns(*pairs: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": speaker, "value": text} for speaker, text in pairs], **more}


def test_speakers_calls_and_tools() -> None:
    tools = '[{"name": "weather", "parameters": {}}]'
    record = turns(
        ("human", " Rain?\n"),
        ("function_call", CALL),
        ("observation", '{"rain": false}'),
        ("gpt", " No. "),
        system="Be brief.",
        tools=tools,
    )
    found = parse(record, ORIGIN)
    assert (found.origin, found.tools) == (ORIGIN, tools)
    assert found.messages == (
        Message("system", "Be brief."),
        Message("user", " Rain?\n"),
        Message("assistant", "", calls=CALL),
        Message("tool", '{"rain": false}'),
        Message("assistant", " No. "),
    )


@pytest.mark.parametrize("speaker", ["gpt", "assistant", "chatgpt", "bard", "bing", "bot", "model"])
def test_names_of_the_answerer(speaker: str) -> None:
    assert parse(turns(("user", "a"), (speaker, "b")), ORIGIN).messages[1] == Message("assistant", "b")


def test_the_other_names_of_the_fields() -> None:
    record = {
        "conversations": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b", "weight": 0},
            {"from": "human", "value": "c"},
            {"from": "gpt", "value": "d"},
        ]
    }
    found = parse(record, ORIGIN).messages
    assert [(m.role, m.content, m.train) for m in found] == [
        ("system", "s", True),
        ("user", "a", True),
        ("assistant", "b", False),
        ("user", "c", True),
        ("assistant", "d", True),
    ]


def test_many_calls_and_arguments_as_text() -> None:
    many = f"[{CALL}, {CALL}]"
    assert parse(turns(("human", "a"), ("function_call", many)), ORIGIN).messages[1].calls == many
    text = json.dumps({"name": "f", "arguments": '{"x": 1}'})
    found = parse(turns(("human", "a"), ("function_call", text)), ORIGIN).messages[1].calls
    assert found == '{"name": "f", "arguments": {"x": 1}}'


def test_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    record = turns(("human", "<image>who?"), ("gpt", "me"), images=["a.jpg"])
    found = parse(record, Origin(str(tmp_path / "x.json"), 0))
    assert found.images == (ImageRef("<image_00>", str(tmp_path / "a.jpg")),)
    assert found.messages[0].content == "<image_00>who?"


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        ({}, "conversations", "it is missing"),
        ({"convesations": turns(("human", "a"))["conversations"]}, "convesations", "Rename it to 'conversations'"),
        ({"conversations": "a"}, "conversations", 'Write a list of {"from": ..., "value": ...}'),
        ({"conversations": []}, "conversations", "an empty list"),
        (turns(("gpt", "a"), ("human", "b"), ("gpt", "c")), "conversations[0].from", "begins with 'assistant'. Put"),
        (turns(("human", "a")), "conversations[0].from", "ends with 'user'"),
        (turns(("human", "a"), ("human", "b"), ("gpt", "c")), "conversations[1].from", "'user' follows 'user'"),
        (turns(("human", "a"), ("gtp", "b")), "conversations[1].from", "did you mean 'gpt'? Speakers are human, gpt"),
        (turns(("human", "a"), (None, "b")), "conversations[1].from", "it is null, not a role"),
        (turns(("human", "a"), ("gpt", None)), "conversations[1].value", "it is null, not a text"),
        (turns(("human", "a"), ("gpt", " ")), "conversations[1].value", "it is blank"),
        (turns(("human", 3), ("gpt", "b")), "conversations[0].value", "it is a number"),
        (turns(("human", "a"), ("gpt", "\ud800")), "conversations[1].value", "surrogate"),
        ({"conversations": [{"from": "human"}]}, "conversations[0].value", "it is missing"),
        ({"conversations": [{"from": "human", "valeu": "a"}]}, "conversations[0].valeu", "Rename it to 'value'"),
        ({"conversations": [{"value": "a"}]}, "conversations[0].from", "it is missing"),
        (turns(("human", "a"), ("function_call", "f(1)")), "conversations[1].value", "not valid JSON at character 0"),
        (turns(("human", "a"), ("function_call", "[]")), "conversations[1].value", "it is empty, not a call"),
        (turns(("human", "a"), ("function_call", '"f"')), "conversations[1].value", "not a call of a tool"),
        (turns(("human", "a"), ("function_call", '{"name": "f"}')), "conversations[1].value.arguments", "is missing"),
        (turns(("human", "a"), ("gpt", "b"), system="x", systm="y", tools="{"), "tools", "it is not valid JSON"),
        (turns(("system", "a"), ("human", "a"), ("gpt", "b"), system="x"), "conversations[0].from", "inside"),
        (turns(("human", "a"), ("gpt", "b"), image="a.jpg"), "image", "a list of paths into 'images'"),
        (turns(("human", "a"), ("gpt", "b"), chosen="c"), "chosen", "Choose the format 'preference'"),
    ],
)
def test_faults_are_named(record: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse(record, ORIGIN)
    assert (caught.value.origin, caught.value.field) == (ORIGIN, field)
    assert words in str(caught.value)


def test_matches() -> None:
    assert matches({"conversations": []}) and matches({"conversation": []})
    assert not any(map(matches, ({"messages": []}, {"conversations": [], "image": ""}, {}, [], None)))
    assert not matches({"conversations": [], "chosen": "a", "rejected": "b"})
