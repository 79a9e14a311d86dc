"""Answers that say nothing, echo, loop or equal the rejected one, and turns in an unusual order."""

from __future__ import annotations

import pytest

from tunesmith.data.check.answers import answer_hits
from tunesmith.data.check.texts import Texts
from tunesmith.data.types import Conversation, Message


def found(*conversations: Conversation) -> dict[str, tuple[int, str]]:
    hits = answer_hits(Texts.of(conversations), conversations)
    return {kind: (one.records, one.first[0][1]) for kind, one in hits.items() if one.records}


def talk(question: str, answer: str) -> Conversation:
    return Conversation((Message("user", question), Message("assistant", answer)))


def roles(*names: str) -> Conversation:
    return Conversation(tuple(Message(name, f"text {number}") for number, name in enumerate(names)))


@pytest.mark.parametrize("answer", ["...", "。", "nan", "NULL", " undefined ", "N/A", "？！", "-"])
def test_answers_that_say_nothing(answer: str) -> None:
    assert found(talk("Why?", answer))["hollow_answers"][0] == 1


@pytest.mark.parametrize("answer", ["是", "A", "42", "neutral", "No.", "é", "C++"])
def test_short_answers_say_something(answer: str) -> None:
    assert found(talk("Why?", answer)) == {}


def test_white_space_around_answers() -> None:
    assert found(talk(" Why? ", "Because.")) == {}
    assert found(talk("Why?", " Because."), talk("Why?", "Because.\n"))["spaces_around"] == (2, "answer: ' Because.'")
    assert found(Conversation((), text="A plain text.\n")) == {}


def test_answers_that_repeat_the_question() -> None:
    assert found(talk("你好", "你好 "))["repeats_question"] == (1, "answer: '你好 '")


def test_answers_equal_to_the_rejected_one() -> None:
    pair = Conversation((Message("user", "a?"), Message("assistant", "b.")), rejected=Message("assistant", "b."))
    assert found(pair) == {"same_as_rejected": (1, "rejected: 'b.'")}


@pytest.mark.parametrize(
    "answer",
    [
        "I do not know what to say. " * 12,
        "哈" * 200,
        "对不起，我不知道这个问题的答案。" * 10,
        "".join(f"{n} is a number. " for n in range(8)) + "and so on and on, " * 40,
    ],
)
def test_loops_are_found(answer: str) -> None:
    assert "looped_answers" in found(talk("Say it.", answer))


def test_ordinary_long_answers_are_no_loops() -> None:
    table = "\n".join(f"| {n} | {n * n} | {n**3} |" for n in range(40))
    prose = " ".join(f"Sentence {n} tells of the {n * 7 % 31}th thing in its own way." for n in range(3))
    poem = "".join(chr(0x4E00 + n * 37 % 9000) for n in range(400))
    assert found(talk("a?", table), talk("b?", prose), talk("c?", poem)) == {}


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (("user", "user", "assistant"), "messages[1]: user follows user"),
        (("user", "assistant", "assistant"), "messages[2]: assistant follows assistant"),
        (("user", "system", "assistant"), "messages[1]: a system text that is not the first message"),
        (("assistant", "user", "assistant"), "messages[0]: the assistant speaks first"),
        (("user", "assistant", "user"), "messages[2]: the last message is no answer"),
    ],
)
def test_turns_in_an_unusual_order(names: tuple[str, ...], fault: str) -> None:
    assert found(roles(*names))["role_order"] == (1, fault)


def test_usual_orders() -> None:
    assert found(
        roles("user", "assistant"),
        roles("system", "user", "assistant", "user", "assistant"),
        roles("user", "assistant", "tool", "tool", "assistant"),
    ) == {}  # fmt: skip
