"""Preferences: pairs and judged answers in all their shapes, and every fault named with its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.formats.preference import matches, parse
from tunesmith.data.types import ImageRef, Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.json", 1, 2)
USER, GOOD, BAD = (
    {"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "g"), ("assistant", "b"))
)
ASKED, ANSWER, WORSE = Message("user", "q"), Message("assistant", "g"), Message("assistant", "b")


def from_value(message: dict[str, str]) -> dict[str, str]:
    return {"from": {"user": "human", "assistant": "gpt"}[message["role"]], "value": message["content"]}


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": "q", "chosen": "g", "rejected": "b"},
        {"question": "q", "system": "", "chosen": "g", "rejected": "b"},
        {"instruction": "q", "input": "", "chosen": "g", "rejected": "b", "output": ""},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"messages": [USER], "chosen": GOOD, "rejected": BAD},
        {"conversations": [from_value(USER)], "chosen": from_value(GOOD), "rejected": from_value(BAD)},
        {"conversations": [from_value(USER)], "chosen": "g", "rejected": GOOD | {"content": "b"}},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": "q", "messages": [USER, GOOD], "chosen": [USER, GOOD], "rejected": [USER, BAD], "score": 1},
    ],
)
def test_pairs(record: dict[str, Any]) -> None:
    assert matches(record)
    found = parse(record, ORIGIN)
    assert (found.messages, found.rejected, found.liked, found.origin) == ((ASKED, ANSWER), WORSE, None, ORIGIN)


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [USER, GOOD]},
        {"conversations": [from_value(USER), from_value(GOOD)]},
        {"prompt": "q", "completion": "g"},
        {"prompt": [USER], "completion": [GOOD]},
        {"instruction": "q", "output": "g"},
    ],
)
@pytest.mark.parametrize(
    ("field", "label", "liked"), [("label", True, True), ("kto_tag", False, False), ("label", "False", False)]
)
def test_judged_answers(record: dict[str, Any], field: str, label: Any, liked: bool) -> None:
    record = {**record, field: label}
    assert matches(record)
    found = parse(record, ORIGIN)
    assert (found.messages, found.rejected, found.liked) == ((ASKED, ANSWER), None, liked)


def test_system_history_input_and_tools() -> None:
    record = {"system": "s", "history": [["a", "A"]], "instruction": "q", "input": "i", "chosen": "g", "rejected": "b"}
    found = parse({**record, "tools": '[{"name": "f"}]'}, ORIGIN)
    assert [m.content for m in found.messages] == ["s", "a", "A", "q\ni", "g"]
    assert found.tools == '[{"name": "f"}]'


def test_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    origin = Origin(str(tmp_path / "x.json"), 0)
    record = {"prompt": "<image>q", "chosen": "g", "rejected": "b", "images": ["a.jpg"]}
    found = parse(record, origin)
    assert found.images == (ImageRef("<image_00>", str(tmp_path / "a.jpg")),)
    assert found.messages[0].content == "<image_00>q"
    with pytest.raises(RecordError, match=r"'rejected': '<image>' stands in an answer"):
        parse({**record, "rejected": "<image>"}, origin)
    judged = {"conversations": [USER, GOOD], "image": "a.jpg", "label": True}
    assert parse(judged, origin).messages[0].content == "<image>\nq"


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        ({"prompt": "q", "chosen": "g"}, "rejected", "it is missing: a pair of answers"),
        ({"prompt": "q", "choosen": "g", "rejected": "b"}, "choosen", "Rename it to 'chosen'"),
        ({"prompt": "q", "chosen": None, "rejected": "b"}, "chosen", "it is null"),
        ({"prompt": "q", "chosen": "", "rejected": "b"}, "chosen", "it is empty: a record without an answer"),
        ({"prompt": "q", "chosen": "g", "rejected": " "}, "rejected", "it is blank"),
        ({"prompt": "q", "chosen": "g", "rejected": 2}, "rejected", "it is a number, not an answer"),
        ({"prompt": "q", "chosen": [], "rejected": "b"}, "chosen", "it is an empty list, not an answer"),
        ({"prompt": "q", "chosen": "g", "rejected": "g"}, "rejected", "it is the same as 'chosen'"),
        ({"messages": [USER], "chosen": GOOD, "rejected": USER}, "rejected.role", "'user' speaks"),
        ({"messages": [USER], "chosen": [USER], "rejected": BAD}, "chosen[0].role", "'user' speaks"),
        ({"messages": [USER, GOOD], "chosen": GOOD, "rejected": BAD}, "chosen.role", "'assistant' follows"),
        ({"messages": [USER], "chosen": {"role": "assistant"}, "rejected": BAD}, "chosen.content", "it is missing"),
        ({"chosen": "g", "rejected": "b"}, "prompt", "what do the answers answer?"),
        ({"promt": "q", "chosen": "g", "rejected": "b"}, "prompt", "Rename 'promt' to 'prompt'"),
        ({"prompt": " ", "chosen": "g", "rejected": "b"}, "prompt", "it is blank"),
        ({"prompt": "q", "question": "p", "chosen": "g", "rejected": "b"}, "question", "twice, in 'prompt' and here"),
        ({"prompt": "p", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "prompt", "not what both"),
        ({"chosen": [USER, GOOD], "rejected": [USER, USER, BAD]}, "rejected", "differ before their last"),
        ({"chosen": [USER, GOOD], "rejected": "b"}, "rejected", "the other answer is a list"),
        ({"prompt": "q", "chosen": "g", "rejected": "b", "label": True}, "label", "judges one as well"),
        ({"prompt": "q", "label": True}, "label", "there is no answer that it judges"),
        ({"messages": [USER, GOOD | {"content": ""}], "label": True}, "messages[1].content", "it is empty"),
        ({"messages": [USER], "label": False}, "messages[0].role", "ends with 'user'"),
        ({"prompt": "q", "chosen": "g", "rejected": "b", "image": "a.jpg"}, "image", "a list of paths into 'images'"),
        ({"prompt": "q"}, "chosen", "it is missing"),
    ],
)
def test_faults_are_named(record: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse(record, ORIGIN)
    assert (caught.value.origin, caught.value.field) == (ORIGIN, field)
    assert words in str(caught.value)


def test_matches() -> None:
    assert not any(
        map(matches, ({"messages": [], "label": "neutral"}, {"sentence1": "a", "label": True}, {}, [], None))
    )
