"""Conversations with pictures: the answers of the published chat, histories, refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tunesmith.data.types import ImageRef, Message
from tunesmith.errors import PictureError, UserError
from tunesmith.generate.sampling import Sampling
from tunesmith.generate.session import Session
from tunesmith.models.load import Loaded

GREEDY = Sampling(greedy=True, max_new_tokens=16)
RUNS = ("square", "tiny20", "two_turn", "text_only", "wide203x88", "grid3x2", "tall70x260")

Golden = dict[str, dict[str, Any]]
Vision = Callable[[str], Loaded]


def text_of(session: Session, ids: list[int]) -> str:
    """What a session shows of the ids of an answer."""
    writer = session._voice.writer()
    for token in ids:
        writer.push(token)
    writer.finish()
    return writer.text


@pytest.mark.parametrize("name", RUNS)
def test_picture_to_answer_as_published(name: str, golden_runs: Golden, vision_loaded: Vision) -> None:
    run = golden_runs[name]
    session = Session(vision_loaded(run["case"]), sampling=GREEDY)
    *before, question = (Message(turn["role"], turn["content"]) for turn in run["messages"])
    images = [run["picture"]] if run["picture"] else []
    if before:
        before[0] = Message("user", f"<image_00>\n{before[0].content}")
        session.messages, session.images = before, [ImageRef("<image_00>", str(images.pop()))]
    answer = session.ask(question.content, images)
    assert answer == text_of(session, run["greedy_new_ids"])
    assert session.last is not None
    assert (session.last.tokens, session.last.stopped) == (16, "length")


def test_the_history_keeps_its_pictures(golden_runs: Golden, vision_loaded: Vision) -> None:
    session = Session(vision_loaded("chat_noslice"), sampling=GREEDY)
    cat, dot = golden_runs["square"]["picture"], golden_runs["tiny20"]["picture"]
    first = session.ask("What is it?", [cat])
    second = session.ask("And <image_00>?", [Image.open(dot), dot.read_bytes()])  # looks like the mark of the first
    assert [message.content for message in session.messages] == [
        "<image_01>\nWhat is it?",
        first,
        "<image_02>\n<image_03>\nAnd <image_00>?",
        second,
    ]
    assert [image.mark for image in session.images] == ["<image_01>", "<image_02>", "<image_03>"]
    assert session.images[0].path == str(cat)
    session.ask("Both?")
    assert len(session.images) == 3
    session.reset()
    assert session.images == session.messages == []


def test_another_picture_is_another_answer(golden_runs: Golden, vision_loaded: Vision) -> None:
    session = Session(vision_loaded("chat_noslice"), sampling=GREEDY)
    picture = Image.open(golden_runs["square"]["picture"])
    answers = set()
    for shown in ([picture], [picture.transpose(Image.Transpose.ROTATE_180)], [picture, picture], []):
        session.reset()
        answers.add(session.ask("What is it?", shown))
    assert len(answers) == 4


def test_a_picture_that_is_gone_or_too_much_leaves_the_conversation_alone(
    golden_runs: Golden, vision_loaded: Vision, tmp_path: Path
) -> None:
    session = Session(vision_loaded("chat_noslice"), sampling=GREEDY)
    copy = shutil.copyfile(golden_runs["square"]["picture"], tmp_path / "a cat.png")
    session.ask("What is it?", [copy])
    before = list(session.messages)
    with pytest.raises(PictureError, match=r"nowhere.png' does not exist\. Mend the path\."):
        session.ask("And this?", ["nowhere.png"])
    with pytest.raises(UserError, match="sees only 2048 in all"):
        session.ask("And these?", [copy] * 40)
    copy.unlink()
    with pytest.raises(PictureError, match=r"a cat.png' does not exist\. Put the file back, or begin anew"):
        session.ask("Which colour?")
    assert session.messages == before
    assert len(session.images) == 1


def test_looking_at_a_picture(golden_runs: Golden, vision_loaded: Vision, tiny_loaded: Loaded) -> None:
    cat = golden_runs["square"]["picture"]
    assert Session(vision_loaded("chat_noslice")).look(cat).size == (61, 57)
    with pytest.raises(UserError, match="reads text only, but 1 image was given"):
        Session(tiny_loaded).look(cat)


def test_a_layout_without_a_system_text_says_so(vision_loaded: Vision) -> None:
    with pytest.raises(UserError, match="'system', and this model's chat layout knows user and assistant only"):
        Session(vision_loaded("chat_noslice"), system="Be kind.", sampling=GREEDY).ask("Hello")
