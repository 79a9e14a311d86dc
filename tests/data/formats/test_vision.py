"""MiniCPM-V records: one picture or several, and every fault named with its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.formats.vision import matches, parse
from tunesmith.data.types import ImageRef, Message, Origin
from tunesmith.errors import RecordError


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    return Origin(str(tmp_path / "x.json"), 4, 9)


def talk(image: Any, *texts: str, names: tuple[str, str] = ("role", "content")) -> dict[str, Any]:
    roles = ("user", "assistant")
    turns = [dict(zip(names, (roles[number % 2], text), strict=True)) for number, text in enumerate(texts)]
    return {"id": "0", "image": image, "conversations": turns}


@pytest.mark.parametrize(
    ("question", "content"),
    [("<image>\nWho?", "<image>\nWho?"), ("Who? <image>", "Who? <image>"), ("Who?", "<image>\nWho?")],
)
def test_one_picture(origin: Origin, tmp_path: Path, question: str, content: str) -> None:
    refs = (ImageRef("<image>", str(tmp_path / "a.jpg")),)
    for image in ("a.jpg", {"<image>": "a.jpg"}, str(tmp_path / "a.jpg")):
        found = parse(talk(image, question, "Me.", "Why?", "So."), origin)
        assert (found.images, found.messages[0].content, found.origin) == (refs, content, origin)
        assert found.messages[1:] == (Message("assistant", "Me."), Message("user", "Why?"), Message("assistant", "So."))


def test_several_pictures(origin: Origin, tmp_path: Path) -> None:
    image = {"<image_01>": "b.jpg", "<image_00>": "a.jpg"}
    found = parse(talk(image, "<image_00>one", "1", "and <image_01>", "2"), origin)
    assert found.images == (
        ImageRef("<image_01>", str(tmp_path / "b.jpg")),
        ImageRef("<image_00>", str(tmp_path / "a.jpg")),
    )
    assert [m.content for m in found.messages] == ["<image_00>one", "1", "and <image_01>", "2"]


def test_other_shapes(origin: Origin) -> None:
    llava = parse(talk("a.jpg", "who?", "me", names=("from", "value")) | {"system": "s"}, origin)
    assert [m.content for m in llava.messages] == ["s", "<image>\nwho?", "me"]
    for nothing in (None, "", {}):
        assert parse(talk(nothing, "a <image> word", "b"), origin).images == ()
    record = talk("a.jpg", "who?", "me")
    del record["image"]
    assert parse(record, origin).messages[0].content == "who?"


@pytest.mark.parametrize(
    ("record", "field", "words"),
    [
        (talk({"<image_00>": None}, "<image_00>", "b"), "image.<image_00>", "it is null"),
        (talk("a.jpg", "<image><image>", "b"), "conversations[0]", "stands in it 2 times"),
        (talk("a.jpg", "<image>", "b", "<image>", "c"), "conversations[2]", "outside the first question"),
        (talk("a.jpg", "a", "b", "<image>", "c"), "conversations[2]", "outside the first question"),
        (talk("a.jpg", "a", "<image>"), "conversations[1]", "outside the first question"),
        (talk("a.jpg", "<image_00>", "b"), "conversations[0]", "'image' is a single path"),
        (talk({"<image_00>": "a.jpg"}, "a", "b"), "image.<image_00>", "its mark stands nowhere"),
        (talk({"<image_00>": "a.jpg"}, "<image_00><image_00>", "b"), "conversations[0]", "in the texts twice"),
        (talk({"<image_00>": "a.jpg"}, "<image_00><image_01>", "b"), "conversations[0]", "not among the pictures"),
        (talk({"<image_00>": "a.jpg"}, "a", "<image_00>"), "conversations[1]", "stands in an answer"),
        (talk({"<img>": "a.jpg"}, "<img>", "b"), "image", "'<img>' is no mark of a picture"),
        (talk(["a.jpg"], "a", "b"), "image", "it is a list, not a path"),
        (talk("a.jpg", "a"), "conversations[0].role", "ends with 'user'"),
        (talk("a.jpg", "a", ""), "conversations[1].content", "it is empty"),
        ({"image": "a.jpg"}, "conversations", "it is missing"),
        ({"image": "a.jpg", "convesations": [1]}, "convesations", "Rename it to 'conversations'"),
        (talk("a.jpg", "a", "b") | {"images": ["b.jpg"]}, "images", "it holds pictures"),
        ({"conversations": [], "imgae": "a.jpg"}, "imgae", "Rename it to 'image'"),
    ],
)
def test_faults_are_named(origin: Origin, record: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        parse(record, origin)
    assert (caught.value.origin, caught.value.field) == (origin, field)
    assert words in str(caught.value)


def test_matches() -> None:
    assert matches({"conversations": [], "image": None}) and matches({"convesations": [], "image": "a"})
    assert not any(map(matches, ({"conversations": []}, {"image": "a"}, {"messages": [], "image": "a"}, [], None)))
