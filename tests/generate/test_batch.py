"""Many conversations at once give the answers of one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunesmith.data.types import Conversation, ImageRef, Message
from tunesmith.errors import UserError
from tunesmith.generate.batch import answer_all
from tunesmith.generate.sampling import Sampling
from tunesmith.generate.session import Session
from tunesmith.models.load import Loaded

QUESTIONS = [
    "你好",
    "Who are you?",
    "What is two plus three?",
    "下面两句话的关系是什么？\n第一句：天在下雨。",
    "是",
    "five " * 30,
]
CONVERSATIONS = [Conversation((Message("user", question),)) for question in QUESTIONS]


@pytest.mark.parametrize("penalty", [None, 1.3])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_a_batch_answers_as_single_chats_do(tiny_loaded: Loaded, batch_size: int, penalty: float | None) -> None:
    sampling = Sampling(greedy=True, max_new_tokens=16, repetition_penalty=penalty)
    done: list[int] = []
    answers = answer_all(tiny_loaded, CONVERSATIONS, sampling, batch_size, done.append)
    assert answers == [Session(tiny_loaded, sampling=sampling).ask(question) for question in QUESTIONS]
    assert done[-1] == len(QUESTIONS)


def test_every_row_ends_at_its_own_stop(scripted: Callable[..., Loaded]) -> None:
    answers = answer_all(scripted("好的。<AI>more"), CONVERSATIONS[:3], Sampling(greedy=True, max_new_tokens=50))
    assert answers == ["好的。"] * 3


def test_nothing_to_answer_and_too_much_to_answer(tiny_loaded: Loaded) -> None:
    assert answer_all(tiny_loaded, []) == []
    with pytest.raises(UserError, match="it holds pictures, and this model reads text only"):
        answer_all(tiny_loaded, [Conversation((Message("user", "<a>"),), images=(ImageRef("<a>", "a.png"),))])
    with pytest.raises(UserError, match="sees only 512"):
        answer_all(tiny_loaded, [*CONVERSATIONS, Conversation((Message("user", "长" * 600),))])


@pytest.mark.parametrize("penalty", [None, 1.3])
def test_pictures_in_a_batch(
    penalty: float | None, golden_runs: dict[str, dict[str, Any]], vision_loaded: Callable[[str], Loaded]
) -> None:
    loaded, sampling = vision_loaded("chat_sliced"), Sampling(greedy=True, max_new_tokens=8, repetition_penalty=penalty)
    shown = [golden_runs[name]["picture"] for name in ("wide203x88", "grid3x2")]
    questions = [("What is it?", shown[:1]), ("Hello", []), ("Which of them?", shown), ("What moves?", shown[1:])]
    conversations = []
    for text, paths in questions:
        images = tuple(ImageRef(f"<image_{number:02d}>", str(path)) for number, path in enumerate(paths))
        content = "\n".join([*(image.mark for image in images), text])
        conversations.append(Conversation((Message("user", content),), images=images))
    answers = answer_all(loaded, conversations, sampling, batch_size=3)
    assert answers == [Session(loaded, sampling=sampling).ask(text, paths) for text, paths in questions]
