"""Messages: texts unchanged, tools and pictures read, and every fault named with its field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.formats.messages import matches, parse
from tunesmith.data.types import ImageRef, Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("chat.json", 3, 17)
ASK = {"role": "user", "content": " 你好？\n"}
ANSWER = {"role": "assistant", "content": "你好。"}
CALL = {"id": "c0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": "二"}'}}
CALLED = '{"name": "add", "arguments": {"a": 1, "b": "二"}}'


def turn(role: str, content: Any = "text", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_parse_keeps_texts_roles_and_train() -> None:
    record = {
        "id": 7,
        "messages": [
            turn("system", ""),
            ASK,
            turn("assistant", "\tno", train=False),
            turn("tool", "", tool_call_id="x", name="f"),
            turn("tool", "3"),
            ANSWER,
            ASK,
            turn("assistant", "end ", name="x", tool_calls=None, weight=1, train=None),
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


@pytest.mark.parametrize("field", ["weight", "loss"])
def test_other_names_of_train(field: str) -> None:
    for value, train in ((0, False), (1, True), (0.0, False), (False, False), (True, True), (None, True)):
        assert parse({"messages": [ASK, {**ANSWER, field: value}]}, ORIGIN).messages[1].train is train
    with pytest.raises(RecordError, match=f"train and {field} contradict"):
        parse({"messages": [ASK, {**ANSWER, field: 0, "train": True}]}, ORIGIN)


def test_record_level_system() -> None:
    assert parse({"system": "brief", "messages": [ASK, ANSWER]}, ORIGIN).messages[0] == Message("system", "brief")
    assert len(parse({"system": "", "messages": [ASK, ANSWER]}, ORIGIN).messages) == 2
    with pytest.raises(RecordError, match="inside the conversation"):
        parse({"system": "brief", "messages": [turn("system"), ASK, ANSWER]}, ORIGIN)


def test_tools_and_calls() -> None:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    turns = [ASK, turn("assistant", None, tool_calls=[CALL]), turn("tool", "3"), ANSWER]
    found = parse({"messages": turns, "tools": tools}, ORIGIN)
    assert json.loads(found.tools) == tools
    assert found.messages[1] == Message("assistant", "", calls=CALLED)
    assert parse({"messages": turns, "tools": ' [{"name":"add"}] '}, ORIGIN).tools == ' [{"name":"add"}] '
    for nothing in (None, [], "", " ", "[]"):
        assert parse({"messages": turns, "tools": nothing}, ORIGIN).tools == ""
    for content in ({"content": ""}, {}):  # an answer that only calls
        last = {"role": "assistant", "tool_calls": [CALL, CALL], **content}
        calls = parse({"messages": [ASK, last]}, ORIGIN).messages[1].calls
        assert json.loads(calls) == [json.loads(CALLED)] * 2
    last = turn("assistant", "I add.", function_call={"name": "add", "arguments": {"a": 1, "b": "二"}})
    assert parse({"messages": [ASK, last]}, ORIGIN).messages[1] == Message("assistant", "I add.", calls=CALLED)


def test_parts_are_joined() -> None:
    content = [{"type": "text", "text": " a"}, {"type": "text", "text": "b\n"}]
    assert parse({"messages": [turn("user", content), ANSWER]}, ORIGIN).messages[0].content == " ab\n"


def test_pictures(tmp_path: Path) -> None:
    origin = Origin(str(tmp_path / "chat.json"), 0)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    refs = (ImageRef("<image_00>", str(tmp_path / "a.jpg")), ImageRef("<image_01>", str(tmp_path / "b.jpg")))
    texts = ("<image_00>one<image_01>", "two")
    turns = [turn("user", "<image>one<image>"), turn("assistant", "two")]
    found = parse({"messages": turns, "images": ["a.jpg", str(tmp_path / "b.jpg")]}, origin)
    assert (found.images, tuple(m.content for m in found.messages)) == (refs, texts)
    first = {"type": "image", "image": "a.jpg"}, {"type": "image"}
    second = {"type": "image_url", "image_url": {"url": "b.jpg"}}, {"type": "image"}
    for kind, more in ((0, {}), (1, {"images": ["a.jpg", "b.jpg"]})):
        turns = [turn("user", [first[kind], {"type": "text", "text": "one"}, second[kind]]), turn("assistant", "two")]
        found = parse({"messages": turns, **more}, origin)
        assert (found.images, tuple(m.content for m in found.messages)) == (refs, texts)
    with pytest.raises(RecordError, match=r"'images': pictures are given here and inside"):
        parse({"messages": [turn("user", [first[0]]), ANSWER], "images": ["b.jpg"]}, origin)


def test_the_mark_is_a_word_where_no_pictures_are_named() -> None:
    for more in ({}, {"images": None}, {"images": ""}):
        found = parse({"messages": [turn("user", "what is <image>?"), ANSWER], **more}, ORIGIN)
        assert (found.images, found.messages[0].content) == ((), "what is <image>?")


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        ({}, "messages", "it is missing: a record without a conversation. The record has the fields none"),
        ({"mesages": [ASK, ANSWER]}, "mesages", "Rename it to 'messages'"),
        ({"messages": [ASK, ANSWER], "image": "a.jpg"}, "image", "into 'images'"),
        ({"messages": [ASK, ANSWER], "tool": [{"name": "f"}]}, "tool", "Rename it to 'tools'"),
        ({"instruction": "a", "output": "b"}, "messages", "fields 'instruction', 'output'"),
        ({"messages": None}, "messages", "it is null"),
        ({"messages": {"role": "user"}}, "messages", "it is an object, not a list"),
        ({"messages": []}, "messages", "an empty list"),
        ({"messages": ["hello"]}, "messages[0]", "it is str, not an object"),
        ({"messages": [ASK, [ANSWER]]}, "messages[1]", "it is a list, not an object"),
        ({"messages": [{"content": "a"}, ANSWER]}, "messages[0].role", "it is missing"),
        ({"messages": [ASK, {"role": "assistant"}]}, "messages[1].content", "it is missing"),
        ({"messages": [ASK, {"role": "assistant", "contnet": "a"}]}, "messages[1].contnet", "Rename it to 'content'"),
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
        ({"messages": [turn("user", [{"type": "text"}]), ANSWER]}, "messages[0].content[0].text", "it is null"),
        ({"messages": [turn("user", [{"type": "video"}]), ANSWER]}, "messages[0].content[0]", "part of type 'video'"),
        ({"messages": [turn("user", ["a"]), ANSWER]}, "messages[0].content[0]", "it is str, which is not read"),
        ({"messages": [turn("user", []), ANSWER]}, "messages[0].content", "it is empty"),
        ({"messages": [turn("user", [{"type": "image"}]), ANSWER], "images": []}, "images", "stands 1 times"),
        ({"messages": [turn("user", "a \ud83d b"), ANSWER]}, "messages[0].content", r"character 2 is half .*\ud83d"),
        ({"messages": [ASK, turn("assistant", "")]}, "messages[1].content", "it is empty: a record without an answer"),
        ({"messages": [ASK, turn("assistant", None)]}, "messages[1].content", "it is null, not a text"),
        ({"messages": [ASK, turn("assistant", None, tool_calls=[])]}, "messages[1].content", "it is null"),
        ({"messages": [ASK, turn("assistant", " \n\u3000")]}, "messages[1].content", "it is blank"),
        ({"messages": [turn("user", "  "), ANSWER]}, "messages[0].content", "it is blank"),
        ({"messages": [ASK, {**ANSWER, "train": "false"}]}, "messages[1].train", "Write true or false"),
        ({"messages": [ASK, {**ANSWER, "train": 0}]}, "messages[1].train", "Write true or false"),
        ({"messages": [ASK, {**ANSWER, "weight": 0.5}]}, "messages[1].weight", "it is 0.5. Write 0 (not learned)"),
        ({"messages": [ASK, {**ANSWER, "reasoning_content": "hm"}]}, "messages[1].reasoning_content", "is not read"),
        ({"messages": [ASK, {**ANSWER, "tool_calls": [{}]}]}, "messages[1].tool_calls[0].name", "it is missing"),
        ({"messages": [{**ASK, "tool_calls": [CALL]}, ANSWER]}, "messages[0].tool_calls", "'user' cannot call"),
        (
            {"messages": [ASK, {**ANSWER, "tool_calls": [CALL], "function_call": {"name": "f"}}]},
            "messages[1].function_call",
            "Keep one",
        ),
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
        ({"messages": [ASK, ANSWER], "images": ["a.jpg"]}, "images", "'<image>' stands 0 times"),
        ({"messages": [turn("user", "<image>"), ANSWER], "images": ["s3://no.jpg"]}, "images[0]", "is an address"),
        ({"messages": [ASK, ANSWER], "images": {"a": 1}}, "images", "it is an object, not a list"),
        ({"messages": [ASK, ANSWER], "tools": "[...]"}, "tools", "it is not valid JSON"),
        ({"messages": [ASK, ANSWER], "videos": ["a.mp4"]}, "videos", "it holds videos"),
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
    assert matches({"messages": []}) and matches({"messages": None, "id": 1}) and matches({"mesages": []})
    assert matches({"messages": [], "label": "neutral", "chosen": None})
    assert not any(map(matches, ({"conversations": []}, {}, [], "messages", None)))
    assert not matches({"messages": [], "chosen": {}, "rejected": "a"}) and not matches({"messages": [], "label": True})
