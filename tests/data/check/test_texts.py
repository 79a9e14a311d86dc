"""Texts as one array: places, scripts, languages, and texts that can be printed."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.data.check.texts import (
    ANSWER,
    BROKEN,
    CONTROL,
    INVISIBLE,
    LANGUAGES,
    PRIVATE,
    QUESTION,
    REJECTED,
    RETURN,
    SYSTEM,
    Texts,
    counted,
    languages,
    printable,
    share,
)
from tunesmith.data.types import Conversation, Message

TALK = Conversation((Message("system", "Be kind."), Message("user", "你好"), Message("assistant", "Hello 😀!")))
PAIR = Conversation((Message("user", ""), Message("assistant", "yes")), rejected=Message("assistant", "no"))
PLAIN = Conversation((), text="Once upon a time")


def test_texts_keep_their_places() -> None:
    texts = Texts.of([TALK, PAIR, PLAIN])
    assert [texts.text(n) for n in range(7)] == ["Be kind.", "你好", "Hello 😀!", "", "yes", "no", "Once upon a time"]
    assert texts.record.tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert texts.role.tolist() == [SYSTEM, QUESTION, ANSWER, QUESTION, ANSWER, REJECTED, ANSWER]
    assert "".join(map(chr, texts.codes)) == texts.joined
    assert len(texts.owner) == len(texts.codes) == len(texts.classes)
    assert texts.at(np.array([0, 8, 9])).tolist() == [0, 0, 1]
    at = texts.joined.index("yes")
    assert texts.owner[at] == 4 and texts.at(np.array([at])).tolist() == [4]


def test_no_conversations_are_no_texts() -> None:
    texts = Texts.of([])
    assert len(texts.codes) == len(texts.owner) == len(texts.scripts) == 0


@pytest.mark.parametrize(
    ("character", "kind"),
    [
        ("\x00", CONTROL),
        ("\x1b", CONTROL),
        ("\x85", CONTROL),
        ("\u200b", INVISIBLE),
        ("\u202e", INVISIBLE),
        ("\ufeff", INVISIBLE),
        ("\U000e0041", INVISIBLE),
        ("\ufffd", BROKEN),
        ("\ue123", PRIVATE),
        ("\U00100000", PRIVATE),
        ("\r", RETURN),
    ],
)
def test_special_characters_have_classes(character: str, kind: int) -> None:
    texts = Texts.of([Conversation((Message("user", f"a{character}b"),))])
    assert texts.classes[1] == kind


@pytest.mark.parametrize("text", ["a\tb\nc", "👩\u200d👧", "❤\ufe0f", "naïve — “yes”…", "𠮷野家"])
def test_ordinary_texts_have_no_special_characters(text: str) -> None:
    assert (Texts.of([Conversation((), text=text)]).classes < RETURN).all()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("今天天气很好，我们去 Park 散步吧。", "Chinese"),
        ("今日はとても良い天気です。", "Japanese"),
        ("안녕하세요, nice to meet you", "Korean"),
        ("Ein schöner Tag.", "Latin script"),
        ("Привет, мир", "Cyrillic script"),
        ("12 + 30 = 42", "no letters"),
        ("", "no letters"),
    ],
)
def test_a_text_has_the_language_of_most_of_it(text: str, language: str) -> None:
    assert LANGUAGES[languages(Texts.of([Conversation((), text=text)]).scripts)[0]] == language


def test_hits_count_records_and_name_the_first() -> None:
    texts = Texts.of([TALK, PAIR, TALK])
    places = np.flatnonzero(texts.codes == ord("e"))
    hits = texts.hits(places, lambda at: texts.joined[at])
    assert (hits.records, hits.times) == (3, 5)
    assert hits.first == [(0, "system text: e"), (1, "answer: e"), (2, "system text: e")]
    assert texts.hits(places[:0], str).records == 0


def test_what_stands_around_ends_with_the_text() -> None:
    texts = Texts.of([TALK])
    assert texts.around(texts.joined.index("你好"), 2) == "你好"
    assert Texts.of([Conversation((), text="x" * 50)]).around(20, 3) == f"…{'x' * 29}…"


def test_printable_texts_are_short_and_visible() -> None:
    assert printable("a\nb\u200bc\x1b\ufffd 你") == "a\\nb\\u200bc\\x1b\\ufffd 你"
    assert printable("x" * 50) == "x" * 40 + "…"


def test_numbers_in_words() -> None:
    assert (counted(1, "record"), counted(2000, "record")) == ("1 record", "2,000 records")
    assert [share(*pair) for pair in ((0, 5), (5, 5), (1, 3), (1, 10**6), (10**6 - 1, 10**6), (0, 0))] == [
        "0 %",
        "100 %",
        "33.3 %",
        "< 0.1 %",
        "> 99.9 %",
        "0 %",
    ]
