"""Whatever stands in a record: every format gives a conversation that keeps its promises, or a RecordError."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith import lookup
from tunesmith.data import formats
from tunesmith.data.types import Conversation, Origin
from tunesmith.errors import RecordError

NAMES = lookup.names(formats.__name__)
WORDS = (
    *("", " ", "a", "user", "assistant", "system", "tool", "human", "gpt", "function_call", "text", "image"),
    *("<image>", "<image_00>", "a.jpg", "[]", "{}", '{"name": "f", "arguments": {}}', "neutral", "true", "\ud800"),
)
CALL = {"function": {"name": "f", "arguments": "{}"}}
TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "train": False, "tool_calls": [CALL]}]
SHARED = [{"from": "human", "value": "a"}, {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}]
SEEN = [{"role": "user", "content": "<image_00>"}, {"role": "assistant", "content": "b"}]
PARTS = [{"type": "text", "text": "a"}, {"type": "image", "image": "a.jpg"}]
GOOD: list[dict[str, Any]] = [
    {"messages": TALK, "tools": [{"name": "f"}], "system": "s"},
    {"messages": [{"role": "user", "content": PARTS}, *TALK[1:]]},
    {"messages": [{"role": "user", "content": "<image><image>"}, *TALK[1:]], "images": ["a.jpg", "a.jpg"]},
    {"conversations": SHARED, "tools": '[{"name": "f"}]', "system": "s"},
    {"image": {"<image_00>": "a.jpg"}, "conversations": SEEN},
    {"image": "a.jpg", "conversations": [*TALK, {"role": "tool", "content": "3"}, SEEN[1]]},
    {"instruction": "a", "input": "<image>", "output": "b", "history": [["a", "b"]], "images": ["a.jpg"]},
    {"prompt": "a", "completion": "b", "history": [["a", "b"]]},
    {"prompt": TALK[:1], "chosen": TALK[1:], "rejected": "c"},
    {"chosen": SEEN, "rejected": [SEEN[0], *TALK[1:]]},
    {"conversations": SEEN, "label": False},
    {"question": "a", "answer": "b", "label": "true"},
    {"text": "a"},
    {"sentence1": "a", "sentence2": "b", "label": "neutral"},
    {"content": "a", "summary": "b"},
]
plain = st.none() | st.booleans() | st.integers(0, 2) | st.just(float("nan")) | st.sampled_from(WORDS)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything inside a record."""
    inside = (
        list(enumerate(value)) if isinstance(value, list) else list(value.items()) if isinstance(value, dict) else []
    )
    return [place for key, inner in inside for place in ((value, key), *places(inner))]


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a good record with up to three changes: values replaced, repeated, removed, or taken from elsewhere."""
    record: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 3))):
        if not (found := places(record)):
            break
        where, key = draw(st.sampled_from(found))
        change = draw(st.sampled_from(["plain", "list", "object", "remove", "elsewhere", "repeat"]))
        if change == "remove":
            del where[key]
        elif change == "repeat" and isinstance(where, list):
            where.append(copy.deepcopy(where[key]))
        elif change == "elsewhere":
            other, name = draw(st.sampled_from(found))
            where[key] = copy.deepcopy(other[name])
        else:
            value = draw(plain)
            where[key] = {"list": [value], "object": {"a": value}}.get(change, value)
    return record


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    folder: Path = tmp_path_factory.mktemp("data")
    (folder / "a.jpg").touch()
    return Origin(str(folder / "x.json"), 0)


@settings(deadline=None, max_examples=500)
@given(spoilt())
def test_a_conversation_or_a_record_error(origin: Origin, record: dict[str, Any]) -> None:
    before = repr(record)
    for name in NAMES:
        module = lookup.find(formats.__name__, name)
        assert module.matches(record) in (True, False)
        try:
            promises(module.parse(record, origin))
        except RecordError as error:
            assert error.field and error.reason and error.mend and error.origin == origin
    assert repr(record) == before


def test_the_good_ones_are_good(origin: Origin) -> None:
    for record in GOOD:
        promises(formats.detect([record]).parse(record, origin))


def promises(conversation: Conversation) -> None:
    """Check what types.py says about a conversation."""
    messages = conversation.messages
    assert bool(messages) == (conversation.text is None)
    whole = "\n".join(message.content for message in messages)
    assert all(whole.count(ref.mark) == 1 and ref.path for ref in conversation.images)
    assert not conversation.tools or json.loads(conversation.tools)
    for message in (*messages, *filter(None, [conversation.rejected])):
        calls = json.loads(message.calls) if message.calls else []
        for call in calls if isinstance(calls, list) else [calls]:
            assert isinstance(call["name"], str) and isinstance(call["arguments"], dict)
        assert message.content.strip() or message.calls or message.role in ("system", "tool")
        (message.content + message.calls).encode()
    if messages:
        assert messages[-1].role == "assistant" and messages[0].role in ("system", "user")
