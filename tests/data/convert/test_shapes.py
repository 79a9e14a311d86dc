"""What is written is read again as the same conversation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data import formats
from tunesmith.data.convert.shapes import SHAPES, as_messages, as_vision, relative
from tunesmith.data.types import Conversation, ImageRef, Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.json", 3, 4)
ASK, ANSWER = Message("user", "q"), Message("assistant", "a")
filled = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


def again(record: dict[str, Any], origin: Origin = ORIGIN) -> Conversation:
    """Read a record back, from JSON and by its own fields alone."""
    record = json.loads(json.dumps(record))
    found: Conversation = formats.detect([record]).parse(record, origin)
    return found


@given(st.none() | filled, st.lists(st.tuples(filled, filled, st.booleans()), min_size=1), st.sampled_from([*SHAPES]))
def test_any_conversation(system: str | None, turns: list[tuple[str, str, bool]], shape: str) -> None:
    messages = [Message("system", system)] if system is not None else []
    for question, answer, train in turns:
        messages += [Message("user", question), Message("assistant", answer, train)]
    conversation = Conversation(tuple(messages), ORIGIN)
    assert again(SHAPES[shape](conversation, ".")) == conversation


@pytest.mark.parametrize("shape", SHAPES)
def test_tools_and_calls(shape: str) -> None:
    call = '{"name": "f", "arguments": {"x": [1, "二"]}}'
    messages = (
        ASK,
        Message("assistant", "", calls=call),
        Message("tool", "3"),
        Message("assistant", "a", calls=f"[{call}, {call}]"),
    )
    conversation = Conversation(messages, ORIGIN, tools='[{"name": "f"}]')
    record = SHAPES[shape](conversation, ".")
    assert again(record) == conversation
    turn = next(iter(value for value in record.values() if isinstance(value, list)))[1]
    assert turn["tool_calls"] == [{"type": "function", "function": {"name": "f", "arguments": '{"x": [1, "二"]}'}}]
    odd = Conversation((ASK, Message("assistant", "", calls=call[:-1] + ', "more": 1}')), ORIGIN)
    with pytest.raises(RecordError, match="a call has a field 'more'"):
        SHAPES[shape](odd, ".")


def test_preferences() -> None:
    pair = Conversation((ASK, ANSWER), ORIGIN, rejected=Message("assistant", "b"))
    assert as_messages(pair, ".") == {
        "messages": [{"role": "user", "content": "q"}],
        "chosen": {"role": "assistant", "content": "a"},
        "rejected": {"role": "assistant", "content": "b"},
    }
    for conversation in (pair, Conversation((ASK, ANSWER), ORIGIN, liked=False)):
        assert again(as_messages(conversation, ".")) == conversation
        with pytest.raises(RecordError, match="'vision' cannot hold. Convert it to 'messages'"):
            as_vision(conversation, ".")


@pytest.mark.parametrize("shape", SHAPES)
def test_plain_texts_are_refused(shape: str) -> None:
    with pytest.raises(RecordError, match="it is a plain text"):
        SHAPES[shape](Conversation((), ORIGIN, text="a"), ".")


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    return str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")


def test_one_picture(pictures: tuple[str, str], tmp_path: Path) -> None:
    messages = (Message("system", "s"), Message("user", "<image>\nq"), ANSWER)
    conversation = Conversation(
        messages, Origin(str(tmp_path / "x.json"), 0), images=(ImageRef("<image>", pictures[0]),)
    )
    record = as_vision(conversation, str(tmp_path))
    assert record["image"] == "a.jpg" and again(record, conversation.origin or ORIGIN) == conversation
    record = as_messages(conversation, str(tmp_path / "sub"))
    assert record["images"] == ["../a.jpg"] and record["messages"][1]["content"] == "<image>\nq"
    assert as_vision(again(as_messages(conversation, str(tmp_path)), conversation.origin or ORIGIN), str(tmp_path)) == (
        as_vision(conversation, str(tmp_path))
    )


def test_several_pictures(pictures: tuple[str, str], tmp_path: Path) -> None:
    refs = (ImageRef("<image_07>", pictures[1]), ImageRef("<image_00>", pictures[0]))
    messages = (Message("user", "<image_07> and <image_00>"), ANSWER)
    conversation = Conversation(messages, ORIGIN, images=refs)
    record = as_vision(conversation, str(tmp_path))
    assert record["image"] == {"<image_00>": "b.jpg", "<image_01>": "a.jpg"}
    assert record["conversations"][0]["content"] == "<image_00> and <image_01>"
    record = as_messages(conversation, str(tmp_path))
    assert (record["images"], record["messages"][0]["content"]) == (["b.jpg", "a.jpg"], "<image> and <image>")
    late = Conversation((ASK, ANSWER, Message("user", "<image_00>"), ANSWER), ORIGIN, images=refs[1:])
    assert as_vision(late, str(tmp_path))["image"] == {"<image_00>": "a.jpg"}
    odd = Conversation((Message("user", "<image> <image_07> <image_00>"), ANSWER), ORIGIN, images=refs)
    with pytest.raises(RecordError, match="a text holds '<image>' itself"):
        as_messages(odd, str(tmp_path))


def test_no_picture() -> None:
    conversation = Conversation((Message("user", "what is <image>?"), ANSWER), ORIGIN)
    assert as_vision(conversation, ".")["image"] == {} and "images" not in as_messages(conversation, ".")


def test_relative_paths_see_through_links(pictures: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    (tmp_path / "c.jpg").symlink_to(pictures[0])
    assert relative(pictures[0], str(tmp_path / "link")) == "../../a.jpg"
    assert relative(str(tmp_path / "c.jpg"), str(tmp_path)) == "c.jpg"
