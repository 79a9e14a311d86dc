"""Many conversations at once give the answers of one at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tunesmith.data.types import Conversation, Message
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
    with pytest.raises(UserError, match="sees only 512"):
        answer_all(tiny_loaded, [*CONVERSATIONS, Conversation((Message("user", "长" * 600),))])
